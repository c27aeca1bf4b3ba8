"""Run the tests marked ``mpi`` inside an MPI job: ``mpiexec -n 2 python tests/run_mpi.py``.

Every rank runs the same tests in the same order; rank 0 alone prints the progress. A failing
rank reports on standard error and ends the job (see conftest.py).
"""

import os
import sys
from pathlib import Path

import pytest
from mpi4py import MPI

if __name__ == "__main__":
    if MPI.COMM_WORLD.Get_rank() > 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    os.chdir(Path(__file__).resolve().parent.parent)
    # mpirun gives its ranks a terminal even where it has none itself, hence no colours.
    options = ["-m", "mpi", "-q", "--color=no", "-p", "no:cacheprovider"]
    raise SystemExit(pytest.main([*options, *(sys.argv[1:] or ["tests"])]))
