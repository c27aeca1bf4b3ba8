"""Forecasts of a trained model and their scores: skill, climate, Lyapunov spectra."""
