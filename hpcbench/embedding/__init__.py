"""How a series is laid out in time before a network sees it: delays, dimension, decorrelation."""
