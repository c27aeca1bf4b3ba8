"""Methods ranked by skill with significance, cost against skill, and what skill goes with."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from analysis.statistics.intervals import RESAMPLING_SEED, mean_interval
from analysis.statistics.significance import holm, permutation_test

Array = npt.NDArray[Any]

RANKING_COLUMNS = (
    "system", "parameters", "model", "method", "variant", "n", "vpt", "vpt_low", "vpt_high",
    "mean_rank", "p_value", "verdict", "training_seconds", "reached", "time_to_target_seconds",
    "samples_to_target", "peak_memory_bytes",
)  # fmt: skip
METHOD_COSTS = ("training_seconds", "time_to_target_seconds", "samples_to_target",
              "peak_memory_bytes")  # fmt: skip
"""Columns of the runs of which a method has the median."""
CORRELATION_COLUMNS = (
    "system", "parameters", "score", "rho", "rho_low", "rho_high", "n", "p_value",
)  # fmt: skip
METHOD = ["model", "method", "variant"]
"""What makes a method: runs that agree in these are repeats of each other."""

NUM_PERMUTATIONS = 4000
NORMAL_95 = 1.96


def method_ranking(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return methods (:data:`METHOD`) of each system by mean VPT, the best first.

    A method is ``worse`` than the best when a permutation test over their runs, Holm-adjusted
    over the methods of the system, says so at 5 %; otherwise the difference is ``undecided``.
    ``mean_rank`` is the mean place over the seeds that every method ran. Costs are medians over
    the runs, to the target over those that ``reached`` it, of which there is the share; NaN where
    no run did.
    """
    scored = accuracy[(accuracy["state"] == "done") & accuracy["vpt_mean"].notna()]
    if "variant" not in scored:
        scored = scored.assign(variant="")
    scored = scored.reindex(columns=list(dict.fromkeys([*scored.columns, *METHOD_COSTS])))
    rows: list[dict[str, Any]] = []
    for key, system in scored.groupby(["system", "parameters"], sort=True):
        groups = {k: g["vpt_mean"].to_numpy() for k, g in system.groupby(METHOD)}
        costs: Any = system.groupby(METHOD)[list(METHOD_COSTS)].median().to_dict("index")
        reached = system["time_to_target_seconds"].notna()
        shares: Any = reached.groupby([system[c] for c in METHOD]).mean() if reached.any() else {}
        order = sorted(groups, key=lambda k: -float(np.mean(groups[k])))
        best = groups[order[0]]
        p_values = holm([permutation_test(best, groups[k]) for k in order[1:]])
        places = mean_places(system)
        for place, method in enumerate(order):
            interval = mean_interval(groups[method])
            p = math.nan if place == 0 else float(p_values[place - 1])
            verdict = "best" if place == 0 else "worse" if p <= 0.05 else "undecided"
            rows.append(
                {**dict(zip(RANKING_COLUMNS[:2], key, strict=True)),
                 **dict(zip(METHOD, method, strict=True)), "n": interval.n,
                 "vpt": interval.value, "vpt_low": interval.low, "vpt_high": interval.high,
                 "mean_rank": places.get(method, math.nan), "p_value": p, "verdict": verdict,
                 "reached": shares.get(method, math.nan), **costs[method]}
            )  # fmt: skip
    return pd.DataFrame(rows, columns=list(RANKING_COLUMNS))


def mean_places(system: pd.DataFrame) -> dict[Any, float]:
    """Return the mean place of each method over the seeds all of them ran (1 = the best)."""
    table = system.pivot_table(
        index="seed", columns=METHOD, values="vpt_mean", aggfunc="mean"
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

    Of every system on its own: Spearman's ρ with its 95 % interval, and its permutation p-value,
    Holm-adjusted over the scores. The interval is tanh(artanh ρ ± 1.96 √((1 + ρ²/2)/(n − 3))).

    Reference: D. G. Bonett and T. A. Wright, Psychometrika 65 (2000) 23, doi:10.1007/BF02294183.
    """
    scores = [str(name) for name in frame.columns if str(name).startswith(prefix)]
    done = frame[frame["state"] == "done"]
    if not scores or "metric.vpt_mean" not in done:
        return pd.DataFrame(columns=list(CORRELATION_COLUMNS))
    tables = []
    for (system, parameters), runs in done.groupby(["system", "parameters"], sort=True):
        rows = [
            {"system": system, "parameters": parameters, "score": name.removeprefix(prefix), **row}
            for name in scores
            if (row := spearman(runs[[name, "metric.vpt_mean"]].dropna().to_numpy()))
        ]
        table = pd.DataFrame(rows, columns=list(CORRELATION_COLUMNS))
        tables.append(table.assign(p_value=holm(table["p_value"].to_numpy())))
    filled = [table for table in tables if len(table)]
    if not filled:
        return pd.DataFrame(columns=list(CORRELATION_COLUMNS))
    return pd.concat(filled, ignore_index=True)


def spearman(pairs: Array) -> dict[str, float]:
    """Return ρ, its interval and p-value of pairs (run, 2); empty where there is none to tell."""
    if len(pairs) < 4 or any(len(np.unique(column)) < 2 for column in pairs.T):
        return {}
    x, y = (stats.rankdata(column) for column in pairs.T)
    rho = float(np.clip(np.corrcoef(x, y)[0, 1], -1, 1))
    rng = np.random.default_rng(RESAMPLING_SEED)
    shuffled = rng.permuted(np.tile(x, (NUM_PERMUTATIONS, 1)), axis=1)
    chance = (shuffled - x.mean()) @ (y - y.mean()) / (len(x) * x.std() * y.std())
    p = (1 + float(np.sum(np.abs(chance) >= abs(rho) - 1e-12))) / (1 + NUM_PERMUTATIONS)
    reach = NORMAL_95 * math.sqrt((1 + rho**2 / 2) / (len(x) - 3))
    centre = math.atanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
    low, high = math.tanh(centre - reach), math.tanh(centre + reach)
    return {"rho": rho, "rho_low": low, "rho_high": high, "n": len(x), "p_value": p}
