"""Rates of the simulators on this machine, beside its measured limits."""
