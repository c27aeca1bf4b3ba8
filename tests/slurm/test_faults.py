"""What goes wrong on clusters: lost nodes, preemption, hangs, limits, divergence, memory.

All that can finish does, bit-identical to what nothing disturbed; the rest says why it did not.
"""

import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobs.running.attempt import last_step

from .cluster import NODES, Cluster
from .conftest import SITE, User
from .sweeps import SMALL, all_over, attempts, wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(1500)]

MEMORY_BYTES = 150_000_000
"""More than a driver and mpirun take, less than a rank that imports torch."""


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
    assert any("hpcbench/parallel/" in path.read_text() for path in stacks)

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


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """A control group with little memory; the file that takes processes in."""
    first = Path("/sys/fs/cgroup/memory")
    group = (first if first.is_dir() else Path("/sys/fs/cgroup")) / f"hpcbench-{os.getpid()}"
    limit = "memory.limit_in_bytes" if first.is_dir() else "memory.max"
    try:
        group.mkdir()
        (group / limit).write_text(str(MEMORY_BYTES))
    except OSError as error:
        pytest.skip(f"REAL OUT OF MEMORY UNTESTED HERE: no control group: {error}")
    yield group / "cgroup.procs"
    wait_for(lambda: not (group / "cgroup.procs").read_text(), 30, "the group to empty")
    group.rmdir()


def test_the_kernel_kills_a_rank_for_want_of_memory(user: User, small_memory: Path) -> None:
    """Ranks under mpirun belong to the job's own control group, whose kills are counted."""
    join = user.folder / "join.sh"
    join.write_text(f"echo $$ > {small_memory}\n")
    site = user.folder / "little.toml"
    text = SITE.replace('"srun"', '"mpirun"').replace('["--mpi=pmix"]', "[]")
    site.write_text(f'scripts = ["{join}"]\n{text}')
    text = SMALL.format(name="memory", hidden=8, window=16, steps=2, every=0)
    user.submit(user.study("warm", text.replace('"memory"', '"warm"')))
    wait_for(all_over(user, "warm"), 300, "the dataset")  # made with all the memory there is
    user.submit(user.study("memory", text), "little.toml")
    wait_for(all_over(user, "memory"), 300, "the end of the memory")
    (point,) = user.points("memory").values()
    assert point["value"] == "out of memory", point
    assert "the kernel killed a rank" in point["reason"]
    assert len(attempts(user, "memory", point["name"])) == 1
    again = user.types("resume", "memory", "--site", "cluster.toml")
    assert again["results"][0]["value"] == 0
