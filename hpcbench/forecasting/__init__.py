"""Forecasts of a trained model and what they are worth: skill, climate, Lyapunov spectra."""
