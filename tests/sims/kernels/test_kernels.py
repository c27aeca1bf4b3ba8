"""The compiled kernels against a few lines of NumPy, and what they promise about bits."""

import itertools
import math
from decimal import Decimal, localcontext
from pathlib import Path

import numpy as np
import pytest

from hpcbench.errors import EnvironmentLacks, InputError
from sims import kernels
from sims.kernels import build, library
from sims.kernels.exponential import etdrk4_weights, multistep_weights, phi_functions
from sims.kernels.kuramoto_sivashinsky import SCHEMES, digit_reversed_order
from sims.kernels.stability import check_stable, is_stable, largest_stable_step
from sims.schemes.etdrk4 import ETDRK4
from sims.schemes.rk4 import rk4_step

FORCING = 8.0
LENGTH = 22.0


def lorenz96_reference(x, step, num_steps):
    def slope(x):
        return (np.roll(x, -1, -1) - np.roll(x, 2, -1)) * np.roll(x, 1, -1) - x + FORCING

    for _ in range(num_steps):
        x = rk4_step(slope, x, step)
    return x


def ks_reference(u, length, step, num_steps):
    num_points = u.shape[-1]
    q = 2 * np.pi * np.arange(num_points // 2 + 1) / length
    gradient = np.where(np.arange(q.size) == num_points // 2, 0, q)
    take_step = ETDRK4(
        q**2 - q**4,
        lambda v: -0.5j * gradient * np.fft.rfft(np.fft.irfft(v, num_points) ** 2),
        step,
    )
    v = np.fft.rfft(u)
    for _ in range(num_steps):
        v = take_step(v)
    return np.fft.irfft(v, num_points)


def lorenz96_states(num_trajectories, num_sites, dtype=np.float64):
    noise = np.random.default_rng(1).standard_normal((num_trajectories, num_sites))
    return (FORCING + noise).astype(dtype)


def ks_states(num_trajectories, num_points=64, length=LENGTH, dtype=np.float64):
    """Smooth random fields of unit size."""
    waves = np.zeros((num_trajectories, num_points // 2 + 1), complex)
    shape = (num_trajectories, 2)
    random = np.random.default_rng(2)
    waves[:, 1:3] = random.standard_normal(shape) + 1j * random.standard_normal(shape)
    return np.fft.irfft(waves * num_points / 4, num_points).astype(dtype)


def tolerance(dtype, num_steps):
    # rounding errors of a few units in the last place per step, hardly amplified in these times
    return 16 * num_steps * np.finfo(dtype).eps


# ------------------------------------------------------------------------------- Lorenz-96


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("num_trajectories", "num_sites"),
    [(1, 4), (3, 5), (8, 40), (17, 41), (33, 7), (2, 301), (9, 17), (9, 18), (9, 19), (9, 22)],
)
def test_lorenz96_is_the_runge_kutta_scheme(variant, dtype, num_trajectories, num_sites):
    states = lorenz96_states(num_trajectories, num_sites, dtype)
    expected = lorenz96_reference(states.astype(np.float64), 0.01, 20)
    kernels.lorenz96_ensemble(states, FORCING, 0.01, 20)
    assert np.abs(states - expected).max() <= tolerance(dtype, 20) * np.abs(expected).max()


def test_lorenz96_converges_with_order_four():
    exact = lorenz96_reference(lorenz96_states(4, 40), 0.0005, 1000)
    errors = []
    for num_steps in (25, 50):
        states = lorenz96_states(4, 40)
        kernels.lorenz96_ensemble(states, FORCING, 0.5 / num_steps, num_steps)
        errors.append(np.abs(states - exact).max())
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.3)


def test_lorenz96_saves_every_few_steps_in_both_types():
    for dtype in (np.float64, np.float32):
        states = lorenz96_states(11, 13)
        out = np.empty((11, 6, 13), dtype)
        kernels.lorenz96_ensemble(states, FORCING, 0.01, 20, 3, out)
        again = lorenz96_states(11, 13)
        for sample in range(6):
            kernels.lorenz96_ensemble(again, FORCING, 0.01, 3)
            np.testing.assert_array_equal(out[:, sample], again.astype(dtype))
        kernels.lorenz96_ensemble(again, FORCING, 0.01, 2)
        np.testing.assert_array_equal(states, again)  # calls may be divided anywhere


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("num_sites", [13, 18, 19, 22, 40, 41])
def test_lorenz96_bits_depend_on_neither_place_nor_call(variant, dtype, num_sites):
    whole = lorenz96_states(64, num_sites, dtype)
    single, rolled = whole.copy(), np.roll(whole, 7, axis=-1)
    kernels.lorenz96_ensemble(whole, FORCING, 0.05, 60)
    kernels.lorenz96_ensemble(rolled, FORCING, 0.05, 60)
    for _ in range(60):
        kernels.lorenz96_ensemble(single, FORCING, 0.05, 1)
    np.testing.assert_array_equal(single, whole)
    np.testing.assert_array_equal(np.roll(rolled, -7, axis=-1), whole)


def test_saved_samples_go_into_strided_arrays_and_nowhere_else():
    whole = np.full((9, 12, 45), -1.0, np.float32)
    kernels.lorenz96_ensemble(lorenz96_states(9, 40), FORCING, 0.01, 4, 1, whole[:, 2:10:2, 3:43])
    plain = np.empty((9, 4, 40), np.float32)
    kernels.lorenz96_ensemble(lorenz96_states(9, 40), FORCING, 0.01, 4, 1, plain)
    np.testing.assert_array_equal(whole[:, 2:10:2, 3:43], plain)
    whole[:, 2:10:2, 3:43] = -1
    assert (whole == -1).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_lorenz96_bits_do_not_depend_on_the_batch(variant, dtype):
    together = lorenz96_states(37, 40, dtype)
    start = together.copy()
    kernels.lorenz96_ensemble(together, FORCING, 0.01, 200)
    for members in (range(1), range(5, 6), range(3, 25), range(36, -1, -1)):
        apart = start[list(members)]
        kernels.lorenz96_ensemble(apart, FORCING, 0.01, 200)
        np.testing.assert_array_equal(apart, together[list(members)])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("num_sites", [4, 37, 1000, 50_003])
def test_ring_equals_the_ensemble_of_one(variant, dtype, num_sites):
    state = lorenz96_states(1, num_sites, dtype)
    expected = state.copy()
    kernels.lorenz96_ensemble(expected, FORCING, 0.01, 21)
    for steps_per_pass in (1, 4, 16):
        ring = kernels.lorenz96_ring(state[0], FORCING, 0.01, 21, steps_per_pass)
        np.testing.assert_array_equal(ring, expected[0])


def test_ring_may_be_cut_anywhere():
    state, num_steps, cuts = lorenz96_states(1, 30_000)[0], 5, [0, 1, 700, 17_000, 30_000]
    whole = kernels.lorenz96_ring(state, FORCING, 0.01, num_steps)
    left, right = kernels.HALO_LEFT * num_steps, kernels.HALO_RIGHT * num_steps
    for first, last in itertools.pairwise(cuts):
        piece = state.take(np.arange(first - left, last + right), mode="wrap")
        halos = piece[:left].copy(), piece[piece.size - right :].copy()
        kernels.ring_advance(piece, FORCING, 0.01, num_steps)
        np.testing.assert_array_equal(piece[left : piece.size - right], whole[first:last])
        np.testing.assert_array_equal(piece[:left], halos[0])
        np.testing.assert_array_equal(piece[piece.size - right :], halos[1])


# --------------------------------------------------------------------- Kuramoto-Sivashinsky


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("num_trajectories", "num_points"),
    [(1, 16), (3, 32), (16, 64), (35, 128), (5, 256), (17, 512), (2, 1024), (1, 4096)],
)
def test_etdrk4_is_the_numpy_scheme(variant, dtype, num_trajectories, num_points):
    length = LENGTH * num_points / 64
    states = ks_states(num_trajectories, num_points, length, dtype)
    expected = ks_reference(states.astype(np.float64), length, 0.25, 12)
    kernels.kuramoto_sivashinsky_ensemble(states, length, 0.25, 12)
    assert np.abs(states - expected).max() <= tolerance(dtype, 12) * np.abs(expected).max()


@pytest.mark.parametrize(("scheme", "order"), [("etdrk4", 4), ("etdab4", 4), ("etd_pece", 5)])
def test_ks_schemes_converge_with_their_order(scheme, order):
    exact = ks_reference(ks_states(2), LENGTH, 1 / 1024, 1024)
    errors = []
    for num_steps in (64, 128):
        states = ks_states(2)
        kernels.kuramoto_sivashinsky_ensemble(
            states, LENGTH, 1 / num_steps, num_steps, scheme=scheme
        )
        errors.append(np.abs(states - exact).max())
    assert errors[0] < 1e-7
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.3)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_ks_bits_depend_on_the_pair_only(variant, scheme, dtype):
    assert kernels.MEMBER_GROUP["kuramoto_sivashinsky"] == 2
    together = ks_states(37, dtype=dtype)
    start = together.copy()
    kernels.kuramoto_sivashinsky_ensemble(together, LENGTH, 0.05, 50, scheme=scheme)
    for first, last in [(0, 2), (34, 37), (36, 37), (6, 30)]:
        apart = start[first:last].copy()
        kernels.kuramoto_sivashinsky_ensemble(apart, LENGTH, 0.05, 50, scheme=scheme)
        np.testing.assert_array_equal(apart, together[first:last])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_ks_saves_every_few_steps(scheme):
    states, out = ks_states(5), np.empty((5, 4, 64))
    kernels.kuramoto_sivashinsky_ensemble(states, LENGTH, 0.05, 14, 3, out, scheme=scheme)
    rounded = np.empty((5, 4, 64), np.float32)
    kernels.kuramoto_sivashinsky_ensemble(ks_states(5), LENGTH, 0.05, 14, 3, rounded, scheme=scheme)
    np.testing.assert_array_equal(rounded, out.astype(np.float32))
    for sample in range(4):
        until = ks_states(5)
        kernels.kuramoto_sivashinsky_ensemble(until, LENGTH, 0.05, 3 * sample + 3, scheme=scheme)
        np.testing.assert_array_equal(out[:, sample], until)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_ks_conserves_the_mean_and_small_waves_grow_as_they_should(scheme):
    x = LENGTH * np.arange(64) / 64
    q = 2 * np.pi / LENGTH * np.arange(1, 4)
    states = 1e-8 * np.cos(np.outer(q, x))
    kernels.kuramoto_sivashinsky_ensemble(states, LENGTH, 0.05, 200, scheme=scheme)
    grown = 1e-8 * np.exp((q**2 - q**4) * 10)
    np.testing.assert_allclose(states, grown[:, None] * np.cos(np.outer(q, x)), atol=1e-6 * 1e-8)

    states = ks_states(4) + np.array([[0.0], [0.3], [-1.0], [1e-3]])
    means = states.mean(axis=1)
    kernels.kuramoto_sivashinsky_ensemble(states, LENGTH, 0.05, 2000, scheme=scheme)
    np.testing.assert_allclose(states.mean(axis=1), means, atol=1e-13)


def test_long_runs_stay_on_the_attractor_in_both_types():
    # mean square of u at L = 22: 1.4; statistics of float32 and float64 agree
    for dtype in (np.float64, np.float32):
        states, out = ks_states(64, dtype=dtype), np.empty((64, 200, 64), np.float32)
        kernels.kuramoto_sivashinsky_ensemble(states, LENGTH, 0.25, 800)
        kernels.kuramoto_sivashinsky_ensemble(states, LENGTH, 0.25, 4000, 20, out)
        assert (out**2).mean() == pytest.approx(1.4, abs=0.1)


@pytest.mark.parametrize("system", ["lorenz96", "kuramoto_sivashinsky"])
def test_climate_of_float32_is_that_of_float64_within_error(system):
    averages, errors = [], []
    for dtype in (np.float64, np.float32):
        out = np.empty((128, 100, 64 if system == "kuramoto_sivashinsky" else 40), dtype)
        if system == "lorenz96":
            states = lorenz96_states(128, 40, dtype)
            kernels.lorenz96_ensemble(states, FORCING, 0.01, 1000)
            kernels.lorenz96_ensemble(states, FORCING, 0.01, 4000, 40, out)
        else:
            states = ks_states(128, dtype=dtype)
            kernels.kuramoto_sivashinsky_ensemble(states, LENGTH, 0.25, 800)
            kernels.kuramoto_sivashinsky_ensemble(states, LENGTH, 0.25, 4000, 40, out)
        x = out.astype(np.float64)
        # of every member: mean, mean square, mean square of the differences between neighbours
        moments = np.array([q.mean(axis=(1, 2)) for q in (x, x**2, np.diff(x) ** 2)])
        averages.append(moments.mean(axis=1))
        errors.append(moments.std(axis=1, ddof=1) / np.sqrt(128))
    allowed = 4 * np.hypot(*errors) + 1e-6  # the mean of the second system is exactly zero
    assert (np.abs(averages[0] - averages[1]) < allowed).all()
    assert (errors[0][1:] < 0.01 * averages[0][1:]).all()  # so the comparison means something


# ------------------------------------------------------------------------------ coefficients


def test_phi_functions_have_full_precision():
    z = np.array([-3e6, -700.0, -40.0, -3.0, -1.51, -1.5, -1.0, -1e-3, -1e-9, 0.0, 0.06, 1.4, 1.6])
    values = phi_functions(z, 5)
    with localcontext() as context:
        context.prec = 120
        for number, point in enumerate(z):
            x = Decimal(float(point))
            exact = x.exp()
            for k in range(6):
                assert values[k][number] == pytest.approx(float(exact), rel=4e-15, abs=1e-300)
                if x == 0:
                    exact = Decimal(1) / math.factorial(k + 1)
                else:
                    exact = (exact - Decimal(1) / math.factorial(k)) / x


def test_weights_agree_with_the_contour_means_and_the_classical_schemes():
    z = np.linspace(-60, 0.1, 200)
    weights, contour = etdrk4_weights(z), ETDRK4(z, lambda v: v, 1.0)
    for name in ("full", "half", "q", "alpha", "beta", "gamma"):
        np.testing.assert_allclose(weights[name], getattr(contour, name), rtol=1e-9, atol=1e-13)
    zero = np.zeros(1)
    adams_bashforth = np.ravel(multistep_weights(zero, [0, -1, -2, -3]))
    np.testing.assert_allclose(adams_bashforth * 24, [55, -59, 37, -9], rtol=1e-13)
    adams_moulton = np.ravel(multistep_weights(zero, [1, 0, -1, -2, -3]))
    np.testing.assert_allclose(adams_moulton * 720, [251, 646, -264, 106, -19], rtol=1e-13)


def test_digit_reversed_order_is_that_of_the_passes():
    np.testing.assert_array_equal(digit_reversed_order([2, 4]), [0, 2, 4, 6, 1, 3, 5, 7])
    np.testing.assert_array_equal(np.sort(digit_reversed_order([4, 8, 8])), np.arange(256))


@pytest.mark.parametrize("scheme", ["etdab4", "etd_pece"])
def test_multistep_schemes_refuse_unstable_steps_and_hold_below(scheme):
    q = 2 * np.pi * np.arange(1, 32) / LENGTH
    limit = largest_stable_step(scheme, q**2 - q**4, q, 1.0)
    assert is_stable(scheme, limit / 4, q**2 - q**4, q)
    with pytest.raises(InputError, match=r"step: 1\.0 is unstable .*etdrk4"):
        check_stable(scheme, 1.0, q**2 - q**4, q)
    with pytest.raises(InputError, match=f"unstable with {scheme}; steps up to 0"):
        kernels.kuramoto_sivashinsky_ensemble(ks_states(2), LENGTH, 1.0, 4, scheme=scheme)
    states = ks_states(32)
    kernels.kuramoto_sivashinsky_ensemble(states, LENGTH, limit, int(500 / limit), scheme=scheme)
    assert np.abs(states).max() < 5


# ------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("states", "problem"),
    [
        (np.zeros(40), "shape"),
        (np.zeros((2, 40), np.int64), "int64"),
        (np.zeros((2, 80))[:, ::2], "contiguous"),
        (np.broadcast_to(np.zeros(40), (1, 40)), "writeable"),
        (np.zeros((2, 3)), "at least 4 sites"),
    ],
)
def test_unfit_states_are_refused(states, problem):
    with pytest.raises(InputError, match=problem):
        kernels.lorenz96_ensemble(states, FORCING, 0.01, 1)


@pytest.mark.parametrize(
    ("out", "problem"),
    [
        (np.zeros((2, 3, 40)), r"\(2, 2, 40\) is needed"),
        (np.zeros((2, 2, 40), np.float16), "float16"),
        (np.zeros((2, 2, 80))[:, :, ::2], "contiguous components"),
    ],
)
def test_unfit_outputs_are_refused(out, problem):
    with pytest.raises(InputError, match=problem):
        kernels.lorenz96_ensemble(np.zeros((2, 40)), FORCING, 0.01, 5, 2, out)


def test_unfit_numbers_are_refused():
    with pytest.raises(InputError, match="step"):
        kernels.lorenz96_ensemble(np.zeros((2, 40)), FORCING, 0.0, 5)
    with pytest.raises(InputError, match="save_every"):
        kernels.lorenz96_ensemble(np.zeros((2, 40)), FORCING, 0.01, 5, 0)
    with pytest.raises(InputError, match="float32"):
        kernels.lorenz96_ensemble(
            np.zeros((2, 40), np.float32), FORCING, 0.01, 1, 1, np.zeros((2, 1, 40))
        )
    with pytest.raises(InputError, match=r"halos of 16 and 8 sites .* got 24"):
        kernels.ring_advance(np.zeros(24), FORCING, 0.01, 2)
    with pytest.raises(InputError, match="steps_per_pass"):
        kernels.lorenz96_ring(np.zeros(24), FORCING, 0.01, 2, 0)
    with pytest.raises(InputError, match=r"100 points; .* nearest 64 or 128"):
        kernels.kuramoto_sivashinsky_ensemble(np.zeros((2, 100)), LENGTH, 0.25, 1)
    with pytest.raises(InputError, match=r"8 points; .* nearest 16"):
        kernels.kuramoto_sivashinsky_ensemble(np.zeros((2, 8)), LENGTH, 0.25, 1)
    with pytest.raises(InputError, match="domain_length"):
        kernels.kuramoto_sivashinsky_ensemble(np.zeros((2, 64)), -1.0, 0.25, 1)
    with pytest.raises(InputError, match=r'"etdab5".*did you mean "etdab4"'):
        kernels.kuramoto_sivashinsky_ensemble(np.zeros((2, 64)), 22.0, 0.1, 1, scheme="etdab5")


def test_blowing_up_is_reported():
    states = lorenz96_states(3, 40)
    states[1] *= 1e3
    with pytest.raises(InputError, match=r"no longer finite \(first in trajectory 1, 1 in all\)"):
        kernels.lorenz96_ensemble(states, FORCING, 0.1, 100)


def test_missing_libraries_say_how_to_build_them(tmp_path, monkeypatch):
    monkeypatch.setattr(library, "FOLDER", tmp_path)
    with pytest.raises(EnvironmentLacks, match=r"build\.py"):
        library.available()
    (tmp_path / build.library_name(next(iter(build.variants())))).write_bytes(b"not a library")
    with pytest.raises(EnvironmentLacks, match="does not load"):
        library.available()


def test_unknown_variant_is_refused(monkeypatch):
    monkeypatch.setenv(library.VARIANT_VARIABLE, "avx513")
    library._chosen.cache_clear()
    with pytest.raises(InputError, match="HPCBENCH_KERNELS=avx513"):
        library._chosen()
    library._chosen.cache_clear()


def test_variant_names_instruction_set_and_compiler(variant):
    assert kernels.variant().startswith(f"{variant} (")


def test_build_needs_a_compiler(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("CC", str(tmp_path / "no-such-compiler"))
    with pytest.raises(build.BuildError, match=r"no-such-compiler does not start"):
        build.build(tmp_path)
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build.BuildError, match="no C compiler"):
        build.build(tmp_path)
