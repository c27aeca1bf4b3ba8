"""Statistics of measurements: intervals, tests, scaling laws and their fits."""
