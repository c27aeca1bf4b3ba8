"""The state of every point of a study."""
