"""Tables of runs, one file each."""
