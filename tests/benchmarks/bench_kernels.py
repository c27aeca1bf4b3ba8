"""The same work by our kernels and by others, in turns, as ratios of medians.

    python tests/benchmarks/bench_kernels.py [--rounds N] [--json]

Runs on one core. Times are CPU seconds, so that other jobs on the core count as little as they
can. Contenders that are not installed are left out: numba and torch come with the package,
exponax and reservoirpy with the extra "baselines". Each precision runs in a process of its own,
because JAX fixes its default precision for the whole process.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.fft

from sims import kernels
from sims.bench.cores import pin
from sims.kernels.measure import Work, interleaved_rates
from sims.schemes.etdrk4 import ETDRK4
from sims.schemes.rk4 import rk4_step

FORCING, STEP = 8.0, 0.01
TARGET_ERROR = 1e-5


class Contest:
    """Works that do the same; the one called "ours" is what the others are compared with."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.works: list[Work] = []

    def add(self, name: str, call: Callable[[], Any], amount: float) -> None:
        self.works.append(Work(name, call, amount))

    def run(self, num_rounds: int) -> list[dict[str, Any]]:
        rates = interleaved_rates(self.works, num_rounds)
        ours = statistics.median(rates["ours"])
        return [
            {
                "name": f"{self.title}: {name}",
                "contest": self.title,
                "contender": name,
                "value": statistics.median(values),
                "unit": "updates/s",
                "lowest": min(values),
                "highest": max(values),
                "n": len(values),
                "ours_is_faster_by": ours / statistics.median(values),
            }
            for name, values in rates.items()
        ]


def installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


# ------------------------------------------------------------------------------- Lorenz-96


def runge_kutta(slope: Callable[[Any], Any], x: Any, num_steps: int) -> Any:
    for _ in range(num_steps):
        x = rk4_step(slope, x, STEP)
    return x


def numpy_slope(x: np.ndarray) -> np.ndarray:
    return (np.roll(x, -1, -1) - np.roll(x, 2, -1)) * np.roll(x, 1, -1) - x + FORCING


def torch_lorenz96(x: np.ndarray, num_steps: int) -> Callable[[], Any]:
    import torch

    torch.set_num_threads(1)
    state = torch.from_numpy(x)

    def slope(x: Any) -> Any:
        return (torch.roll(x, -1, -1) - torch.roll(x, 2, -1)) * torch.roll(x, 1, -1) - x + FORCING

    return lambda: runge_kutta(slope, state, num_steps)


def numba_plain(x: np.ndarray, num_steps: int) -> Callable[[], Any]:
    """Loops as one would write them: trajectory by trajectory, indices modulo N."""
    import numba

    @numba.njit(fastmath=True)
    def slope(x: np.ndarray, out: np.ndarray) -> None:
        n = x.size
        out[0] = (x[1] - x[n - 2]) * x[n - 1] - x[0] + FORCING
        out[1] = (x[2] - x[n - 1]) * x[0] - x[1] + FORCING
        for i in range(2, n - 1):
            out[i] = (x[i + 1] - x[i - 2]) * x[i - 1] - x[i] + FORCING
        out[n - 1] = (x[0] - x[n - 3]) * x[n - 2] - x[n - 1] + FORCING

    @numba.njit(fastmath=True)
    def advance(states: np.ndarray, num_steps: int) -> None:
        n = states.shape[1]
        half, full = states.dtype.type(STEP / 2), states.dtype.type(STEP)
        sixth, two = states.dtype.type(STEP / 6), states.dtype.type(2)
        k, total, y = np.empty_like(states[0]), np.empty_like(states[0]), np.empty_like(states[0])
        for m in range(states.shape[0]):
            x = states[m]
            for _ in range(num_steps):
                slope(x, total)
                for i in range(n):
                    y[i] = x[i] + half * total[i]
                slope(y, k)
                for i in range(n):
                    total[i] += two * k[i]
                    y[i] = x[i] + half * k[i]
                slope(y, k)
                for i in range(n):
                    total[i] += two * k[i]
                    y[i] = x[i] + full * k[i]
                slope(y, k)
                for i in range(n):
                    x[i] += sixth * (total[i] + k[i])

    return lambda: advance(x, num_steps)


def numba_lanes(x: np.ndarray, num_steps: int) -> Callable[[], Any]:
    """The kernels' own scheme in numba: blocks of lanes in the L1 cache, no accumulator."""
    import numba

    lanes = 256 // x.itemsize  # 32 in float64 and 64 in float32 are numba's best here
    num_sites = x.shape[1]
    half, full = x.dtype.type(STEP / 2), x.dtype.type(STEP)
    third, two, forcing = x.dtype.type(1 / 3), x.dtype.type(2), x.dtype.type(FORCING)

    @numba.njit(fastmath=True)
    def wrap(y: np.ndarray) -> None:
        for lane in range(lanes):
            y[0, lane], y[1, lane] = y[num_sites, lane], y[num_sites + 1, lane]
            y[num_sites + 2, lane] = y[2, lane]

    @numba.njit(fastmath=True)
    def stage(x: np.ndarray, y: np.ndarray, out: np.ndarray, weight: Any) -> None:
        wrap(y)
        for i in range(num_sites):
            # views that start at zero: an index that might be negative stops vectorisation
            a, b, c, d = y[i], y[i + 1], y[i + 2], y[i + 3]
            centre, result = x[i + 2], out[i + 2]
            for lane in range(lanes):
                result[lane] = centre[lane] + weight * (
                    (d[lane] - a[lane]) * b[lane] + (forcing - c[lane])
                )

    @numba.njit(fastmath=True)
    def last(x: np.ndarray, y2: np.ndarray, y3: np.ndarray, y4: np.ndarray) -> None:
        wrap(y4)
        for i in range(num_sites):
            a, b, c, d = y4[i], y4[i + 1], y4[i + 2], y4[i + 3]
            result, second, third_stage = x[i + 2], y2[i + 2], y3[i + 2]
            for lane in range(lanes):
                slope = (d[lane] - a[lane]) * b[lane] + (forcing - c[lane])
                partial = second[lane] - result[lane] + two * third_stage[lane]
                result[lane] = third * (partial + c[lane] + half * slope)

    @numba.njit(fastmath=True)
    def advance(blocks: np.ndarray, y2: np.ndarray, y3: np.ndarray, y4: np.ndarray) -> None:
        for block in range(blocks.shape[0]):
            x = blocks[block]
            for _ in range(num_steps):
                stage(x, x, y2, half)
                stage(x, y2, y3, half)
                stage(x, y3, y4, full)
                last(x, y2, y3, y4)

    blocks = np.zeros((x.shape[0] // lanes, num_sites + 3, lanes), x.dtype)
    blocks[:, 2:-1] = x.reshape(-1, lanes, num_sites).swapaxes(1, 2)
    work = [np.zeros((num_sites + 3, lanes), x.dtype) for _ in range(3)]
    return lambda: advance(blocks, *work)


def lorenz96_contest(dtype: np.dtype[Any]) -> Contest:
    contest = Contest(f"Lorenz-96, 40 sites × 1024, {dtype}")
    start = (FORCING + np.random.default_rng(1).standard_normal((1024, 40))).astype(dtype)
    num_steps, per_step = 200, float(start.size)
    ours = start.copy()
    contest.add(
        "ours",
        lambda: kernels.lorenz96_ensemble(ours, FORCING, STEP, num_steps),
        per_step * num_steps,
    )
    contest.add("np.roll", lambda: runge_kutta(numpy_slope, start, 2), per_step * 2)
    if installed("torch"):
        contest.add("torch.roll", torch_lorenz96(start, 2), per_step * 2)
    if installed("numba"):
        contest.add("numba, plain", numba_plain(start.copy(), 5), per_step * 5)
        contest.add("numba, lanes", numba_lanes(start, num_steps), per_step * num_steps)
    if installed("reservoirpy"):
        from reservoirpy.datasets import lorenz96

        # it keeps results for arguments it has seen: other initial values each time
        random = np.random.default_rng(3)
        contest.add(
            "reservoirpy (one trajectory)",
            lambda: lorenz96(200, N=40, F=FORCING, h=STEP, x0=FORCING + random.standard_normal(40)),
            40.0 * 200,
        )
    return contest


def ring_contest(dtype: np.dtype[Any]) -> Contest:
    contest = Contest(f"Lorenz-96, ring of 1000000, {dtype}")
    start = (FORCING + np.random.default_rng(1).standard_normal(1_000_000)).astype(dtype)
    contest.add("ours", lambda: kernels.lorenz96_ring(start, FORCING, STEP, 16), 16e6)
    contest.add("np.roll", lambda: runge_kutta(numpy_slope, start, 1), 1e6)
    if installed("torch"):
        contest.add("torch.roll", torch_lorenz96(start, 1), 1e6)
    if installed("numba"):
        contest.add("numba, plain", numba_plain(start[None].copy(), 2), 2e6)
    return contest


# --------------------------------------------------------------------- Kuramoto-Sivashinsky


def ks_start(num_trajectories: int, num_points: int, dtype: np.dtype[Any]) -> np.ndarray:
    """States on the attractor, with 22 units of length per 64 points."""
    states = 0.5 * np.random.default_rng(1).standard_normal((num_trajectories, num_points))
    kernels.kuramoto_sivashinsky_ensemble(states, ks_length(num_points), 0.25, 400)
    return states.astype(dtype)


def ks_length(num_points: int) -> float:
    return 22.0 * num_points / 64


def fft_etdrk4(
    start: np.ndarray, step: float, num_steps: int, rfft: Any, irfft: Any
) -> Callable[[], Any]:
    num_points = start.shape[-1]
    q = 2 * np.pi * np.arange(num_points // 2 + 1) / ks_length(num_points)
    gradient = (-0.5j * q).astype(np.result_type(start.dtype, np.complex64))
    gradient[-1] = 0
    take_step = ETDRK4(q**2 - q**4, lambda v: gradient * rfft(irfft(v, num_points) ** 2), step)
    for name, value in vars(take_step).items():
        if isinstance(value, np.ndarray):
            setattr(take_step, name, value.astype(start.dtype))
    v = rfft(start)

    def advance() -> Any:
        state = v
        for _ in range(num_steps):
            state = take_step(state)
        return irfft(state, num_points)

    return advance


def exponax_steppers(
    start: np.ndarray, step: float, num_steps: int
) -> dict[str, Callable[[], np.ndarray]]:
    """exponax's own ETDRK4, through its stepper and staying in Fourier space."""
    import exponax
    import jax

    num_points = start.shape[-1]
    stepper = exponax.stepper.KuramotoSivashinskyConservative(
        1, ks_length(num_points), num_points, step, order=4
    )
    state = jax.numpy.asarray(start[:, None])
    assert state.dtype == start.dtype, "JAX's default precision does not fit"
    physical = jax.jit(jax.vmap(exponax.repeat(stepper, num_steps)))

    def in_fourier_space(u: Any) -> Any:
        u_hat = exponax.fft(u, num_spatial_dims=1)
        u_hat = exponax.repeat(stepper.step_fourier, num_steps)(u_hat)
        return exponax.ifft(u_hat, num_spatial_dims=1, num_points=num_points)

    fourier = jax.jit(jax.vmap(in_fourier_space))
    return {
        "exponax": lambda: np.asarray(physical(state).block_until_ready())[:, 0],
        "exponax in Fourier space": lambda: np.asarray(fourier(state).block_until_ready())[:, 0],
    }


def ks_contest(dtype: np.dtype[Any], num_trajectories: int, num_points: int) -> Contest:
    title = f"Kuramoto-Sivashinsky ETDRK4, {num_points} points × {num_trajectories}, {dtype}"
    contest = Contest(title)
    start = ks_start(num_trajectories, num_points, dtype)
    length, ours, size = ks_length(num_points), start.copy(), float(start.size)
    contest.add(
        "ours",
        lambda: kernels.kuramoto_sivashinsky_ensemble(ours, length, 0.25, 50),
        size * 50,
    )
    if installed("exponax"):
        for name, call in exponax_steppers(start, 0.25, 50).items():
            contest.add(name, call, size * 50)
    fft = fft_etdrk4(start, 0.25, 4, np.fft.rfft, np.fft.irfft)
    contest.add("numpy.fft", fft, size * 4)
    fft = fft_etdrk4(start, 0.25, 4, scipy.fft.rfft, scipy.fft.irfft)
    contest.add("scipy.fft", fft, size * 4)
    if installed("reservoirpy"):
        from reservoirpy.datasets import kuramoto_sivashinsky

        # its M is at once the length over 2π and the number of contour points: a whole number
        random = np.random.default_rng(3)
        contest.add(
            "reservoirpy (one trajectory)",
            lambda: kuramoto_sivashinsky(
                200, N=num_points, M=round(length / (2 * np.pi)), x0=random.random(num_points)
            ),
            200.0 * num_points,
        )
    return contest


def equal_error_contest(num_trajectories: int = 1024) -> Contest:
    """Five time units to a relative error of 1e-5, each scheme with its largest step for that."""
    contest = Contest(
        f"Kuramoto-Sivashinsky to {TARGET_ERROR:g} after 5 units, 64 points × {num_trajectories}"
    )
    dtype = np.dtype(np.float64)
    start = ks_start(num_trajectories, 64, dtype)
    exact = start.copy()
    kernels.kuramoto_sivashinsky_ensemble(exact, 22.0, 5 / 2000, 2000, scheme="etd_pece")

    def ours(scheme: str) -> Callable[[int], Callable[[], np.ndarray]]:
        def make(num_steps: int) -> Callable[[], np.ndarray]:
            def call() -> np.ndarray:
                states = start.copy()
                kernels.kuramoto_sivashinsky_ensemble(
                    states, 22.0, 5 / num_steps, num_steps, scheme=scheme
                )
                return states

            return call

        return make

    def error(call: Callable[[], np.ndarray]) -> float:
        return float(np.linalg.norm(call() - exact) / np.linalg.norm(exact))

    def fewest(make: Callable[[int], Callable[[], np.ndarray]], first: int) -> int:
        return next(n for n in range(first, 200) if error(make(n)) <= TARGET_ERROR)

    fastest = ("ours", "etd_pece", 20)
    for name, scheme, first in [
        fastest,
        ("ours, etdab4", "etdab4", 56),
        ("ours, etdrk4", "etdrk4", 30),
    ]:
        num_steps = fewest(ours(scheme), first)
        print(f"{name}: {scheme}, {num_steps} steps", file=sys.stderr)
        # the unit of work is the whole task, expressed in grid points
        contest.add(name, ours(scheme)(num_steps), float(start.size))
    if installed("exponax"):
        # the same scheme at the same steps, with dealiasing as it comes
        num_steps = fewest(ours("etdrk4"), 30)
        for name, call in exponax_steppers(start, 5 / num_steps, num_steps).items():
            print(f"{name}: {num_steps} steps, error {error(call):.2g}", file=sys.stderr)
            contest.add(name, call, float(start.size))
    return contest


# ----------------------------------------------------------------------------------- driver


def contests(dtype: np.dtype[Any]) -> Iterator[Contest]:
    yield lorenz96_contest(dtype)
    yield ring_contest(dtype)
    yield ks_contest(dtype, 64, 64)
    yield ks_contest(dtype, 1024, 64)
    yield ks_contest(dtype, 64, 512)
    if dtype == np.float64:
        yield equal_error_contest()


def run_precision(dtype: np.dtype[Any], num_rounds: int) -> list[dict[str, Any]]:
    pin(None)
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    if installed("jax"):
        import jax

        jax.config.update("jax_enable_x64", dtype == np.float64)
    results = []
    for contest in contests(dtype):
        print(contest.title, file=sys.stderr)
        results += contest.run(num_rounds)
    return results


def measure(num_rounds: int) -> list[dict[str, Any]]:
    """Return the results of both precisions, each from a process of its own."""
    results = []
    for precision in ("float64", "float32"):
        command = [sys.executable, __file__, "--precision", precision, "--rounds", str(num_rounds)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        results += json.loads(done.stdout)
    return results


def show(results: list[dict[str, Any]], num_rounds: int, as_json: bool) -> None:
    """Print contests as JSON or as a table."""
    if as_json:
        print(json.dumps({"variant": kernels.variant(), "results": results}, indent=2))
        return
    print(f"kernels: {kernels.variant()}; medians of {num_rounds} rounds in turns\n")
    print("| work | updates/s | lowest – highest | ours is faster by |")
    print("|---|---|---|---|")
    for r in results:
        spread = f"{r['lowest']:.3g} – {r['highest']:.3g}"
        print(f"| {r['name']} | {r['value']:.3g} | {spread} | {r['ours_is_faster_by']:.1f} × |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--precision", choices=["float64", "float32"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.precision:
        with contextlib.redirect_stdout(sys.stderr):
            results = run_precision(np.dtype(arguments.precision), arguments.rounds)
        print(json.dumps(results))
        return
    results = measure(arguments.rounds)
    show(results, arguments.rounds, arguments.json)


if __name__ == "__main__":
    main()
