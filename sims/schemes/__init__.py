"""Time-stepping schemes, each for any right-hand side."""
