"""Systems in discrete time, and systems driven by an input."""
