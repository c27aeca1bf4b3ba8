"""The records of runs as rows: they are found, read, cached and described here."""
