"""How much faster the kernels have to be than their peers: `make benchmark`, on a quiet machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = [Path(__file__).parent / name for name in ("bench_kernels.py", "bench_large.py")]

AT_LEAST = [
    ("Lorenz-96, 40 sites × 1024, float64", "np.roll", 30),
    ("Lorenz-96, 40 sites × 1024, float32", "np.roll", 50),
    ("Lorenz-96, ring of 1000000, float64", "np.roll", 20),
    ("Kuramoto-Sivashinsky ETDRK4, 64 points × 64, float64", "exponax", 7),
    ("Kuramoto-Sivashinsky ETDRK4, 64 points × 64, float32", "exponax", 7),
    ("Kuramoto-Sivashinsky ETDRK4, 512 points × 64, float64", "exponax", 7),
    ("Kuramoto-Sivashinsky ETDRK4, 512 points × 64, float32", "exponax", 7),
    ("Kuramoto-Sivashinsky ETDRK4, one field of 1048576 points, float64", "scipy.fft", 7),
    ("Kuramoto-Sivashinsky ETDRK4, one field of 1048576 points, float64", "scipy.fft in place", 5),
    ("Kuramoto-Sivashinsky to 1e-05 after 5 units, 64 points × 1024", "exponax", 15),
]
"""Contest, peer, and the ratio of medians that was reached with some margin when written."""


@pytest.fixture(scope="module")
def ratios():
    results = []
    for script in SCRIPTS:
        command = [sys.executable, script, "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        results += json.loads(done.stdout)["results"]
    return {(r["contest"], r["contender"]): r["ours_is_faster_by"] for r in results}


@pytest.mark.benchmark
@pytest.mark.parametrize(("contest", "peer", "at_least"), AT_LEAST)
def test_ratio(ratios, contest, peer, at_least):
    if (contest, peer) not in ratios:
        pytest.skip(f'{peer} is not installed: pip install ".[baselines]"')
    assert ratios[contest, peer] >= at_least
