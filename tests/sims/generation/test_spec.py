"""Specifications: those that come with the project, and every way to get one wrong."""

from pathlib import Path

import pytest

import sims
from hpcbench.errors import InputError
from sims.generation.spec import read_spec

SPECS = sorted((Path(sims.__file__).parent / "specs").glob("*.toml"))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_specification_of_the_project_is_valid(path: Path) -> None:
    spec = read_spec(path)
    header = spec.header()
    assert spec.system in path.stem or path.stem.startswith(spec.system)
    reference = spec.build_system().reference_lyapunov_exponent()
    if reference is None or reference.value <= 0:
        assert header.lyapunov_exponent is None
    else:
        assert header.lyapunov_exponent == reference.value
        assert reference.source in header.lyapunov_source
        assert reference.uncertainty <= 0.05 * reference.value
    assert header.split[2] >= 40  # enough initial conditions for a forecast score


L96 = next(path for path in SPECS if path.stem == "lorenz96_smoke")
KS = next(path for path in SPECS if path.stem == "kuramoto_sivashinsky_l22_smoke")

WRONG = [
    (L96, "--system lorentz96", 'system: no system is called "lorentz96" (did you mean "lorenz96"'),
    (L96, "--parameters.forcin 8", 'parameters.forcin: unknown key (did you mean "forcing"'),
    (L96, "--parameters.num_sites 3", "parameters.num_sites: input should be greater than or"),
    (L96, "--parameters.num_sites 4.5", "parameters.num_sites: input should be a valid integer"),
    (L96, "--parameters.forcing nan", "parameters.forcing: "),
    (L96, "--parameters.forcing strong", 'parameters.forcing: input should be a valid number'),
    (KS, "--parameters.num_points 63", "parameters.num_points: input should be a multiple of 2"),
    (KS, "--parameters.num_points 6", "parameters.num_points: input should be greater than"),
    (KS, "--parameters.domain_length 0", "parameters.domain_length: input should be greater"),
    (L96, "--integration.step 0", "integration.step: input should be greater than 0"),
    (L96, "--integration.step -0.01", "integration.step: input should be greater than 0"),
    (L96, "--integration.scheme rk5", 'lorenz96 is integrated by rk4 (did you mean "rk4"?)'),
    (KS, "--integration.scheme etd-pece", 'or etd_pece (did you mean "etd_pece"?)'),
    (KS, "--integration.scheme etdab4", "integration.step: is unstable with etdab4; steps up to "),
    (L96, "--integration.kernel fast", "integration.kernel: input should be 'auto', 'compiled' or"),
    (KS, "--integration.kernel compiled --parameters.num_points 96", "power of two from 16 on"),
    (L96, "--integration.spin_up -1", "integration.spin_up: input should be greater than"),
    (L96, "--sampling.sample_interval 0.015", "must be a whole number of steps of 0.01"),
    (L96, "--sampling.sample_interval 0.004", "steps of 0.01; the nearest is 0.01, given 0.004"),
    (L96, "--sampling.num_trajectories 0", "sampling.num_trajectories: input should be greater"),
    (L96, "--sampling.num_trajectories 2", "the 3 non-zero shares of sampling.split need at least"),
    (L96, "--sampling.dtype float16", 'sampling.dtype: input should be \'float32\' or \'float64\''),
    (L96, "--sampling.split [0.5,0.1,0.3]", "sampling.split: must add up to 1, not 0.9"),
    (L96, "--sampling.split [0,0.5,0.5]", "sampling.split: leaves nothing for training"),
    (L96, "--sampling.split [1.5,0,-0.5]", "sampling.split.0: input should be less than"),
    (L96, "--seed -1", "seed: input should be greater than or equal to 0"),
    (L96, "--seed 18446744073709551616", "seed: input should be less than"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "override", "expected"), WRONG, ids=lambda x: str(x)[-40:])
def test_wrong_values_are_named_with_what_is_valid(
    path: Path, override: str, expected: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_spec(path, override.split(" "))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert expected in message
    assert any(part in message for part in ("given", "unknown key", "no system is called"))


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    path = tmp_path / "spec.toml"
    path.write_text(L96.read_text().replace("spin_up", "#"))
    with pytest.raises(InputError, match=r"integration\.spin_up: missing"):
        read_spec(path)
    path.write_text(L96.read_text().replace("system", "#"))
    with pytest.raises(InputError, match=r"system: missing; valid: lorenz96"):
        read_spec(path)
    with pytest.raises(InputError, match=r'no such file \(did you mean "spec.toml"'):
        read_spec(tmp_path / "spek.toml")


@pytest.mark.parametrize(
    ("total", "split", "counts"),
    [
        (128, "[0.45,0.05,0.5]", (58, 6, 64)),
        (10, "[0.8,0.1,0.1]", (8, 1, 1)),
        (3, "[0.98,0.01,0.01]", (1, 1, 1)),  # each share that is not zero gets one
        (3, "[0.02,0.49,0.49]", (1, 1, 1)),
        (5, "[1,0,0]", (5, 0, 0)),
        (4, "[0.1,0.1,0.8]", (1, 1, 2)),
        (7, "[0.5,0.0,0.5]", (3, 0, 4)),
    ],
)
def test_split_rounding(total: int, split: str, counts: tuple[int, int, int]) -> None:
    options = ["--sampling.num_trajectories", str(total), "--sampling.split", split]
    assert read_spec(L96, options).split_counts() == counts


def test_steps_are_counted_in_whole_numbers() -> None:
    spec = read_spec(L96, ["--sampling.sample_interval=0.07", "--integration.spin_up=0.015"])
    assert (spec.steps_per_sample, spec.spin_up_steps) == (7, 2)
    assert read_spec(L96, ["--integration.spin_up=0"]).spin_up_steps == 0


def test_content_hash_follows_content_only() -> None:
    header = read_spec(L96).header()
    assert header.content_hash() == read_spec(L96).header().content_hash()
    for change in ("--seed=2", "--sampling.dtype=float64", "--parameters.forcing=8.5",
                   "--sampling.split=[0.4,0.1,0.5]", "--integration.spin_up=21"):  # fmt: skip
        assert read_spec(L96, [change]).header().content_hash() != header.content_hash()
    renamed = header.model_copy(update={"lyapunov_exponent": 1.7, "lyapunov_source": "elsewhere"})
    assert renamed.content_hash() == header.content_hash()
