"""A store that writes its samples by compiled code."""

import numpy as np

from hpcbench.data.store import Store
from sims import kernels


class CompiledStore(Store):
    """A :class:`Store` whose rows go to the file without the interpreter's lock.

    Otherwise the thread that writes would wait for the one that computes at every row.
    """

    def _write_rows(self, rows: np.ndarray, position: int, stride: int) -> None:
        kernels.write_rows(self.descriptor, rows, position, stride)
