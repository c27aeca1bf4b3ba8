"""Lyapunov spectra: exact cases, sum rules, published values, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sims
from hpcbench.cli import main
from hpcbench.errors import InputError
from hpcbench.parallel.ranks import Ranks
from sims.generation.spec import read_spec
from sims.lyapunov.spectrum import Schedule, Spectrum, lyapunov_spectrum
from sims.systems.registry import SYSTEMS
from sims.systems.system import System

SPECS = Path(sims.__file__).parent / "specs"


def make(name: str, **parameters: Any) -> System:
    cls = SYSTEMS[name]
    system: System = cls(cls.Parameters(**parameters))
    return system


def spectrum(system: System, step: float, number: int, members: int, *run: int) -> Spectrum:
    return lyapunov_spectrum(system, step, number, members, 1, Schedule(*run), Ranks())


@pytest.mark.parametrize(
    ("rate", "exponent"),
    [
        (0.7, np.log(0.7)),
        (2.5, np.log(0.5)),
        (3.4, np.log(abs(4 + 2 * 3.4 - 3.4**2)) / 2),
        (3.5, -0.87251),
        (3.55, -0.09989),
    ],
)
def test_periodic_regimes_of_the_logistic_map(rate: float, exponent: float) -> None:
    system = make("logistic_map", rate=rate)
    found = spectrum(system, 1.0, 1, 2, 20_000, 0, 800, 8)
    assert found.exponents[0] == pytest.approx(exponent, abs=1e-5)
    reference = system.reference_lyapunov_exponent()
    assert reference is not None
    assert reference.value == pytest.approx(found.exponents[0], abs=1e-8)


def test_chaotic_regimes_of_the_logistic_map() -> None:
    found = spectrum(make("logistic_map", rate=4.0), 1.0, 1, 20_000, 100, 0, 400, 8)
    assert found.exponents[0] == pytest.approx(np.log(2), abs=1e-3)
    found = spectrum(make("logistic_map", rate=3.9), 1.0, 1, 20_000, 1000, 0, 400, 8)
    reference = make("logistic_map", rate=3.9).reference_lyapunov_exponent()
    assert reference is not None
    assert abs(found.exponents[0] - reference.value) < 5 * found.standard_error[0]
    assert found.standard_error[0] < 5e-4


def test_a_linear_map_has_the_moduli_of_its_eigenvalues() -> None:
    system = make("linear_map", size=5, spectral_radius=1.1, offset=0.0, matrix_seed=2)
    found = spectrum(system, 1.0, 5, 2, 0, 200, 400, 4)
    moduli = np.sort(np.abs(np.linalg.eigvals(system.matrix)))[::-1]  # type: ignore[attr-defined]
    np.testing.assert_allclose(found.exponents, np.log(moduli), atol=0.02)
    assert found.sum[0] == pytest.approx(np.sum(np.log(moduli)), abs=1e-10)


def test_the_henon_map() -> None:
    found = spectrum(make("henon_map", a=1.4, b=0.3), 1.0, 2, 400, 1000, 20, 1000, 5)
    assert found.sum[0] == pytest.approx(np.log(0.3), abs=1e-10)
    assert found.exponents[0] == pytest.approx(0.41922, abs=5 * found.standard_error[0])
    assert found.standard_error[0] < 1e-3


def test_lorenz63() -> None:
    system = make("lorenz63", sigma=10.0, rho=28.0, beta=8 / 3)
    found = spectrum(system, 0.01, 3, 64, 2000, 500, 4000, 10)
    np.testing.assert_allclose(found.exponents, [0.9056, 0, -14.5723], atol=0.02)
    assert found.sum[0] == pytest.approx(-(10 + 1 + 8 / 3), abs=1e-3)
    dimension, error = found.dimension
    assert dimension == pytest.approx(2.062, abs=0.002)
    assert error < 0.002


def test_lorenz96() -> None:
    system = make("lorenz96", num_sites=40, forcing=8.0)
    found = spectrum(system, 0.02, 40, 4, 1000, 500, 2500, 10)
    assert found.exponents[0] == pytest.approx(1.68, abs=0.1)
    assert found.sum[0] == pytest.approx(-40, abs=1e-3)
    assert found.exponents[-1] == pytest.approx(-4.93, abs=0.05)
    assert 12 <= np.sum(found.exponents > 0.03) <= 14
    assert found.dimension[0] == pytest.approx(27.1, abs=0.5)


def test_kuramoto_sivashinsky_without_the_conserved_mean() -> None:
    system = make("kuramoto_sivashinsky", num_points=32, domain_length=22.0)
    assert system.num_tangents == 31
    found = spectrum(system, 0.25, 10, 24, 800, 400, 2000, 10)
    assert found.exponents[0] == pytest.approx(0.047, abs=0.006)
    np.testing.assert_allclose(found.exponents[1:4], 0, atol=0.012)
    expected = [-0.190, -0.257, -0.293, -0.311, -1.964, -1.968]
    np.testing.assert_allclose(found.exponents[4:], expected, atol=0.012)
    assert found.dimension[0] == pytest.approx(4.25, abs=0.06)  # 5.25 with the mean


def test_the_oscillator_is_damped_by_half_its_damping() -> None:
    system = make("driven_oscillator", damping=0.2, drive_amplitude=1.0, drive_frequency=0.9)
    found = spectrum(system, 0.05, 3, 2, 100, 500, 6000, 10)
    np.testing.assert_allclose(found.exponents, [0, -0.1, -0.1], atol=2e-3)
    assert found.sum[0] == pytest.approx(-0.2, abs=1e-6)


def test_given_inputs_make_the_plant_forget() -> None:
    found = spectrum(make("narendra_plant", amplitude=2.0), 1.0, 1, 50, 100, 0, 500, 1)
    assert found.exponents[0] < -0.5


def test_around_the_rest_state_the_exponents_are_the_linear_rates() -> None:
    # on a domain of 5 all waves decay, with the rates q² − q⁴ of their sine and their cosine
    system = make("kuramoto_sivashinsky", num_points=16, domain_length=5.0)
    found = spectrum(system, 0.1, 6, 2, 1000, 10, 40, 1)
    q = 2 * np.pi / 5 * np.array([1, 1, 2, 2, 3, 3])
    np.testing.assert_allclose(found.exponents, q**2 - q**4, rtol=1e-9)
    assert found.dimension[0] == 0


def test_members_do_not_depend_on_each_other() -> None:
    system = make("lorenz96", num_sites=9, forcing=8.0)
    two, three = (spectrum(system, 0.01, 4, n, 10, 0, 50, 5) for n in (2, 3))
    np.testing.assert_array_equal(three.rates[:2], two.rates)
    assert len(np.unique(three.rates)) == 12


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(SPECS / "lorenz63.toml"), "--members=4", "--steps=995", "--transient=100"]
    assert main(["lyapunov", *arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["time_per_member"] == pytest.approx(10)  # whole orthogonalisations
    assert document["reference"].startswith("0.9056 ± ")
    results = {result["name"]: result for result in document["results"]}
    assert results["sum"]["value"] == pytest.approx(-13.667, abs=1e-3)
    assert results["exponent_1"]["standard_error"] > 0
    assert results["kaplan_yorke_dimension"]["value"] == pytest.approx(2.06, abs=0.05)
    assert main(["lyapunov", *arguments, "--exponents=1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["results"][-1]["value"] is None  # no dimension from one exponent
    assert main(["lyapunov", *arguments, "--seed", "7", "--json"]) == 0
    other = json.loads(capsys.readouterr().out)
    assert other["seed"] == 7
    assert other["results"][0]["value"] != results["exponent_1"]["value"]
    assert main(["lyapunov", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert "±" in lines[0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--exponents=4"], "--exponents: given 4; lorenz63 with these parameters has 3"),
        (["--exponents=0"], "--exponents: given 0"),
        (["--members=1"], "--members: given 1; at least 2"),
        (["--steps=0"], "--steps: given 0; valid: 1 or more"),
        (["--between=0"], "--between: given 0"),
        (["--transient=-1"], "--transient: given -1"),
        (
            ["--integration.step=0.5", "--sampling.sample_interval=0.5", "--steps=500"],
            "integration.step: 0.5 is too large",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    options: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lyapunov", str(SPECS / "lorenz63.toml"), *options]) == 2
    assert expected in capsys.readouterr().err


def test_multistep_schemes_are_refused() -> None:
    spec = read_spec(
        SPECS / "kuramoto_sivashinsky_l22.toml",
        ["--integration.scheme=etd_pece", "--sampling.sample_interval=0.25"],
    )
    with pytest.raises(InputError, match=r'given "etd_pece", .* take a one-step scheme: "etdrk4"'):
        lyapunov_spectrum(spec.build_system(), 0.25, 2, 2, 1, Schedule(0, 0, 10, 10), Ranks())
