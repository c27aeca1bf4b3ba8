"""Ranks, and how they average gradients."""
