"""Cells with gates: LSTMs and gated recurrent units."""
