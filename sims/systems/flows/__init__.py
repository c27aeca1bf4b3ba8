"""Systems in continuous time."""
