"""One trajectory shared over ranks: rings and spectral fields."""
