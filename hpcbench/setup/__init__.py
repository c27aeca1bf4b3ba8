"""The set-up of the virtual environment; it runs before anything is installed."""
