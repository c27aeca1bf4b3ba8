"""A test that fails on one rank ends the MPI job, with its report, instead of hanging it."""

import shutil
import sys
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent

FAILS_ON_RANK_1 = """
import pytest
from mpi4py import MPI

pytestmark = pytest.mark.mpi


def test_together():
    assert MPI.COMM_WORLD.Get_rank() == 0, "rank 1 leaves"
    MPI.COMM_WORLD.Barrier()
"""


def test_a_failing_rank_ends_the_job(mpirun: Any, tmp_path: Path) -> None:
    for name in ("conftest.py", "run_mpi.py"):
        shutil.copy(TESTS / name, tmp_path)
    (tmp_path / "test_fails.py").write_text(FAILS_ON_RANK_1)
    result = mpirun(
        2, [sys.executable, "-P", tmp_path / "run_mpi.py", tmp_path / "test_fails.py"], timeout=60
    )
    assert result.returncode != 0
    assert "test_fails.py::test_together failed" in result.stderr
    assert "rank 1: " in result.stderr
    assert "rank 1 leaves" in result.stderr
