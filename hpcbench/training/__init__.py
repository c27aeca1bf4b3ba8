"""Training: the loop of a run, its history, the methods and the optimisers."""
