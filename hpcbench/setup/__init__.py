"""The virtual environment, made before anything is installed."""
