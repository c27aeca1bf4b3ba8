"""Slurm: its queue, the submission of jobs, and the driver that runs inside an allocation."""
