"""Every step's windows: covered once an epoch, inside the data, the same for any ranks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcbench.data.windows import RowRandom, WindowPlan
from hpcbench.errors import InputError


def plan(**changes: int) -> WindowPlan:
    settings = {"num_samples": 50, "window": 4, "carry": 8, "global_batch": 6, "seed": 3}
    settings.update(changes)
    return WindowPlan(members=np.arange(10, 15), **settings)


@given(
    num_members=st.integers(1, 7),
    num_samples=st.integers(2, 60),
    window=st.integers(1, 6),
    windows_per_segment=st.integers(1, 4),
    global_batch=st.integers(1, 12),
    seed=st.integers(0, 2**63),
)
def test_an_epoch_visits_segments_once_and_in_order(
    num_members: int,
    num_samples: int,
    window: int,
    windows_per_segment: int,
    global_batch: int,
    seed: int,
) -> None:
    carry = window * windows_per_segment
    arguments = (np.arange(num_members) + 4, num_samples, window, carry, global_batch, seed)
    fits = num_members * ((num_samples - carry) // carry) >= global_batch
    if num_samples < 2 * carry or not fits:
        with pytest.raises(InputError, match=r"train\.(carry|global_batch)"):
            WindowPlan(*arguments)
        return
    chosen = WindowPlan(*arguments)
    used: set[tuple[int, int]] = set()
    previous: tuple[np.ndarray, np.ndarray] | None = None
    for step in range(chosen.steps_per_epoch):
        members, starts = chosen.rows(step)
        assert len(members) == len(starts) == global_batch
        assert starts.min() >= 0
        assert starts.max() + window + 1 <= num_samples
        if not chosen.starts_segment(step):
            assert previous is not None
            np.testing.assert_array_equal(members, previous[0])
            np.testing.assert_array_equal(starts, previous[1] + window)
        previous = members, starts
        inputs = {
            (int(m), int(s) + k)
            for m, s in zip(members, starts, strict=True)
            for k in range(window)
        }
        assert len(inputs) == global_batch * window
        assert not inputs & used
        used |= inputs
    assert len(used) == chosen.steps_per_epoch * global_batch * window
    assert chosen.segments_per_epoch - len(used) // carry < global_batch


def test_epochs_differ_and_the_seed_decides() -> None:
    one, same, other = plan(), plan(), plan(seed=4)
    epoch = one.steps_per_epoch
    assert (one.rows(0)[1] == same.rows(0)[1]).all()
    assert (one.rows(0)[1] != other.rows(0)[1]).any()
    assert (one.rows(0)[1] != one.rows(epoch)[1]).any()
    assert one.starts_segment(0)
    assert not one.starts_segment(1)
    assert one.starts_segment(epoch)


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"carry": 48, "window": 48}, "train.carry"), ({"global_batch": 26}, "train.global_batch")],
)
def test_what_does_not_fit_is_refused(changes: dict[str, int], field: str) -> None:
    with pytest.raises(InputError, match=field):
        plan(**changes)


def test_a_row_draws_the_same_noise_on_any_rank() -> None:
    whole = RowRandom(seed=1, step=7, rows=range(6)).normal((3, 2))
    parts = [RowRandom(1, 7, range(2 * r, 2 * r + 2)).normal((3, 2)) for r in range(3)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert (whole != RowRandom(1, 8, range(6)).normal((3, 2))).all()
    assert len(np.unique(whole)) == whole.numel()


def test_noise_is_standard_normal() -> None:
    drawn = RowRandom(seed=1, step=0, rows=range(20)).normal((5000,)).numpy()
    assert abs(drawn.mean()) < 4 / np.sqrt(drawn.size)
    assert abs(drawn.std() - 1) < 4 / np.sqrt(2 * drawn.size)
