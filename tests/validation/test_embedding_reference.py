"""Embedding diagnostics of Lorenz-96 and Kuramoto–Sivashinsky against measured values.

The values were measured with independent NumPy integrations (Lorenz-96: 40 sites, F = 8,
interval 0.01; Kuramoto–Sivashinsky: interval 0.25); tolerances cover their sampling error.
"""

from pathlib import Path

import numpy as np
import pytest

import sims
from hpcbench.cli import main
from hpcbench.data.dataset import open_dataset
from hpcbench.embedding.diagnosis import Diagnosis, diagnose

pytestmark = pytest.mark.validation

SPECS = Path(sims.__file__).parent / "specs"


def diagnosis(folder: Path, spec: str, num_trajectories: int, max_lag: int) -> Diagnosis:
    path = folder / f"{spec}.h5"
    argv = ["simulate", str(SPECS / f"{spec}.toml"), "--out", str(path)]
    assert main([*argv, "--sampling.num_trajectories", str(num_trajectories)]) == 0
    with open_dataset(path) as dataset:
        return diagnose(dataset, max_lag=max_lag)


def check_scores(found: Diagnosis, stride: int, correlation: float, rank: float) -> None:
    """Windows of 8: mean size of the correlation, effective number of inputs out of 8."""
    scores = found.scores[stride]
    assert scores.mean_correlation == pytest.approx(correlation, abs=0.03)
    assert 8 * scores.effective_rank == pytest.approx(rank, abs=0.15)


def test_lorenz96(tmp_path: Path) -> None:
    found = diagnosis(tmp_path, "lorenz96_f8", 256, max_lag=150)
    assert found.correlation[1] == pytest.approx(0.99866, abs=1e-4)
    assert found.decay_lag == pytest.approx(28, abs=1)
    assert found.zero_lag == pytest.approx(47, abs=2)
    assert found.information_lag.rule == "decay"
    check_scores(found, 1, 0.98, 1.08)
    check_scores(found, 5, 0.72, 1.91)
    check_scores(found, 10, 0.43, 3.18)
    check_scores(found, 20, 0.23, 5.55)
    assert 1e15 < found.scores[1].condition_number < 1e16
    assert 4e6 < found.scores[5].condition_number < 1.6e7
    assert found.scores[20].condition_number == pytest.approx(26, rel=0.2)
    assert found.scores[1].persistence_error == pytest.approx(0.052, abs=0.001)
    for share, number in ((0.9, 31), (0.95, 35), (0.99, 39)):
        assert found.principal.number_for(share) == pytest.approx(number, abs=1)
    variances = found.principal.variances
    assert variances[0] / variances[-1] == pytest.approx(6.3, rel=0.1)


def test_kuramoto_sivashinsky_22(tmp_path: Path) -> None:
    found = diagnosis(tmp_path, "kuramoto_sivashinsky_l22", 96, max_lag=160)
    assert found.correlation[1] == pytest.approx(0.99864, abs=1e-4)
    assert found.decay_lag is not None
    assert found.decay_lag * 0.25 == pytest.approx(8.75, abs=0.5)
    assert found.zero_lag is None
    assert found.information_lag.rule == "decay"
    check_scores(found, 1, 0.98, 1.08)
    check_scores(found, 10, 0.54, 3.04)
    check_scores(found, 20, 0.37, 4.95)
    check_scores(found, 40, 0.23, 6.72)
    numbers = [found.principal.number_for(share) for share in (0.9, 0.95, 0.99, 0.999)]
    assert numbers == [6, 8, 10, 13]


def test_kuramoto_sivashinsky_60(tmp_path: Path) -> None:
    found = diagnosis(tmp_path, "kuramoto_sivashinsky_l60", 96, max_lag=240)
    assert found.correlation[1] == pytest.approx(0.99805, abs=2e-4)
    assert found.decay_lag is not None
    assert found.decay_lag * 0.25 == pytest.approx(7.0, abs=0.5)
    check_scores(found, 10, 0.44, 3.57)
    check_scores(found, 20, 0.21, 6.01)
    numbers = [found.principal.number_for(share) for share in (0.9, 0.95, 0.99, 0.999)]
    np.testing.assert_allclose(numbers, [19, 23, 29, 36], atol=1)
