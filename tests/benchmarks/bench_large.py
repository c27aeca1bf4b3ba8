"""A step of one large Kuramoto-Sivashinsky field by our transforms and by scipy.fft, in turns.

    python tests/benchmarks/bench_large.py [--rounds N] [--points N] [--json]

Runs on one core. `bench_kernels.py` does the same for ensembles and small rings.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft
from bench_kernels import Contest, fft_etdrk4, ks_length, show

from hpcbench.parallel.ranks import Ranks
from sims import kernels
from sims.bench.cores import pin
from sims.space.field import Field
from sims.space.shared_state import SharedState
from sims.space.tiled_field import TiledField
from sims.systems.flows.kuramoto_sivashinsky import (
    KuramotoSivashinsky,
    KuramotoSivashinskyParameters,
)

STEP = 0.25


def in_place(start: np.ndarray, num_steps: int) -> Callable[[], Any]:
    """ETDRK4 with scipy.fft as one writes it for a long vector: no array is made in a step."""
    num_points = start.size
    q = 2 * np.pi * np.arange(num_points // 2 + 1) / ks_length(num_points)
    w = kernels.exponential.etdrk4_weights(STEP * (q**2 - q**4))
    slope = -0.5j * STEP * q
    slope[-1] = 0
    v = scipy.fft.rfft(start)
    a, stage, total, term, n_v = np.empty((5, v.size), complex)

    def nonlinear(of: np.ndarray) -> np.ndarray:
        u = scipy.fft.irfft(of, num_points)
        np.square(u, out=u)
        found = scipy.fft.rfft(u, overwrite_x=True)
        found *= slope
        return found

    def advance() -> np.ndarray:
        for _ in range(num_steps):
            n_v[...] = nonlinear(v)
            np.multiply(w["half"], v, out=a)
            a[...] += np.multiply(w["q"], n_v, out=term)
            np.multiply(w["full"], v, out=total)
            total[...] += np.multiply(w["alpha"], n_v, out=term)
            n = nonlinear(a)
            np.multiply(w["half"], v, out=stage)
            stage[...] += np.multiply(w["q"], n, out=term)
            n *= 2
            total[...] += np.multiply(w["beta"], n, out=term)
            n = nonlinear(stage)
            n *= 2
            total[...] += np.multiply(w["beta"], n, out=term)
            n -= n_v
            np.multiply(w["half"], a, out=stage)
            stage[...] += np.multiply(w["q"], n, out=term)
            n = nonlinear(stage)
            n *= w["gamma"]
            np.add(total, n, out=v)
        return v

    return advance


def contest(num_points: int) -> Contest:
    parameters = KuramotoSivashinskyParameters(
        num_points=num_points, domain_length=ks_length(num_points)
    )
    system = KuramotoSivashinsky(parameters, kernel="reference")
    start = system.initial_states(1, range(1))[0]
    result = Contest(f"Kuramoto-Sivashinsky ETDRK4, one field of {num_points} points, float64")

    def add(name: str, field: SharedState, num_steps: int) -> None:
        field.load(field.arrange(start))
        result.add(name, lambda: field.advance(num_steps), float(num_points * num_steps))

    add("ours", TiledField(system, STEP, Ranks()), 2)
    add("ours, readable four-step", Field(system, STEP, Ranks()), 1)
    result.add("scipy.fft in place", in_place(start, 1), float(num_points))
    plain = fft_etdrk4(start, STEP, 1, scipy.fft.rfft, scipy.fft.irfft)
    result.add("scipy.fft", plain, float(num_points))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--points", type=int, default=1 << 20)
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    arguments = parser.parse_args()
    pin(None)
    show(contest(arguments.points).run(arguments.rounds), arguments.rounds, arguments.json)


if __name__ == "__main__":
    main()
