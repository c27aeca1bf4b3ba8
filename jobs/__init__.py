"""Launching the pipeline: on this machine, under mpirun, and on a cluster through Slurm."""
