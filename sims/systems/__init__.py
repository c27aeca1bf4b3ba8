"""The systems: one file each, its equation first."""
