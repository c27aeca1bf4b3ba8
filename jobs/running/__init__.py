"""Carrying out points and datasets: one attempt, one point, this machine."""
