"""Cells with a fixed recurrent part: training fits the readout alone."""
