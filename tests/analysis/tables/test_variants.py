from typing import Any

import pandas as pd

from analysis.records.collect import collect
from analysis.report.findings import analyse
from analysis.tables.ranking import method_ranking
from analysis.tables.variants import with_variants


def variants(runs: Any) -> pd.Series:
    return with_variants(collect([runs.root])).frame.set_index("run")["variant"]


def test_repeats_have_no_variant(runs: Any) -> None:
    for seed in (1, 2):
        runs.done(f"s{seed}", config=runs.config(seed=seed, train__backend="ddp"), vpt=None)
    runs.done("other back end", config=runs.config(train__backend="mpi"), vpt=None)
    assert set(variants(runs)) == {""}


def test_runs_of_one_method_say_which_settings_differ(runs: Any) -> None:
    runs.done("a", config=runs.config(train__window=32), vpt=None)
    runs.done("b", config=runs.config(train__window=64, seed=2), vpt=None)
    runs.done("c", config=runs.config(train__method="noise"), vpt=None)
    runs.unfinished("d", "failed")
    assert variants(runs).to_dict() == {"a": "window 32", "b": "window 64", "c": "",
                                        "d": variants(runs)["d"]}  # fmt: skip


def test_configurations_that_differ_are_not_pooled(runs: Any) -> None:
    for seed in (1, 2, 3):
        runs.done(f"a{seed}", config=runs.config(train__window=32, seed=seed), vpt=2.0 + seed / 9)
        runs.done(f"b{seed}", config=runs.config(train__window=64, seed=seed), vpt=5.0 + seed / 9)
    findings = analyse([runs.root])
    ranking = method_ranking(findings.accuracy)
    assert list(ranking["variant"]) == ["window 64", "window 32"]
    assert list(ranking["n"]) == [3, 3]
    assert sorted(curve.head["label"].split(" increment ")[1] for curve in findings.curves) == [
        "tbptt adam window 32", "tbptt adam window 64",
    ]  # fmt: skip


def test_no_runs_and_runs_without_a_configuration(runs: Any) -> None:
    runs.raw("a", '{"schema": 1, "status": "done", "metrics": []}')
    runs.raw("b", "{")
    assert list(variants(runs)) == ["", ""]
