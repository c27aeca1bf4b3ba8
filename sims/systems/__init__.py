"""The dynamical systems, one file each; the equation opens its docstring."""
