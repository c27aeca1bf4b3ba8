"""The optimisers, one file each, and the schedule of their learning rate."""
