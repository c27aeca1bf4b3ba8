"""Run records as rows: found, read, cached, described."""
