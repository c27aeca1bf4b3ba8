"""The folder of a run: its records, its provenance, its timings and its checkpoints."""
