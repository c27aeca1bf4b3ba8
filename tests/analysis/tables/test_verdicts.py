from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from analysis.records.collect import collect
from analysis.tables.verdicts import Pair, judge, verdict_table
from hpcbench.errors import InputError


def pair(rng: np.random.Generator, factor: float, noise: float = 0.03, runs: int = 6) -> Pair:
    a, b = (
        [seconds * np.exp(noise * rng.standard_normal(1)) for _ in range(runs)]
        for seconds in (0.1, 0.1 * factor)
    )
    return Pair({"label": "x", "backend": "horovod", "ranks": 2}, a, b)


def verdicts(factor: float, repetitions: int = 200) -> list[str]:
    rng = np.random.default_rng(12)
    return [judge([pair(rng, factor)], 0.05)["verdict"][0] for _ in range(repetitions)]


def test_identical_studies_are_hardly_ever_called_different() -> None:
    found = verdicts(1.0)
    assert sum(verdict in ("same", "undecided") for verdict in found) >= 190


def test_a_slowdown_of_ten_percent_is_found() -> None:
    assert verdicts(1.1).count("slower") >= 190


def test_a_speed_up_is_found_and_never_called_slower() -> None:
    found = verdicts(1 / 1.1)
    assert found.count("faster") >= 190
    assert "slower" not in found


def test_little_noise_makes_it_the_same_and_few_runs_undecided() -> None:
    rng = np.random.default_rng(0)
    assert judge([pair(rng, 1.01, noise=0.003)], 0.05)["verdict"][0] == "same"
    assert judge([pair(rng, 1.5, runs=3)], 0.05)["verdict"][0] == "undecided"


def test_many_comparisons_are_adjusted() -> None:
    rng = np.random.default_rng(0)
    one = pair(rng, 1.1)
    alone, among = judge([one], 0.05), judge([one] + [pair(rng, 1.0) for _ in range(19)], 0.05)
    assert among["p_value"][0] > alone["p_value"][0]


def test_other_metrics_have_their_own_direction(make_runs: Callable[[str], Any]) -> None:
    a, b = make_runs("a"), make_runs("b")
    a.repeated(1.0)
    b.repeated(1.2)
    table = verdict_table(collect([a.root]), collect([b.root]), metric="training_seconds")
    assert list(table["verdict"]) == ["slower", "slower"]
    with pytest.raises(InputError, match='did you mean "training_seconds"'):
        verdict_table(collect([a.root]), collect([b.root]), metric="training_second")


def test_two_single_cells_are_compared_whatever_they_ran(make_runs: Callable[[str], Any]) -> None:
    a, b = make_runs("a"), make_runs("b")
    for k in range(6):
        a.done(f"a{k}", step_seconds=[0.1 + 0.001 * k] * 9, vpt=None)
        b.done(f"b{k}", step_seconds=[0.2 + 0.001 * k] * 9, vpt=None,
               config=b.config(train__backend="ddp"))  # fmt: skip
    assert list(verdict_table(collect([a.root]), collect([b.root]))["verdict"]) == ["slower"]
