"""The profile of a cluster, and how ranks are placed on it."""
