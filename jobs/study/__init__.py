"""The study file: its grammar, and its expansion into points and datasets."""
