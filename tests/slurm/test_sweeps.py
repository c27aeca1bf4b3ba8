"""Sweeps on a real scheduler: three nodes, real training, a thousand points.

Each test submits with one command and looks only at what a user sees: status, records, files.
"""

import datetime
import json
import os
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

import h5py
import pytest

from jobs.launch.command import hpcbench_argv

from .cluster import NODES, Cluster
from .conftest import User
from .sweeps import SMALL, all_over, attempts, wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(1500)]

NUM_MANY = 1000
"""Points of the study of trivial tasks."""

NUM_TURNS = 5
"""Starts with our layer and without it, in turns."""


def test_a_study_over_nodes_back_ends_and_datasets(user: User) -> None:
    text = (
        SMALL.format(name="scaling", hidden=8, window=16, steps=60, every=0)
        + """
[axes]
exclude = ["dataset.parameters.forcing == 10.0 and ranks != 2"]

[axes.grid]
backend = ["horovod", "ddp"]
"dataset.parameters.forcing" = [8.0, 10.0]

[scaling]
mode = "strong"
ranks = [1, 2, 3]
fixed = ["train.global_batch"]
"""
    )
    path = user.study("scaling", text.replace("min = 1", "min = 2"))
    begin = time.monotonic()
    submitted = user.submit(path)
    assert {r["name"]: r["value"] for r in submitted["results"]} == {"submitted": 16, "jobs": 18}
    print(f"\nsubmitted after {time.monotonic() - begin:.1f} s", file=sys.__stderr__)
    wait_for(all_over(user, "scaling"), 1200, "the study")
    print(f"done after {time.monotonic() - begin:.0f} s", file=sys.__stderr__)

    points = user.points("scaling")
    assert Counter(point["value"] for point in points.values()) == {"done": 16}
    for point in points.values():
        assert point["job_id"]
        assert set(point["nodes"]) <= set(NODES)
        assert set(point["times"]) == {"queue", "launch", "init", "run"}
        assert all(seconds >= 0 for seconds in point["times"].values())
    provenance = [
        json.loads(path.read_text())
        for path in user.runs.glob("scaling/points/*/a1/provenance.json")
    ]
    spread = Counter(len({rank["host"] for rank in entry["ranks"]}) for entry in provenance)
    assert spread == {1: 4, 2: 8, 3: 4}
    assert all(rank["slurm"]["SLURM_JOB_ID"] for entry in provenance for rank in entry["ranks"])

    again = user.submit(path)
    assert again["results"] == [{"name": "submitted", "value": 0, "unit": "points"}]
    user.types("report", user.runs / "scaling", "--out", user.folder / "report")
    assert (user.folder / "report" / "scaling.csv").exists()


def first_step(folder: Path) -> float:
    """Time of day at which the first optimisation step of a run was finished."""
    times = json.loads((folder / "provenance.json").read_text())["times"]
    with h5py.File(folder / "metrics.h5") as file:
        return float(times["ready"] + file["step_seconds"][0, 0])


def test_first_step_comes_as_soon_as_under_bare_srun(user: User, cluster: Cluster) -> None:
    """Submission to first step takes at most 2 s more than srun of the same program, in turns."""
    text = SMALL.format(name="warm", hidden=8, window=16, steps=2, every=0)
    user.submit(user.study("warm", text))  # makes the dataset, fills the page cache
    wait_for(all_over(user, "warm"), 300, "the first study")
    extra = []
    for number in range(NUM_TURNS):
        name = f"timed{number}"
        user.submit(user.study(name, text.replace('"warm"', f'"{name}"\nseed = {number + 2}')))
        (point,) = (user.runs / name / "points").iterdir()
        # without asking for the state: nothing else runs meanwhile
        wait_for((point / "a1" / "result.json").exists, 300, "the timed study")
        wait_for(all_over(user, name), 60, "its end")
        (record,) = attempts(user, name, point.name)
        submitted = datetime.datetime.fromisoformat(record["submitted"]).timestamp()
        ours = first_step(point / "a1") - submitted

        dataset = next((user.runs / "datasets").glob("*.h5"))
        begin = time.time()
        cluster.call(
            "srun", "--mpi=pmix", "--ntasks=1", "--cpus-per-task=1",
            *hpcbench_argv("train", point / "config.toml", "--data", dataset),
            "--out", str(point / "bare"),
        )  # fmt: skip
        extra.append(ours - (first_step(point / "bare") - begin))
    shown = ", ".join(f"{seconds:.2f}" for seconds in sorted(extra))
    print(f"\nfirst step later than under bare srun by {shown} s", file=sys.__stderr__)
    assert statistics.median(extra) <= 2


def test_a_thousand_points(user: User) -> None:
    """Arrays are cut to what the scheduler takes, every task runs, status stays quick."""
    text = SMALL.format(name="many", hidden=8, window=16, steps=60, every=0)
    text += f"\n[axes.grid]\nhidden = {list(range(1, NUM_MANY + 1))}\n"
    site = user.folder / "trivial.toml"
    path = f"{Path(__file__).parent / 'trivial'}:{os.environ.get('PYTHONPATH', '')}"
    profile = (user.folder / "cluster.toml").read_text()
    site.write_text(f'{profile}\n[environment]\nPYTHONPATH = "{path}"\n')
    begin = time.monotonic()
    submitted = user.submit(user.study("many", text), "trivial.toml")
    print(f"\nsubmitted after {time.monotonic() - begin:.1f} s", file=sys.__stderr__)
    counts = {r["name"]: r["value"] for r in submitted["results"]}
    assert counts == {"submitted": NUM_MANY, "jobs": NUM_MANY + 1}
    begin = time.monotonic()
    user.points("many")
    print(f"status after {time.monotonic() - begin:.1f} s", file=sys.__stderr__)
    begin = time.monotonic()
    wait_for(all_over(user, "many"), 1400, "all points")
    print(f"all over after {time.monotonic() - begin:.0f} s", file=sys.__stderr__)
    assert Counter(p["value"] for p in user.points("many").values()) == {"done": NUM_MANY}
