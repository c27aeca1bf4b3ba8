"""``hpcbench smoke``: the whole pipeline on this machine, on real components, in minutes.

Two datasets are generated under ``mpirun -n 2``, LSTMs are trained on them with Horovod, on one
and on two ranks at the same global batch, their forecasts are scored, and a report is written.
Three gates must hold: the skill on Lorenz-96, the skill on Kuramoto–Sivashinsky against the
trivial forecasts, and equal loss curves on one and two ranks.
"""

import argparse
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from analysis.report.report import write_report
from hpcbench.console import message, print_results
from hpcbench.errors import GateFailed, InputError
from hpcbench.run.files import read_json, write_json
from hpcbench.run.record import read_result
from hpcbench.run.source_version import ROOT
from jobs.launch.command import hpcbench_argv
from jobs.launch.launch import run

QUESTION = (
    "Does the whole pipeline work on this machine, does the LSTM forecast chaos better than the "
    "trivial forecasts, and what does a second rank bring?"
)

LEAST_VPT = 4.0
"""Mean valid prediction time on Lorenz-96 (Lyapunov times) below which something is broken.

Published with the same data: 2.31 by a reservoir, 0.97 by an LSTM (Vlachas et al. 2020).
"""

COMPARED_STEPS = 50
LOSS_TOLERANCE = 1e-5
"""Largest relative difference of the first losses on one and on two ranks, in float32."""

SCALING_STEPS = 2000
"""Steps on one rank: enough to time them, and to compare the first losses."""


@dataclass(frozen=True)
class Stage:
    """One command of the pipeline: what it is called, its ranks and its arguments."""

    title: str
    ranks: int
    arguments: tuple[str | Path, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``hpcbench smoke``."""
    parser.add_argument(
        "--out", type=Path, default=Path("runs/smoke"), help="folder to write (default: runs/smoke)"
    )


def command(arguments: argparse.Namespace) -> int:
    """Run ``hpcbench smoke``."""
    out: Path = arguments.out
    begin = time.monotonic()
    _start_anew(out)
    stages = _stages(out)
    for number, stage in enumerate(stages, start=1):
        ranks = f"{stage.ranks} rank{'s' if stage.ranks > 1 else ''}"
        message(f"[{number}/{len(stages) + 1}] {stage.title} ({ranks})")
        log = out / "logs" / f"{number}.log"
        # one thread a rank throughout: a second rank then brings a second core
        environment = {"OMP_NUM_THREADS": "1"}
        run(stage.ranks, hpcbench_argv(*stage.arguments), log=log, environment=environment)
    message(f"[{len(stages) + 1}/{len(stages) + 1}] report")
    report = write_report([out], out / "report")
    seconds = time.monotonic() - begin
    gates = _gates(out)
    if arguments.json:
        print_results(gates, True, {"report": str(report.page), "seconds": seconds})
    else:
        lorenz96, ks = (_metrics(_point(out, name)) for name in ("lorenz96", "ks"))
        message(
            f"valid prediction time: Lorenz-96 {lorenz96['vpt_mean']:.2f}, Kuramoto-Sivashinsky "
            f"{ks['vpt_mean']:.2f} Lyapunov times; {seconds:.0f} s; report: {report.page}"
        )
    failed = [gate for gate in gates if not gate["passed"]]
    if failed:
        reasons = "; ".join(f"{g['name']} is {g['value']:.3g}, {g['needs']}" for g in failed)
        raise GateFailed(f"smoke: failed: {reasons}; logs: {out / 'logs'}")
    if not arguments.json:
        print("smoke: ok", flush=True)
    return 0


def _start_anew(out: Path) -> None:
    """Clear what an earlier smoke left; refuse a folder that holds anything else."""
    if out.exists():
        mark = out / "study.json"
        name = read_json(mark).get("study", {}).get("name") if mark.exists() else None
        if name != "smoke" and any(out.iterdir()):
            raise InputError(f"{out}: holds other files than those of a smoke; give another --out")
        shutil.rmtree(out)
    try:
        (out / "logs").mkdir(parents=True)
    except OSError as error:
        raise InputError(
            f"{out}: cannot be written: {error.strerror}; give another --out"
        ) from None
    study = {"name": "smoke", "question": QUESTION}
    write_json(out / "study.json", {"schema": 1, "study": study, "scaling": {"mode": "strong"}})


def _stages(out: Path) -> list[Stage]:
    data = {name: out / "data" / f"{name}.h5" for name in ("lorenz96", "ks")}
    spec = {
        "lorenz96": ROOT / "jobs/specs/lorenz96_smoke.toml",
        "ks": ROOT / "jobs/specs/kuramoto_sivashinsky_smoke.toml",
    }
    source = {
        "lorenz96": ROOT / "sims/specs/lorenz96_smoke.toml",
        "ks": ROOT / "sims/specs/kuramoto_sivashinsky_l22_smoke.toml",
    }
    title = {"lorenz96": "Lorenz-96", "ks": "Kuramoto-Sivashinsky"}

    def train(name: str, point: str, *options: str) -> tuple[str | Path, ...]:
        return "train", spec[name], "--data", data[name], "--out", _point(out, point), *options

    short = ("--train.stop_after", str(SCALING_STEPS), "--forecast.initial_conditions", "0")
    one_rank = train("lorenz96", "lorenz96-1-rank", *short)
    simulate = [
        Stage(f"simulate {title[n]}", 2, ("simulate", source[n], "--out", data[n])) for n in data
    ]
    base = [Stage(f"time the training on {title['lorenz96']}", 1, one_rank)]
    skill = [Stage(f"train and forecast {title[n]}", 2, train(n, n)) for n in data]
    return simulate + base + skill


def _gates(out: Path) -> list[dict[str, Any]]:
    """Return the three gates: value, what it needs, and whether it holds."""
    lorenz96, ks = (_metrics(_point(out, name)) for name in ("lorenz96", "ks"))
    trivial = max(ks["vpt_persistence"], ks["vpt_climatology"])
    one, two = (_losses(_point(out, name)) for name in ("lorenz96-1-rank", "lorenz96"))
    apart = float(np.max(np.abs(two / one - 1)))
    unit = "Lyapunov times"

    def gate(name: str, value: float, unit: str, needs: str, passed: bool) -> dict[str, Any]:
        return {"name": name, "value": value, "unit": unit, "needs": needs, "passed": passed}

    return [
        gate(
            "vpt_lorenz96",
            lorenz96["vpt_mean"],
            unit,
            f"needs at least {LEAST_VPT}",
            lorenz96["vpt_mean"] >= LEAST_VPT,
        ),
        gate(
            "vpt_kuramoto_sivashinsky",
            ks["vpt_mean"],
            unit,
            f"needs more than the best trivial forecast's {trivial:.3g}",
            ks["vpt_mean"] > trivial,
        ),
        gate(
            "loss_difference_1_2_ranks",
            apart,
            "relative",
            f"needs at most {LOSS_TOLERANCE:g} over {COMPARED_STEPS} steps",
            apart <= LOSS_TOLERANCE,
        ),
    ]


def _point(out: Path, name: str) -> Path:
    return out / "points" / name / "a1"


def _metrics(point: Path) -> dict[str, float]:
    result = read_result(point)
    return {name: result.number(name) for name in result.values}


def _losses(point: Path) -> np.ndarray:
    with h5py.File(point / "metrics.h5") as file:
        return np.asarray(file["loss"][:COMPARED_STEPS])
