"""The networks: cells by name, heads, and the forecaster they make."""
