"""Cells whose recurrent part is fixed: a readout alone is fitted."""
