"""From a specification to a dataset: members shared over ranks, advanced, written, extended."""
