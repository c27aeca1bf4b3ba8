"""Backpropagation through time, over windows or beyond them."""
