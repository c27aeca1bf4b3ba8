"""Slurm: what it says of jobs, how drivers get into its queue, and the driver."""
