"""Intervals, tests, laws and their fits."""
