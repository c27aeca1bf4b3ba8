"""Tables, plots and pages made from run records; the only package that imports matplotlib.

It reads what runs have written (JSON and HDF5) and never starts, changes or waits for one.
"""
