"""Gradients carried forward in time, without a backward pass."""
