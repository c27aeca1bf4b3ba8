"""Oracle workloads: times made from a law with known parameters."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.statistics.fitting import fit, fit_all
from analysis.statistics.laws import (
    ALLREDUCE_LAWS,
    AMDAHL,
    GUSTAFSON,
    HALVING,
    HOCKNEY,
    KS_TRANSPOSE,
    LORENZ96_RING,
    PMNF,
    RING,
    STRONG_LAWS,
    USL,
    Law,
    bus_bandwidth,
    pmnf,
    usl_peak,
)

RANKS = [{"ranks": p} for p in (1, 2, 4, 8, 16, 32)]
MESSAGES = [{"ranks": p, "bytes": n} for p in (2, 4, 8) for n in (1e3, 1e5, 1e7)]
SIZES = [{"ranks": p, "size": n} for p in (1, 2, 4, 8) for n in (1024, 65536)]
LARGER = [{"ranks": p, "size": n} for p in (2, 4, 8) for n in (1024, 65536)]

CASES: list[tuple[Law, tuple[float, ...], list[dict[str, Any]]]] = [
    (AMDAHL, (1.0, 0.05), RANKS),
    (GUSTAFSON, (1.0, 0.1), RANKS),
    (USL, (1.0, 0.03, 0.002), RANKS),
    (HOCKNEY, (2e-6, 1e-9), [{"bytes": n} for n in (8, 1e3, 1e4, 1e5, 1e6)]),
    (RING, (2e-5, 1e-9), MESSAGES),
    (HALVING, (2e-5, 1e-9), MESSAGES),
    (LORENZ96_RING, (1e-7, 5e-6), SIZES),
    (KS_TRANSPOSE, (3e-6, 1e-8), LARGER),
    (pmnf(0.5, 1), (0.1, 0.02), RANKS),
]


def simulate(
    law: Law,
    theta: tuple[float, ...],
    grid: list[dict[str, Any]],
    *,
    runs: int = 6,
    noise: float = 0.03,
    rng: np.random.Generator | None = None,
    straggler: float = 0.0,
) -> pd.DataFrame:
    """Return runs of a law with log-normal noise; ``straggler`` is the share that is 1.5 slower."""
    rng = rng or np.random.default_rng(11)
    rows = []
    for point in grid:
        variables = {name: np.array([float(value)]) for name, value in point.items()}
        exact = float(law.seconds(variables, *theta)[0])
        for _ in range(runs):
            seconds = exact * np.exp(noise * rng.standard_normal())
            seconds *= 1.5 if rng.random() < straggler else 1.0
            rows.append({**point, "seconds": seconds})
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("law", "theta", "grid"), CASES, ids=[law.name for law, _, _ in CASES])
def test_exact_times_give_the_parameters_back(
    law: Law, theta: tuple[float, ...], grid: list[dict[str, Any]]
) -> None:
    found = fit(law, simulate(law, theta, grid, noise=0.0))
    values = [interval.value for interval in found.parameters.values()]
    assert values == pytest.approx(theta, rel=1e-4)
    assert found.left_out_error < 1e-3


@pytest.mark.parametrize(("law", "theta", "grid"), CASES, ids=[law.name for law, _, _ in CASES])
def test_noisy_times_have_the_truth_in_their_interval(
    law: Law, theta: tuple[float, ...], grid: list[dict[str, Any]]
) -> None:
    rng = np.random.default_rng(5)
    found = [fit(law, simulate(law, theta, grid, rng=rng), cross_validate=False) for _ in range(20)]
    for name, truth in zip(law.parameters, theta, strict=True):
        intervals = [f.parameters[name] for f in found]
        assert np.median([i.value for i in intervals]) == pytest.approx(truth, rel=0.1)
        # At 95 % coverage fewer than 16 of 20 is a matter of 1 in 400.
        assert sum(i.low <= truth <= i.high for i in intervals) >= 16


def test_stragglers_and_missing_points_are_survived() -> None:
    runs = simulate(USL, (1.0, 0.03, 0.002), RANKS, runs=9, straggler=0.06)
    found = fit(USL, runs[runs["ranks"] != 4].iloc[3:], cross_validate=False)
    for interval, truth in zip(found.parameters.values(), (1.0, 0.03, 0.002), strict=True):
        assert interval.low <= truth <= interval.high


def test_the_law_that_made_the_times_is_chosen() -> None:
    assert fit_all(STRONG_LAWS, simulate(USL, (1.0, 0.03, 0.002), RANKS))[0].law is USL
    assert fit_all(STRONG_LAWS, simulate(AMDAHL, (1.0, 0.05), RANKS))[0].law is AMDAHL
    ring = simulate(RING, (2e-5, 1e-9), [{"ranks": p, "bytes": n} for p in (2, 4, 8, 16)
                                         for n in (8, 1e4, 1e6)])  # fmt: skip
    assert fit_all(ALLREDUCE_LAWS, ring)[0].law is RING
    assert any(law.name == "PMNF p^1" for law in PMNF)


def test_a_coherency_of_zero_cannot_be_told() -> None:
    found = fit(USL, simulate(AMDAHL, (1.0, 0.05), RANKS), cross_validate=False)
    assert "coherency" in found.not_identifiable
    assert "at most" in found.not_identifiable["coherency"]


def test_perfect_scaling_has_no_identifiable_serial_share() -> None:
    found = fit(AMDAHL, simulate(AMDAHL, (1.0, 0.0), RANKS), cross_validate=False)
    assert list(found.not_identifiable) == ["serial_share"]


@pytest.mark.parametrize(("law", "points"), [(AMDAHL, 3), (USL, 4)])
def test_too_few_ranks_are_said(law: Law, points: int) -> None:
    found = fit(law, simulate(AMDAHL, (1.0, 0.05), RANKS[:points]))
    assert f"{points} distinct points" in found.not_identifiable[""]
    assert all(np.isnan(interval.value) for interval in found.parameters.values())


def test_nothing_to_fit() -> None:
    found = fit(AMDAHL, pd.DataFrame({"ranks": [], "seconds": []}))
    assert not found.identifiable


def test_one_run_per_point_has_no_spread() -> None:
    found = fit(AMDAHL, simulate(AMDAHL, (1.0, 0.05), RANKS, runs=1), cross_validate=False)
    assert np.isfinite(found.parameters["serial_share"].value)
    assert found.not_identifiable == {"": "one run at every point: no spread to resample"}


def test_beyond_twice_the_measured_ranks_is_a_projection() -> None:
    found = fit(AMDAHL, simulate(AMDAHL, (1.0, 0.05), RANKS), cross_validate=False)
    curve = found.predict(ranks=[32, 64, 65, 4096])
    assert list(curve["is_projection"]) == [False, False, True, True]
    assert curve["low"].iloc[3] < 0.05 + 0.95 / 4096 < curve["high"].iloc[3]


def test_peak_of_the_scalability_law_and_bus_bandwidth() -> None:
    assert usl_peak(0.04, 0.0006) == pytest.approx(40.0)
    assert usl_peak(0.1, 0.0) == np.inf
    assert bus_bandwidth(4, 1e9, 1.0) == pytest.approx(1.5e9)
