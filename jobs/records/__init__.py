"""The folder of a study and its records: the only room that knows their keys."""
