"""The commands that launch, watch and set up: one command, one file."""
