"""Dynamical systems and their integrators; ensembles spread over MPI ranks into HDF5."""
