"""Training through the command line: results, resuming, ranks, faults and bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hpcbench.cli import main
from hpcbench.config.tree import read_config
from hpcbench.parallel.mpirun import find_launcher, launch_environment
from hpcbench.run.command import recorded
from hpcbench.training.run_config import RunConfig
from hpcbench.training.train import train

Spec = Callable[..., Path]


def metrics(run: Path) -> dict[str, float]:
    result = json.loads((run / "result.json").read_text())
    return {metric["name"]: metric["value"] for metric in result["metrics"]}


def curve(run: Path, name: str = "loss") -> np.ndarray:
    with h5py.File(run / "metrics.h5") as file:
        return np.asarray(file[name])


def same_run(one: Path, other: Path) -> None:
    """Assert that two runs computed the same bits."""
    for name in ("loss", "learning_rate", "validation_step", "validation_loss"):
        np.testing.assert_array_equal(curve(one, name), curve(other, name))
    weights = [sorted((run / "checkpoint").iterdir())[-1] for run in (one, other)]
    assert weights[0].name == weights[1].name
    model = [(place / "model.safetensors").read_bytes() for place in weights]
    assert model[0] == model[1]
    with h5py.File(one / "forecast.h5") as a, h5py.File(other / "forecast.h5") as b:
        np.testing.assert_array_equal(a["nrmse"], b["nrmse"])


def test_a_run_learns_and_leaves_a_whole_record(
    tmp_path: Path, train_spec: Spec, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["train", str(train_spec()), "--out", str(run), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["run"] == str(run)
    assert {"name", "value", "unit"} <= set(document["results"][0])
    losses = curve(run)
    assert losses.shape == (50,)
    assert losses[-5:].mean() < 0.5 * losses[:5].mean()
    assert curve(run, "validation_step").tolist() == [20, 40, 50]
    assert curve(run, "step_seconds").shape == (50, 1)
    assert (curve(run, "step_seconds") >= curve(run, "compute_seconds")).all()
    values = metrics(run)
    assert values["validation_loss"] == curve(run, "validation_loss")[-1]
    assert values["vpt_mean"] > values["vpt_persistence"] > values["vpt_climatology"] >= 0
    assert values["parameters"] == 4 * 8 * (5 + 8) + 2 * 4 * 8 + 8 + 1
    status = json.loads((run / "status.json").read_text())
    assert (status["state"], status["step"], status["num_steps"]) == ("done", 50, 50)
    provenance = json.loads((run / "provenance.json").read_text())
    assert provenance["ranks"][0]["versions"]["torch"]
    assert "PATH" not in provenance["ranks"][0]["environment"]
    assert sorted(int(p.name) for p in (run / "checkpoint").iterdir()) == [45, 50]


def test_validations_forecast_when_asked(tmp_path: Path, train_spec: Spec) -> None:
    for name, count in (("with", "4"), ("without", "0")):
        options = ["--out", str(tmp_path / name), "--train.validate_forecasts", count]
        assert main(["train", str(train_spec()), *options]) == 0
    found = curve(tmp_path / "with", "validation_vpt")
    assert found.shape == (3,)
    assert (found > 0).all()
    assert np.isnan(curve(tmp_path / "without", "validation_vpt")).all()
    # looking on changes nothing
    np.testing.assert_array_equal(curve(tmp_path / "with"), curve(tmp_path / "without"))


def test_validation_forecasts_that_do_not_fit_are_refused_at_once(
    tmp_path: Path, train_spec: Spec, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--out", str(tmp_path / "run"), "--train.validate_forecasts", "1000"]
    assert main(["train", str(train_spec()), *options]) == 2
    assert "validation trajectories" in capsys.readouterr().err


def test_a_finished_run_is_not_run_again(
    tmp_path: Path, train_spec: Spec, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    arguments = ["train", str(train_spec()), "--out", str(run), "--train.steps", "5"]
    assert main(arguments) == 0
    before = (run / "result.json").read_bytes()
    capsys.readouterr()
    assert main(arguments) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
    assert "already done" in capsys.readouterr().err
    assert (run / "result.json").read_bytes() == before
    assert main([*arguments, "--resume", "--seed", "9"]) == 2
    assert "differs in: config.seed" in capsys.readouterr().err


def test_stopping_early_follows_the_longer_schedule(tmp_path: Path, train_spec: Spec) -> None:
    spec = str(train_spec())
    assert main(["train", spec, "--out", str(tmp_path / "whole")]) == 0
    short = tmp_path / "short"
    options = ["--train.stop_after", "17", "--forecast.initial_conditions", "0"]
    assert main(["train", spec, "--out", str(short), *options]) == 0
    np.testing.assert_array_equal(curve(short), curve(tmp_path / "whole")[:17])
    assert not (short / "forecast.h5").exists()


def start(arguments: list[str], ranks: int = 1) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(find_launcher()), "-n", str(ranks), sys.executable, "-m", "hpcbench.cli", *arguments],
        env={**os.environ, **launch_environment(), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return a started command's exit code and what it said on standard error."""
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def wait_for_step(run: Path, step: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if json.loads((run / "status.json").read_text())["step"] >= step:
                return
        except (OSError, ValueError):
            pass
        time.sleep(0.01)
    raise AssertionError(f"{run} did not reach step {step} in a minute")


def ranks_of(process: subprocess.Popen[str]) -> list[int]:
    import psutil

    children = psutil.Process(process.pid).children(recursive=True)
    return [child.pid for child in children if "hpcbench.cli" in child.cmdline()]


LONG = ["--train.steps", "400", "--train.checkpoint_every", "10", "--train.validate_every", "30"]


@pytest.mark.parametrize(("number", "victims"), [(signal.SIGKILL, 1), (signal.SIGTERM, 2)])
def test_a_killed_run_resumes_to_the_same_bits(
    tmp_path: Path, train_spec: Spec, number: signal.Signals, victims: int
) -> None:
    spec = train_spec("mpi")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    code, errors = finish(start(["train", str(spec), "--out", str(whole), *LONG], ranks=2))
    assert code == 0, errors
    process = start(["train", str(spec), "--out", str(killed), *LONG], ranks=2)
    wait_for_step(killed, 30)
    for pid in ranks_of(process)[-victims:]:
        os.kill(pid, number)
    code, errors = finish(process)
    assert code != 0
    assert "Traceback" not in errors
    assert not (killed / "result.json").exists()
    if number == signal.SIGTERM:
        assert "go on with --resume" in errors
        assert json.loads((killed / "status.json").read_text())["state"] == "interrupted"
    arguments = ["train", str(spec), "--out", str(killed), *LONG, "--resume"]
    code, errors = finish(start(arguments, ranks=2))
    assert code == 0, errors
    same_run(whole, killed)
    # an interrupted attempt never mixes into timings
    assert np.isnan(curve(killed, "step_seconds")[:10]).all()
    assert not np.isnan(curve(killed, "step_seconds")[-10:]).any()


def test_a_diverging_run_stops_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, train_spec: Spec, run_cli: Any
) -> None:
    run = tmp_path / "run"
    options = ["--train.optimizer", "sgd", "--train.learning_rate", "1e30"]
    options += ["--train.warm_up", "1000", "--train.checkpoint_every", "1"]
    done = run_cli(["train", train_spec("mpi"), "--out", run, *options], ranks=2)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "the loss is" in done.stderr
    assert "the last good checkpoint is kept" in done.stderr
    result = json.loads((run / "result.json").read_text())
    assert result["status"] == "diverged"
    assert json.loads((run / "status.json").read_text())["state"] == "diverged"
    assert list((run / "checkpoint").iterdir())


def test_a_run_that_cannot_be_finished_says_why(
    tmp_path: Path, train_spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hpcbench.training.train as module

    def no_forecast(*arguments: object) -> None:
        raise module.InputError("no forecast today")

    monkeypatch.setattr(module, "evaluate", no_forecast)
    run = tmp_path / "run"
    assert main(["train", str(train_spec()), "--out", str(run), "--train.steps", "5"]) == 2
    status = json.loads((run / "status.json").read_text())
    assert (status["state"], status["step"], status["reason"]) == ("failed", 5, "no forecast today")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--train.windw", "4"], ["train.windw", "unknown key", '"window"']),
        (["--train.window", "long"], ["train.window", "valid integer", '"long"']),
        (["--train.window", "0"], ["train.window", "greater than or equal to 1"]),
        (["--train.carry", "6"], ["train", "multiple of window = 4", "given 6", "nearest: 8"]),
        (["--train.learning_rate", "-1"], ["train.learning_rate", "greater than 0"]),
        (["--train.epochs", "2"], ["train", "exactly one of steps and epochs"]),
        (["--train.backend", "horovd"], ["train.backend", '"horovod"', "valid:"]),
        (["--train.method", "bptt"], ["train.method", '"tbptt"', "valid:"]),
        (["--train.optimizer", "adm"], ["train.optimizer", '"adam"']),
        (["--train.options.nois", "1"], ["train", "nois", '"noise"']),
        (["--model.cell", "ltsm"], ["model.cell", '"lstm"']),
        (["--model.options.forget_bais", "1"], ["model", "forget_bais", '"forget_bias"']),
        (["--model.halo", "6"], ["model.halo", "given 6", "at most 5"]),
        (["--model.halo", "[6, 6]"], ["model.halo", "given 6", "at most 5"]),
        (["--model.halo", "[7, 5]"], ["model.halo", "given [7, 5]", "11 on both"]),
        (["--model.halo", "[6, 3, 1]"], ["model.halo", "given [6, 3, 1]", "such as [6, 3]"]),
        (["--model.halo", "6+3"], ["model.halo", 'given "6+3"', "such as [6, 3]"]),
        (["--model.coupling", "both"], ["model.coupling", "'global' or 'local'"]),
        (["--train.carry", "400"], ["train.carry", "given 400", "200 samples"]),
        (["--train.global_batch", "999"], ["train.global_batch", "given 999", "192"]),
        (["--forecast.horizon", "100"], ["forecast.horizon", "given 100"]),
        (["--forecast.initial_conditions", "999"], ["initial_conditions", "given 999"]),
        (["--data", "none.h5"], ["none.h5", "no such file"]),
        (["--nothing"], ["--nothing"]),
    ],
)
def test_bad_input_is_one_message(
    tmp_path: Path,
    train_spec: Spec,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    parts: list[str],
) -> None:
    run = tmp_path / "run"
    assert main(["train", str(train_spec()), "--out", str(run), *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("hpcbench: ")
    assert len(captured.err.splitlines()) == 1
    for part in parts:
        assert part in captured.err
    assert not run.exists(), "a refused run must leave nothing behind"


def test_a_batch_that_ranks_cannot_share(tmp_path: Path, train_spec: Spec, run_cli: Any) -> None:
    options = ["--out", tmp_path / "run", "--train.global_batch", "7"]
    done = run_cli(["train", train_spec("mpi"), *options], ranks=2)
    assert done.returncode == 2
    assert done.stderr.count("hpcbench: ") == 1
    assert "given 7, which 2 ranks cannot share evenly; nearest: 6 or 8" in done.stderr


def test_a_full_disk_keeps_what_was_written(
    tmp_path: Path, train_spec: Spec, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    import hpcbench.training.resuming as module

    run = tmp_path / "run"
    write = module.write_checkpoint

    def full_after_the_first(folder: Path, checkpoint: Any) -> None:
        if checkpoint.step > 15:
            raise OSError(28, "No space left on device")
        write(folder, checkpoint)

    monkeypatch.setattr(module, "write_checkpoint", full_after_the_first)
    arguments = ["train", str(train_spec()), "--out", str(run)]
    assert main(arguments) == 3
    assert "No space left on device" in capsys.readouterr().err
    monkeypatch.undo()
    assert main([*arguments, "--resume"]) == 0
    whole = tmp_path / "whole"
    assert main(["train", str(train_spec()), "--out", str(whole)]) == 0
    same_run(whole, run)


HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


@pytest.mark.parametrize(("options", "code"), [([], 0), (["--train.learning_rate", "1e30"], 1)])
def test_a_run_leaves_its_process_as_it_was(
    tmp_path: Path, train_spec: Spec, options: list[str], code: int
) -> None:
    import torch

    def state() -> list[Any]:
        generators = (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist())  # noqa: NPY002
        handlers = [signal.getsignal(number) for number in HANDLED]
        # PyTorch sets variables of its own when it loads its compiler for the first optimiser
        variables = {k: v for k, v in os.environ.items() if not k.startswith("TORCHINDUCTOR_")}
        return [handlers, list(sys.argv), variables, torch.get_num_threads(), generators]

    before = state()
    options = ["--train.optimizer", "sgd", "--train.steps", "8", *options]
    assert main(["train", str(train_spec()), "--out", str(tmp_path / "run"), *options]) == code
    after = state()
    assert after == before
    assert all(new is old for new, old in zip(after[0], before[0], strict=True))
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_record_names_the_command_or_the_call(tmp_path: Path, train_spec: Spec) -> None:
    def command(run: Path) -> list[str]:
        return list(json.loads((run / "result.json").read_text())["command"])

    def call(name: str) -> Path:
        train(config, tmp_path / name)
        return tmp_path / name

    arguments = ["train", str(train_spec()), "--out", str(tmp_path / "a"), "--train.steps", "2"]
    assert main(arguments) == 0
    assert command(tmp_path / "a") == ["hpcbench", *arguments]
    config = read_config(RunConfig, train_spec(), ["--train.steps", "2"])
    assert command(call("b")) == []
    with recorded(["python", "hpcbench.train('spec.toml')"]):
        assert command(call("c")) == ["python", "hpcbench.train('spec.toml')"]
    assert command(call("d")) == []


def test_training_in_a_thread_works(tmp_path: Path, train_spec: Spec) -> None:
    config = read_config(RunConfig, train_spec(), ["--train.steps", "2"])
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(train, config, tmp_path / "run").result()
    assert result is not None
    assert result.status == "done"


def test_a_late_signal_does_not_lose_the_result(
    tmp_path: Path, train_spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hpcbench.training.train as module

    def warned(*arguments: Any, **options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(*arguments, **options)

    evaluate = module.evaluate
    monkeypatch.setattr(module, "evaluate", warned)
    run = tmp_path / "run"
    assert main(["train", str(train_spec()), "--out", str(run), "--train.steps", "2"]) == 0
    assert json.loads((run / "status.json").read_text())["state"] == "done"
