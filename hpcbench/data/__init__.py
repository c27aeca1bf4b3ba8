"""Datasets on disk: the format, reading, writing, checking, compressing, and windows of them."""
