"""A run's folder and records: what was asked, with what, how it went, and its checkpoints."""
