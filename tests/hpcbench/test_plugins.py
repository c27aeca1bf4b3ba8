"""Systems, cells, methods and optimisers that somebody outside brings along.

They come as entry points of an installed package, or as ``module:Class`` from the current folder;
a whole pipeline runs with them through the command line.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from hpcbench.cli import main
from hpcbench.setup.environment import launch_environment

PLUGIN = Path(__file__).parents[1] / "plugin.py"

SPEC = """
system = "{system}"
seed = 1
[parameters]
angular_velocity = 2.0
[integration]
scheme = "rk4"
step = 0.05
spin_up = 0.0
[sampling]
num_trajectories = 8
num_samples = 100
sample_interval = 0.05
dtype = "float64"
split = [0.5, 0.25, 0.25]
"""

TRAIN = """
[model]
cell = "{cell}"
options = {{ kept = 0.25 }}
hidden = 4
coupling = "global"
[train]
method = "{method}"
options = {{ factor = 2.0 }}
optimizer = "{optimizer}"
window = 4
global_batch = 4
steps = 20
backend = "none"
baseline_seconds = 0
[forecast]
initial_conditions = 2
warm_up = 5
horizon = 1.0
lyapunov_exponent = 1.0
"""

CLASSES = {
    "system": "Rotation",
    "cell": "Leaky",
    "method": "OneStep",
    "optimizer": "SignOptions",
}
GROUPS = {
    "system": "hpcbench.systems",
    "cell": "hpcbench.cells",
    "method": "hpcbench.methods",
    "optimizer": "hpcbench.optimizers",
}
NAMES = {
    "system": "rotation",
    "cell": "leaky",
    "method": "one_step",
    "optimizer": "sign_descent",
}

Install = Callable[[str, str], Path]


def install(folder: Path, package: str, entry_points: str) -> None:
    """Install a package of that name in a folder, as pip leaves it."""
    metadata = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(entry_points)


def write_specs(folder: Path, names: dict[str, str]) -> None:
    (folder / "spec.toml").write_text(SPEC.format(**names))
    (folder / "train.toml").write_text(TRAIN.format(**names))


def run_pipeline(run_cli: Any, folder: Path, **environment: str) -> None:
    """Simulate, train, forecast and report in ``folder``; a wrong step fails."""
    for words in (
        ["simulate", "spec.toml", "--out", "data.h5"],
        ["train", "train.toml", "--data", "data.h5", "--out", "run"],
        ["forecast", "run"],
        ["report", "run"],
    ):
        done = run_cli(words, cwd=folder, env=environment)
        assert done.returncode == 0, done.stderr
    record = json.loads((folder / "run" / "result.json").read_text())
    assert record["status"] == "done"
    values = {metric["name"]: metric["value"] for metric in record["metrics"]}
    assert values["parameters"] == 4 * 2 + 4 + 2 * 4 + 2  # of the outside cell and the head
    with h5py.File(folder / "run" / "metrics.h5") as file:
        assert file["loss"][-1] < file["loss"][0]


def test_an_installed_package_brings_everything(tmp_path: Path, run_cli: Any) -> None:
    site = tmp_path / "site"
    lines = [
        f"[{GROUPS[kind]}]\n{NAMES[kind]} = outside_chaos:{name}\n"
        for kind, name in CLASSES.items()
    ]
    install(site, "outside-chaos", "\n".join(lines))
    shutil.copy(PLUGIN, site / "outside_chaos.py")
    work = tmp_path / "work"
    work.mkdir()
    write_specs(work, NAMES)
    run_pipeline(run_cli, work, PYTHONPATH=str(site))
    with h5py.File(work / "data.h5") as file:
        assert file.attrs["system"] == "rotation"


def test_a_file_in_the_current_folder_brings_everything(tmp_path: Path, run_cli: Any) -> None:
    shutil.copy(PLUGIN, tmp_path / "my_chaos.py")
    write_specs(tmp_path, {kind: f"my_chaos:{name}" for kind, name in CLASSES.items()})
    run_pipeline(run_cli, tmp_path)


def test_a_study_starts_its_ranks_where_the_file_is(tmp_path: Path, run_cli: Any) -> None:
    """Ranks run ``python -P`` on a configuration file that lies elsewhere."""
    shutil.copy(PLUGIN, tmp_path / "my_chaos.py")
    write_specs(tmp_path, {kind: f"my_chaos:{name}" for kind, name in CLASSES.items()})
    (tmp_path / "study.toml").write_text(
        '[study]\nname = "outside"\nquestion = "Does it run?"\nseed = 1\n'
        '[dataset]\nspec = "spec.toml"\n'
        '[model]\ncell = "my_chaos:Leaky"\nhidden = 4\ncoupling = "global"\n'
        '[train]\nmethod = "my_chaos:OneStep"\noptimizer = "my_chaos:SignOptions"\n'
        "window = 4\nglobal_batch = 4\nsteps = 10\nbaseline_seconds = 0\n"
        'backend = "mpi"\n'
        "[forecast]\ninitial_conditions = 2\nwarm_up = 5\nhorizon = 1.0\nlyapunov_exponent = 1.0\n"
        '[scaling]\nmode = "strong"\nranks = [1, 2]\nfixed = ["train.global_batch"]\n'
        "[repeat]\nmin = 1\nmax = 1\n"
        "[resources]\nranks_per_node = 2\nminutes = 5\nretries = 0\n"
    )
    done = run_cli(
        ["submit", "study.toml", "--site", "local"],
        cwd=tmp_path,
        env=launch_environment() | {"OMP_NUM_THREADS": "1"},
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("runs/outside/points/*/a*/result.json"))) == 2


@pytest.mark.parametrize("kind", CLASSES)
def test_an_unknown_name_is_one_message(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    field = {"system": "system", "cell": "model.cell"}.get(kind, f"train.{kind}")
    names = {"system": "henon_map", "cell": "lstm", "method": "tbptt", "optimizer": "adam"}
    misspelt = names[kind][:-1] + "x"
    write_specs(tmp_path, names | {kind: misspelt})
    if kind == "system":
        words = ["simulate", str(tmp_path / "spec.toml")]
    else:
        words = ["train", str(tmp_path / "train.toml"), "--data", "none.h5"]
    assert main(words) == 2
    lines = capsys.readouterr().err.splitlines()
    said = next(line for line in lines if field in line)
    assert f'"{misspelt}"' in said
    assert f'did you mean "{names[kind]}"' in said
    assert "valid: " in said
    assert '"module:Class"' in said
