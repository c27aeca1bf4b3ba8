import numpy as np
import pandas as pd
import pytest

from analysis.tables.ranking import method_ranking, pareto_front, score_correlations, spearman


def accuracy(methods: dict[str, float], seeds: int = 6, noise: float = 0.1) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    return pd.DataFrame(
        [
            {"state": "done", "system": "lorenz96", "parameters": "F=8", "model": "lstm",
             "method": method, "seed": seed, "vpt_mean": mean + noise * rng.standard_normal()}
            for method, mean in methods.items()
            for seed in range(seeds)
        ]
    )  # fmt: skip


def test_methods_are_ranked_and_clear_losers_named() -> None:
    table = method_ranking(accuracy({"tbptt": 4.0, "noise": 4.02, "esn": 2.0}))
    assert set(table["method"][:2]) == {"tbptt", "noise"}
    assert list(table["verdict"]) == ["best", "undecided", "worse"]
    assert table["mean_rank"].iloc[2] == pytest.approx(3.0)
    assert table["vpt"].iloc[2] == pytest.approx(2.0, abs=0.1)


def test_few_seeds_decide_nothing() -> None:
    assert list(method_ranking(accuracy({"a": 4.0, "b": 2.0}, seeds=3))["verdict"]) == [
        "best",
        "undecided",
    ]


def test_costs_are_medians_and_the_target_counts_who_reached_it() -> None:
    frame = accuracy({"a": 4.0, "b": 3.0, "c": 2.0}, seeds=3)
    frame["training_seconds"] = [1.0, 5.0, 2.0] * 3
    frame["time_to_target_seconds"] = [3.0, 9.0, 4.0, 7.0, np.nan, 8.0, *[np.nan] * 3]
    frame["peak_memory_bytes"] = [10.0] * 3 + [20.0] * 6
    table = method_ranking(frame).set_index("method")
    assert table["reached"].tolist() == pytest.approx([1.0, 2 / 3, 0.0])
    assert table["time_to_target_seconds"].tolist() == pytest.approx(
        [4.0, 7.5, np.nan], nan_ok=True
    )
    assert table["training_seconds"].tolist() == [2.0] * 3
    assert table["peak_memory_bytes"].tolist() == [10.0, 20.0, 20.0]
    assert table["samples_to_target"].isna().all()
    without = method_ranking(accuracy({"a": 4.0}))
    assert without["reached"].isna().all()


def test_nothing_scored() -> None:
    frame = accuracy({"a": 1.0}).assign(state="failed")
    assert method_ranking(frame).empty


def test_pareto_front() -> None:
    cost = pd.Series([1.0, 2.0, 2.0, 3.0, np.nan, 4.0])
    skill = pd.Series([1.0, 3.0, 2.0, 3.0, 9.0, 5.0])
    assert list(pareto_front(cost, skill)) == [True, True, False, False, False, True]


def test_embedding_scores_that_go_with_skill() -> None:
    rng = np.random.default_rng(0)
    vpt = rng.random(30)
    frame = pd.DataFrame(
        {
            "state": "done",
            "system": "lorenz96",
            "parameters": "",
            "metric.vpt_mean": vpt,
            "metric.embedding_rank": vpt**3,
            "metric.embedding_noise": rng.random(30),
            "metric.embedding_constant": 1.0,
        }
    )
    table = score_correlations(frame).set_index("score")
    assert list(table.index) == ["rank", "noise"]
    assert table.loc["rank", "rho"] == pytest.approx(1.0)
    assert table.loc["rank", "p_value"] < 0.01
    assert (
        table.loc["noise", "rho_low"] < table.loc["noise", "rho"] < table.loc["noise", "rho_high"]
    )
    assert table.loc["noise", "p_value"] > 0.05
    assert score_correlations(pd.DataFrame({"state": ["done"]})).empty


def test_systems_are_not_mixed_in_a_correlation() -> None:
    # In each system the score goes with skill; over both together it seems to go against it.
    score = np.concatenate([np.arange(6.0), np.arange(6.0) + 100])
    vpt = np.concatenate([np.arange(6.0) + 50, np.arange(6.0)])
    frame = pd.DataFrame({"state": "done", "system": ["a"] * 6 + ["b"] * 6, "parameters": "",
                          "metric.vpt_mean": vpt, "metric.embedding_s": score})  # fmt: skip
    assert list(score_correlations(frame)["rho"]) == pytest.approx([1.0, 1.0])


def test_the_interval_of_a_rank_correlation_covers_it() -> None:
    rng = np.random.default_rng(3)
    correlation = 0.6
    truth = 6 / np.pi * np.arcsin(correlation / 2)  # Spearman's of a bivariate normal
    covered = 0
    for _ in range(500):
        x, noise = rng.standard_normal((2, 30))
        y = correlation * x + np.sqrt(1 - correlation**2) * noise
        found = spearman(np.stack([x, y], axis=1))
        covered += found["rho_low"] <= truth <= found["rho_high"]
    assert 0.93 <= covered / 500 <= 0.97
