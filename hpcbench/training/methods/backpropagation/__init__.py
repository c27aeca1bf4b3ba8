"""Backpropagation through time over windows of one length or another."""
