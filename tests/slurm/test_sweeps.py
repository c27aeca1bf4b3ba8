"""Sweeps on a real scheduler: three nodes, real training, real faults.

Each test submits with one command and looks only at what a user sees: status, records, files.
"""

import datetime
import hashlib
import json
import os
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import psutil
import pytest

from jobs.attempt import last_step
from jobs.launch import hpcbench_argv

from .cluster import NODES, Cluster
from .conftest import User

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(1500)]

SMALL = """
[study]
name = "{name}"

[dataset]
spec = "sims/specs/lorenz96_smoke.toml"

[dataset.sampling]
num_trajectories = 40
num_samples = 400

[model]
hidden = {hidden}
coupling = "global"

[train]
window = {window}
global_batch = 12
steps = {steps}
checkpoint_every = {every}
backend = "horovod"

[forecast]
initial_conditions = 4
warm_up = 20
horizon = 2.0

[repeat]
min = 1

[resources]
cores_per_rank = 1
minutes = 10
hang_minutes = 1.0
"""


NUM_MANY = 1000
"""Points of the study of trivial tasks."""

NUM_TURNS = 5
"""Starts with our layer and without it, in turns."""


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(1)
    return value


def all_over(user: User, name: str) -> Callable[[], bool]:
    def over() -> bool:
        states = {result["value"] for result in user.points(name).values()}
        return not states & {"pending", "running"}

    return over


def attempts(user: User, name: str, point: str) -> list[dict[str, Any]]:
    folders = sorted(
        (user.runs / name / "points" / point).glob("a[0-9]*"), key=lambda p: int(p.name[1:])
    )
    return [json.loads((folder / "attempt.json").read_text()) for folder in folders]


def weights(user: User, name: str, point: str) -> str:
    """Hash of the model in the last checkpoint of the last attempt."""
    last = attempts(user, name, point)[-1]["attempt"]
    steps = sorted((user.runs / name / "points" / point / last / "checkpoint").glob("[0-9]*"))
    return hashlib.sha256((steps[-1] / "model.safetensors").read_bytes()).hexdigest()


def status_text(folder: Path) -> str:
    path = folder / "status.json"
    return path.read_text() if path.exists() else ""


def rank_process(folder: Path) -> int:
    """Return the process of one rank that trains into a folder."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if words[:1] == [sys.executable] and "train" in words and str(folder) in words:
            return int(process.pid)
    raise AssertionError(f"no rank trains into {folder}")


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


def test_what_happens_to_nodes_and_ranks(user: User, cluster: Cluster) -> None:
    """A node is lost, a job preempted, a rank hangs: all points end as if nothing had been."""
    text = SMALL.format(name="faults", hidden=128, window=64, steps=1500, every=20)
    # One flat message: Horovod groups tensors as they come, and the order in which three ranks
    # are summed up follows the size of a group.
    text = text.replace("hang_minutes = 1.0", "hang_minutes = 0.5").replace("horovod", "mpi")
    text += "\n[axes.grid]\nranks = [1, 2, 3]\n"
    user.submit(user.study("faults", text))
    by_ranks = {
        point["ranks"]: point["id"]
        for point in json.loads((user.runs / "faults" / "study.json").read_text())["points"]
    }

    def training(ranks: int) -> Path | None:
        """Return the folder of a point's attempt that is taking steps now."""
        records = attempts(user, "faults", by_ranks[ranks])
        if not records or records[-1]["state"] != "running":
            return None
        name = records[-1]["attempt"]
        folder = user.runs / "faults" / "points" / by_ranks[ranks] / name
        status = status_text(folder)
        step = json.loads(status)["step"] if status else 0
        return folder if step >= 20 and last_step(folder) else None

    def ended(ranks: int) -> list[dict[str, Any]]:
        return attempts(user, "faults", by_ranks[ranks])[:-1]

    # a more urgent job takes the node of the one-rank point
    for ranks in by_ranks:
        wait_for(lambda ranks=ranks: training(ranks), 300, f"the point on {ranks} nodes")
    (node,) = attempts(user, "faults", by_ranks[1])[-1]["nodes"]
    script = user.folder / "urgent.sh"
    script.write_text("#!/bin/sh\nsleep 3\n")
    cluster.call(
        "sbatch", "--partition=urgent", "--exclusive", f"--nodelist={node}", "--output=/dev/null",
        str(script),
    )  # fmt: skip
    urgent = ["squeue", "--noheader", "--partition=urgent", "--states=PENDING"]
    wait_for(lambda: not cluster.call(*urgent).strip(), 120, "the urgent job")

    # one rank of the two-rank point hangs
    folder = wait_for(lambda: training(2), 300, "the point on 2 nodes")
    os.kill(rank_process(folder), signal.SIGSTOP)

    # a node of the three-rank point goes down
    wait_for(lambda: training(3), 300, "the point on 3 nodes")
    victim = NODES[-1]
    cluster.stop_node(victim)
    state = ["sinfo", "--noheader", f"--nodes={victim}", "--partition=batch", "--format=%T"]
    wait_for(lambda: "down" in cluster.call(*state), 120, "the scheduler to notice")
    cluster.start_node(victim)
    wait_for(all_over(user, "faults"), 900, "the study")

    assert {p["value"] for p in user.points("faults").values()} == {"done"}
    assert "preempted" in {record["state"] for record in ended(1)}
    assert any("hung" in record["reason"] for record in ended(2))
    assert "node failure" in {record["state"] for record in ended(3)}
    stacks = user.runs.glob(f"faults/points/{by_ranks[2]}/a*/stacks.*.txt")
    assert any("communicator.py" in path.read_text() for path in stacks)

    # the same points, undisturbed
    user.submit(user.study("reference", text.replace('"faults"', '"reference"')))
    wait_for(all_over(user, "reference"), 900, "the undisturbed study")
    for point in by_ranks.values():  # ids are made of content, so they are the same
        assert weights(user, "faults", point) == weights(user, "reference", point)


def test_time_limits_and_divergence(user: User) -> None:
    """Work longer than its limit is split, unless that is forbidden; what diverges is named."""
    text = SMALL.format(name="probe", hidden=128, window=64, steps=100, every=20)
    text = text.replace("minutes = 10", "minutes = 2")
    user.submit(user.study("probe", text))
    wait_for(all_over(user, "probe"), 300, "the probe")
    (point,) = user.points("probe").values()
    result = json.loads((Path(point["attempt"]) / "result.json").read_text())
    (step_seconds,) = [m["value"] for m in result["metrics"] if m["name"] == "step_seconds"]
    steps = round(120 / step_seconds)

    text = text.replace("steps = 100", f"steps = {steps}")
    user.submit(user.study("long", text.replace('"probe"', '"long"')))
    whole = text.replace("minutes = 2", "minutes = 2\nsplit = false")
    user.submit(user.study("short", whole.replace('"probe"', '"short"')))
    wild = text.replace("steps =", "learning_rate = 1e30\nsteps =")
    user.submit(user.study("wild", wild.replace('"probe"', '"wild"')))

    wait_for(all_over(user, "wild"), 300, "the divergence")
    (point,) = user.points("wild").values()
    assert point["value"] == "diverged"
    assert "the loss is" in point["reason"]
    assert any("loss" in line for line in point["log"])

    wait_for(all_over(user, "short"), 400, "the time limit")
    (point,) = user.points("short").values()
    assert point["value"] == "timed out"
    assert "time limit" in point["reason"]
    (record,) = attempts(user, "short", point["name"])
    assert 0 < record["last_step"] < steps

    wait_for(all_over(user, "long"), 1200, "the split work")
    (point,) = user.points("long").values()
    assert point["value"] == "done"
    records = attempts(user, "long", point["name"])
    assert [record["state"] for record in records[:-1]] == ["timed out"] * (len(records) - 1)
    assert len(records) > 1
    assert len({record["job_id"] for record in records}) == 1


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
    profile = (user.folder / "cluster.toml").read_text().replace('"PYTHONPATH"', "")
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
