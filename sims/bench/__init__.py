"""Rates of the simulators on this machine, beside the measured limits of the machine."""
