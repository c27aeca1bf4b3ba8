from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from analysis.records.series import read_forecasts, read_training
from analysis.report.report import write_report


def test_times_of_an_earlier_attempt_do_not_count(runs: Any) -> None:
    path = runs.done("a", 2, step_seconds=[9.0, *[np.nan] * 9, 0.5, 0.5, 0.1, 0.2])
    with h5py.File(path / "metrics.h5", "r+") as file:
        file["step_seconds"][0] = np.nan
        file.attrs["num_warmup_steps"] = 2
    training, _ = read_training(path)
    assert training is not None
    assert list(training.slowest) == pytest.approx([0.5, 0.5, 0.1, 0.2])
    assert list(training.timed) == pytest.approx([0.1, 0.2])
    assert training.after_warm_up(training.compute_seconds).shape == (2, 2)


@pytest.mark.parametrize("reader", [read_training, read_forecasts])
def test_missing_and_torn_files_say_so(reader: Any, tmp_path: Path) -> None:
    assert "missing" in reader(tmp_path)[1]
    for name in ("metrics.h5", "forecast.h5"):
        (tmp_path / name).write_bytes(b"\x89HDF\r\n\x1a\n and then nothing")
    assert "corrupt" in reader(tmp_path)[1]


NAMES = {
    "metrics.h5": ("loss", "step_seconds", "compute_seconds", "data_seconds", "validation_step",
                   "validation_loss", "allreduce_bytes", "allreduce_seconds"),
    "forecast.h5": ("nrmse", "vpt", "censored", "time_lyapunov", "truth", "forecast",
                    "persistence_nrmse", "climatology_nrmse"),
}  # fmt: skip
VALUES = st.sampled_from(
    [np.zeros(0), np.zeros((0, 2)), np.float64(1.0), np.full(7, np.nan), np.ones((3, 4, 5)),
     np.ones((9, 2)), np.arange(12), np.array([b"text"]), np.full((4, 3), np.inf), -np.ones(5)]
)  # fmt: skip
ATTRIBUTES = st.sampled_from([0, 5, 10**6, -3, np.nan, "text", np.ones(3)])


# Each example writes a report: shrinking one that fails would take longer than the whole suite.
@settings(max_examples=5, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_foreign_arrays_never_end_in_a_traceback(data: st.DataObject, runs: Any) -> None:
    path = runs.root / "a"
    if not path.exists():
        runs.done("a", 2)
        runs.done("b", 1)
    for file_name, names in NAMES.items():
        with h5py.File(path / file_name, "r+") as file:
            for name in data.draw(st.lists(st.sampled_from(names), max_size=3, unique=True)):
                if name in file:
                    del file[name]
                file[name] = data.draw(VALUES)
            for name in ("num_warmup_steps", "sequences_per_step", "threshold"):
                if data.draw(st.booleans()):
                    file.attrs[name] = data.draw(ATTRIBUTES)
    report = write_report([runs.root])
    assert report.num_records == 2
    assert "</html>" in report.page.read_text()
