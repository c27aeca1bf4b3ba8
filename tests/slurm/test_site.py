"""The commands around a sweep on a real scheduler: doctor, mpirun as launcher, pairs, watching."""

import json
import subprocess
import sys

import pytest

from .conftest import SITE, User
from .sweeps import SMALL, attempts

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]


def test_doctor_examines_the_site(user: User) -> None:
    found = {r["name"]: r for r in user.types("doctor", "--site", "cluster.toml")["results"]}
    assert {name: r["status"] for name, r in found.items() if r["status"] != "pass"} == {}
    assert found["ranks"]["value"] == 2
    assert found["allreduce_horovod"]["value"] == 1
    wrong = user.folder / "wrong.toml"
    wrong.write_text(f'partition = "bach"\nconstraint = "gpu"\n{SITE}')
    found = {r["name"]: r for r in user.types("doctor", "--site", "wrong.toml", code=4)["results"]}
    assert found["partition"]["hint"] == "partition: valid: batch, urgent"
    assert found["trial_job"]["status"] == "warn"


def test_pairs_alternate_inside_one_allocation_of_mpirun(user: User) -> None:
    """Two back-ends, A B B A on two nodes in one job; watched to the end; quality in the report."""
    site = user.folder / "mpirun.toml"
    site.write_text(SITE.replace('"srun"', '"mpirun"').replace('["--mpi=pmix"]', "[]"))
    text = SMALL.format(name="pairs", hidden=8, window=16, steps=60, every=0)
    text = text.replace('"pairs"', '"pairs"\norder = "abba"\ncompare = "backend"')
    text = text.replace('backend = "horovod"', "validate_every = 20").replace("min = 1", "min = 2")
    text = text.replace("[resources]", "[resources]\nranks = 2")
    text += '\n[axes.grid]\nbackend = ["horovod", "mpi"]\n'
    text += '\n[quality]\nmetric = "validation_loss"\ntarget = 10.0\n'
    submitted = user.submit(user.study("pairs", text), "mpirun.toml")
    assert {r["name"]: r["value"] for r in submitted["results"]} == {"submitted": 4, "jobs": 2}

    watch = [sys.executable, "-P", "-m", "hpcbench.cli", "status", "pairs", "--watch"]
    watched = subprocess.run(
        watch,
        env=user.cluster.environment,
        cwd=user.folder,
        capture_output=True,
        text=True,
        timeout=400,
        check=True,
    )
    counts = [line for line in watched.stderr.splitlines() if "4 points:" in line]
    assert len(counts) > 1
    assert counts[-1].endswith("4 points: 4 done"), watched.stdout

    plan = json.loads((user.runs / "pairs" / "study.json").read_text())["points"]
    backend = {point["id"]: point["varied"]["train.backend"] for point in plan}
    records = [attempts(user, "pairs", point)[-1] for point in backend]
    records.sort(key=lambda record: record["launched"])
    order = [backend[record["point"]] for record in records]
    assert order == ["horovod", "mpi", "mpi", "horovod"]
    assert len({record["job_id"] for record in records}) == 1
    assert {len(record["nodes"]) for record in records} == {2}

    user.types("report", user.runs / "pairs", "--out", user.folder / "report")
    assert (user.folder / "report" / "quality.csv").exists()
