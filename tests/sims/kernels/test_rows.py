"""What the compiled library does for the writing of datasets, against the readable code."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from hpcbench.data.store import add_sums
from hpcbench.errors import InputError
from sims import kernels


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("num_components", [1, 2, 3, 7, 8, 9, 17, 31, 32, 33, 40, 64, 101])
def test_sums_are_those_of_the_readable_code(dtype: type, num_components: int) -> None:
    random = np.random.default_rng(1)
    samples = random.normal(3, 2, (5, 40, num_components)).astype(dtype)[:, 3:]
    expected = random.normal(size=(5, 2, num_components))
    found = expected.copy()
    add_sums(expected, samples)
    kernels.add_sums(found, samples)
    if num_components == 1:  # NumPy adds a single column pairwise
        np.testing.assert_allclose(found, expected, rtol=1e-14)
    else:
        np.testing.assert_array_equal(found, expected)


def test_sums_of_wrong_arrays_are_refused() -> None:
    samples = np.zeros((2, 5, 3), np.float32)
    for sums, given in [
        (np.zeros((2, 2, 4)), samples),
        (np.zeros((2, 2, 3), np.float32), samples),
        (np.zeros((2, 2, 3)), samples[:, :, ::-1]),
        (np.zeros((2, 2, 3)), samples.astype(np.int64)),
    ]:
        with pytest.raises(InputError, match="sums, samples"):
            kernels.add_sums(sums, given)


def test_rows_go_to_their_places(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    rows = np.arange(30, dtype=np.float32).reshape(5, 3, 2)
    path.write_bytes(bytes(500))
    with path.open("r+b") as file:
        kernels.write_rows(file.fileno(), rows, 100, 50)
        kernels.write_rows(file.fileno(), rows[:0], 0, 50)
    data = path.read_bytes()
    assert len(data) == 500
    for number, row in enumerate(rows):
        start = 100 + 50 * number
        assert data[start : start + row.nbytes] == row.tobytes()
        assert not any(data[start + row.nbytes : start + 50])


def test_rows_that_cannot_be_written(tmp_path: Path) -> None:
    with (tmp_path / "rows").open("wb") as file:
        closed = os.dup(file.fileno())
    os.close(closed)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        kernels.write_rows(closed, np.zeros((2, 3)), 0, 24)
