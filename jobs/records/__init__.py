"""The records of a study; no other room knows their JSON keys."""
