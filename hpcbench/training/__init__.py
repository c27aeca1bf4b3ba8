"""Training: the loop, its history, methods and optimisers."""
