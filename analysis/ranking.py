"""Methods ranked by skill with significance, cost against skill, and what skill goes with."""

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.statistics import RESAMPLING_SEED, holm, mean_interval, permutation_test

RANK_COLUMNS = (
    "system", "parameters", "model", "method", "n", "vpt", "vpt_low", "vpt_high", "mean_rank",
    "p_value", "verdict",
)  # fmt: skip
NUM_PERMUTATIONS = 4000


def method_ranks(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return methods (model and training method) of each system by mean VPT, the best first.

    A method is ``worse`` than the best when a permutation test over their runs, Holm-adjusted
    over the methods of the system, says so at 5 %; otherwise the difference is ``undecided``.
    The mean rank is over seeds that every method ran.
    """
    scored = accuracy[(accuracy["state"] == "done") & accuracy["vpt_mean"].notna()]
    rows: list[dict[str, Any]] = []
    for key, system in scored.groupby(["system", "parameters"], sort=True):
        groups = {k: g["vpt_mean"].to_numpy() for k, g in system.groupby(["model", "method"])}
        order = sorted(groups, key=lambda k: -float(np.mean(groups[k])))
        best = groups[order[0]]
        p_values = holm([permutation_test(best, groups[k]) for k in order[1:]])
        ranks = mean_ranks(system)
        for place, method in enumerate(order):
            interval = mean_interval(groups[method])
            p = math.nan if place == 0 else float(p_values[place - 1])
            verdict = "best" if place == 0 else "worse" if p <= 0.05 else "undecided"
            rows.append(
                {**dict(zip(RANK_COLUMNS[:2], key, strict=True)),
                 **dict(zip(RANK_COLUMNS[2:4], method, strict=True)), "n": interval.n,
                 "vpt": interval.value, "vpt_low": interval.low, "vpt_high": interval.high,
                 "mean_rank": ranks.get(method, math.nan), "p_value": p, "verdict": verdict}
            )  # fmt: skip
    return pd.DataFrame(rows, columns=list(RANK_COLUMNS))


def mean_ranks(system: pd.DataFrame) -> dict[Any, float]:
    """Return the mean rank of each (model, method) over the seeds all of them ran (1 = best)."""
    table = system.pivot_table(
        index="seed", columns=["model", "method"], values="vpt_mean", aggfunc="mean"
    ).dropna()
    if table.empty:
        return {}
    return (table.rank(axis=1, ascending=False).mean()).to_dict()


def pareto_front(cost: pd.Series, skill: pd.Series) -> pd.Series:
    """Return which points no other beats in both: at most their cost with at least their skill."""
    c, s = cost.to_numpy(dtype=float), skill.to_numpy(dtype=float)
    known = np.isfinite(c) & np.isfinite(s)
    best = np.zeros(len(c), dtype=bool)
    order = np.lexsort((-s, c))
    highest = -math.inf
    for i in order:
        if known[i] and s[i] > highest:
            best[i], highest = True, s[i]
    return pd.Series(best, index=cost.index)


def score_correlations(frame: pd.DataFrame, prefix: str = "metric.embedding_") -> pd.DataFrame:
    """Return the rank correlation of each embedding score with VPT over the finished runs.

    Spearman's ρ with its permutation p-value, Holm-adjusted over the scores.
    """
    columns = [str(name) for name in frame.columns if str(name).startswith(prefix)]
    done = frame[frame["state"] == "done"]
    rng = np.random.default_rng(RESAMPLING_SEED)
    rows = []
    for name in columns if "metric.vpt_mean" in done else []:
        both = done[[name, "metric.vpt_mean"]].dropna()
        if len(both) < 4 or both[name].nunique() < 2 or both["metric.vpt_mean"].nunique() < 2:
            continue
        x, y = (stats.rankdata(both[column]) for column in (name, "metric.vpt_mean"))
        rho = float(np.corrcoef(x, y)[0, 1])
        shuffled = rng.permuted(np.tile(x, (NUM_PERMUTATIONS, 1)), axis=1)
        centred = (shuffled - x.mean()) @ (y - y.mean()) / (len(x) * x.std() * y.std())
        p = (1 + float(np.sum(np.abs(centred) >= abs(rho) - 1e-12))) / (1 + NUM_PERMUTATIONS)
        rows.append({"score": name.removeprefix(prefix), "rho": rho, "n": len(both), "p_value": p})
    table = pd.DataFrame(rows, columns=["score", "rho", "n", "p_value"])
    return table.assign(p_value=holm(table["p_value"].to_numpy()))
