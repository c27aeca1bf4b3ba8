"""The calls of a Python session: ``import hpcbench``, and what a notebook does with it."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import hpcbench
from hpcbench.data.dataset import open_dataset
from hpcbench.errors import InputError
from hpcbench.forecasting.free_run import free_run

Spec = Callable[..., Path]

HEAVY = ("torch", "mpi4py", "h5py", "pydantic", "numpy", "pandas", "matplotlib", "submitit")
QUICK = {"train.steps": 10, "train.validate_every": 0, "train.baseline_seconds": 0}

SESSION = """
import json, os, signal, sys
import hpcbench

sys.argv = ["a-notebook", "kernel.json"]
before = list(sys.argv), dict(os.environ)
handlers = [signal.getsignal(number) for number in range(1, 32)]
spec, train_spec, folder = {spec!r}, {train_spec!r}, {folder!r}
for name in ("first", "second"):
    with hpcbench.simulate(spec, f"{{folder}}/{{name}}.h5", overrides={{"seed": 2}}) as dataset:
        hashes = dataset.state_sha256()
        print(json.dumps(["simulated", name, hashes]))
for name, backend in (("a", "none"), ("b", "none"), ("c", "horovod"), ("d", "horovod")):
    overrides = {quick!r} | {{"train.backend": backend}}
    result = hpcbench.train(train_spec, out=f"{{folder}}/{{name}}", overrides=overrides)
    print(json.dumps(["trained", name, result.metrics["final_loss"]]))
unchanged = [sys.argv == before[0], sorted(set(os.environ.items()) ^ set(before[1].items()))]
handlers_unchanged = handlers == [signal.getsignal(number) for number in range(1, 32)]
print(json.dumps(["left", *unchanged, handlers_unchanged]))
try:
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(10**9):
        pass
except KeyboardInterrupt:
    print(json.dumps(["interrupted"]))
"""


def python(code: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, hpcbench; hpcbench.__all__, dir(hpcbench); "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert python(code) == ["[]"]


def test_what_the_package_offers() -> None:
    assert set(hpcbench.__all__) <= set(dir(hpcbench))
    for name in hpcbench.__all__:
        call = getattr(hpcbench, name)
        assert callable(call)
        assert len((call.__doc__ or "").splitlines()) > 5, name
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        hpcbench.trian  # type: ignore[attr-defined] # noqa: B018


def test_a_session_trains_again_and_again(
    train_spec: Spec, lorenz96_file: Path, tmp_path: Path
) -> None:
    spec = lorenz96_file.with_name("spec.toml")
    lines = python(
        SESSION.format(
            spec=str(spec), train_spec=str(train_spec()), folder=str(tmp_path), quick=QUICK
        )
    )
    said = [json.loads(line) for line in lines]
    assert [words[:2] for words in said[:2]] == [["simulated", "first"], ["simulated", "second"]]
    assert said[0][2] == said[1][2]
    assert [words[:2] for words in said[2:6]] == [["trained", name] for name in "abcd"]
    assert said[2][2] == said[3][2]
    assert said[4][2] == said[5][2] == pytest.approx(said[2][2])
    _, words_stay, changed, handlers_stay = said[6]
    assert words_stay
    assert handlers_stay
    # PyTorch tells its own child processes where its compiler keeps files
    assert {name for name, _ in changed} <= {"TORCHINDUCTOR_CACHE_DIR"}
    assert said[7] == ["interrupted"]
    record = json.loads((tmp_path / "a" / "result.json").read_text())
    assert record["command"] == ["python", f"hpcbench.train({str(tmp_path / 'train.toml')!r})"]


def test_a_session_that_planned_a_study_can_train(train_spec: Spec, tmp_path: Path) -> None:
    """Planning keeps mpi4py from starting MPI; training needs it."""
    code = (
        "import jobs.study.points, hpcbench\n"
        f"result = hpcbench.train({str(train_spec())!r}, out={str(tmp_path / 'run')!r}, "
        f"overrides={QUICK!r})\n"
        "print(result.metrics['parameters'])"
    )
    assert len(python(code)) == 1


def test_a_thread_trains_and_random_state_stays(
    train_spec: Spec, tmp_path: Path, one_thread: None
) -> None:
    state = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    found: list[Any] = []

    def work() -> None:
        found.append(hpcbench.train(train_spec(), out=tmp_path / "thread", overrides=QUICK))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    again = hpcbench.train(train_spec(), out=tmp_path / "main", overrides=QUICK)
    assert again is not None
    assert found[0].metrics["final_loss"] == again.metrics["final_loss"]
    torch.testing.assert_close(torch.get_rng_state(), state[0], rtol=0, atol=0)
    assert random.getstate() == state[1]
    assert np.random.get_state()[1].tolist() == state[2]  # noqa: NPY002
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c()


def test_the_same_specification_as_a_dict(
    train_spec: Spec, lorenz96_file: Path, tmp_path: Path, one_thread: None
) -> None:
    path = train_spec()
    data = tomllib.loads(path.read_text())
    data["train"]["steps"] = np.int64(10)  # as a notebook computes it
    del data["dataset"]
    one = hpcbench.train(data, lorenz96_file, tmp_path / "dict", overrides=QUICK)
    other = hpcbench.train(path, out=tmp_path / "file", overrides=QUICK)
    assert one is not None
    assert other is not None
    assert one.path == tmp_path / "dict"
    assert one.metrics["final_loss"] == other.metrics["final_loss"]
    with pytest.raises(InputError, match="out: missing"):
        hpcbench.train(data, lorenz96_file)
    with pytest.raises(InputError, match=r"the given specification: dataset\.path: missing"):
        hpcbench.train(data, out=tmp_path / "none")
    with pytest.raises(InputError, match=r'train\.windw: unknown key \(did you mean "window"'):
        hpcbench.train(data, lorenz96_file, tmp_path / "x", overrides={"train.windw": 3})
    finished = hpcbench.train(path, out=tmp_path / "file", overrides=QUICK, resume=True)
    assert finished is not None
    assert finished.metrics == other.metrics


def test_simulating_from_a_dict(lorenz96_file: Path, tmp_path: Path) -> None:
    spec = tomllib.loads(lorenz96_file.with_name("spec.toml").read_text())
    with hpcbench.simulate(
        spec, tmp_path / "d.h5", overrides={"sampling.num_samples": 20}
    ) as dataset:
        assert dataset.num_samples == 20
        first = np.array(dataset.trajectory(0))
    longer = {"sampling.num_samples": 30}
    with hpcbench.simulate(
        spec, tmp_path / "e.h5", overrides=longer, extend=tmp_path / "d.h5"
    ) as dataset:
        np.testing.assert_array_equal(dataset.trajectory(0)[:20], first)
    with pytest.raises(InputError, match="out: missing"):
        hpcbench.simulate(spec)
    with pytest.raises(InputError, match=r"the given specification: seed"):
        hpcbench.simulate(spec, tmp_path / "f.h5", overrides={"seed": -1})


@pytest.mark.parametrize("options", [{}, {"embedding.delays": 3, "embedding.delay": 2}])
def test_forecasts_are_those_of_the_evaluation(
    options: dict[str, Any], train_spec: Spec, tmp_path: Path, one_thread: None
) -> None:
    result = hpcbench.train(
        train_spec(dtype="float64"), out=tmp_path / "run", overrides=QUICK | options
    )
    assert result is not None
    state = torch.get_rng_state()
    forecaster = hpcbench.load_forecaster(result.path)
    torch.testing.assert_close(torch.get_rng_state(), state, rtol=0, atol=0)
    assert forecaster.run["config"]["forecast"]["warm_up"] == 10
    with open_dataset(forecaster.run["dataset"]["path"]) as dataset:
        warm = np.stack([dataset.trajectory(m)[:10] for m in dataset.members("test")[:3]])
    with h5py.File(result.path / "forecast.h5") as file:
        stored = file["forecast"][()]
    steps = stored.shape[1]
    predicted = forecaster.forecast(warm, steps)
    assert predicted.dtype == np.float64
    np.testing.assert_array_equal(predicted.astype(np.float32), stored)
    np.testing.assert_array_equal(predicted, free_run(forecaster, warm.astype(np.float64), steps))
    one = forecaster.forecast(warm[0], 5)
    np.testing.assert_allclose(one, predicted[0, :5], rtol=1e-12)
    needed = forecaster.reach + 1
    assert forecaster.forecast(warm[:, -needed:].tolist(), 2).shape == (3, 2, 12)
    bad = [
        (warm[:, : needed - 1], 5, f"give at least|{needed}"),
        (warm[..., :3, None], 5, "given the shape"),
        (warm, 0, "steps: given 0"),
        (warm * np.nan, 5, "not all are finite"),
        (warm[..., :3], 5, "model.halo"),
    ]
    for states, count, message in bad:
        with pytest.raises(InputError, match=message):
            forecaster.forecast(states, count)


def test_a_report_from_python(train_spec: Spec, tmp_path: Path, one_thread: None) -> None:
    result = hpcbench.train(train_spec(), out=tmp_path / "run", overrides=QUICK)
    assert result is not None
    report = hpcbench.report(result.path, tmp_path / "page", title="One run")
    assert report.page == tmp_path / "page" / "index.html"
    assert "One run" in report.page.read_text()
    assert report.num_done == 1
    assert all(file.exists() for file in report.files)
    with pytest.raises(InputError, match="none given"):
        hpcbench.report([])
