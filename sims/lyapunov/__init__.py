"""Lyapunov spectra of the systems, from their linearised steps."""
