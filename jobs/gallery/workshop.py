"""Where examples do their work: a folder for datasets and runs, made by ordinary commands."""

import shlex
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from hpcbench.cli import main
from hpcbench.config.tree import content_hash, read_config
from hpcbench.errors import INTERRUPTED, HpcbenchError, PartlyDone
from hpcbench.run.source_version import ROOT
from hpcbench.training.run_config import RunConfig
from sims.generation.spec import read_spec

SYSTEM_SPECS = ROOT / "sims/specs"
TRAIN_SPECS = ROOT / "jobs/specs"

HASH_LENGTH = 8
"""Hexadecimal digits of a specification's hash in a name."""


class Workshop:
    """Runs ``hpcbench simulate`` and ``hpcbench train`` and finds what they made before.

    A file or folder carries a hash of the resolved specification, so the same command finds its
    result, or goes on where it was stopped, and another one does not.

    Parameters
    ----------
    folder
        Holds ``data/`` and ``runs/``.

    Attributes
    ----------
    commands
        What was run, ready for a shell.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commands: list[str] = []

    def simulate(self, spec: str, *options: object) -> Path:
        """Return the dataset of a system's specification, with options laid over it."""
        path, given = SYSTEM_SPECS / f"{spec}.toml", [str(word) for word in options]
        code = read_spec(path, given).header().content_hash()[:HASH_LENGTH]
        place = self.folder / "data" / f"{spec}-{code}.h5"
        place.parent.mkdir(parents=True, exist_ok=True)
        self._run(["simulate", str(path), *given, "--out", str(place), "--resume"])
        return place

    def train(self, spec: str, data: Path, *options: object) -> Path:
        """Return the finished run of a training spec on a dataset, with options laid over it."""
        path, given = TRAIN_SPECS / f"{spec}.toml", [str(word) for word in options]
        config = read_config(RunConfig, path, [*given, "--dataset.path", f"'{data}'"])
        place = self.folder / "runs" / f"{spec}-{content_hash(config, HASH_LENGTH)}"
        words = ["train", str(path), "--data", str(data), *given, "--out", str(place)]
        self._run([*words, "--resume"])
        return place

    def _run(self, words: list[str]) -> None:
        shown = [word for word in words if word != "--resume"]
        told = shlex.join(["hpcbench", *map(_relative, shown)])
        if told not in self.commands:
            self.commands.append(told)
        with redirect_stdout(StringIO()):
            code = main(words)
        if code in (INTERRUPTED, PartlyDone.exit_code):
            raise PartlyDone(f"{self.folder}: stopped; the same command goes on from here")
        if code:
            raise HpcbenchError(f"{told}: failed; its message is above")


def _relative(word: str) -> str:
    """Return a path below the project's root as it reads from there."""
    return word.removeprefix(f"{ROOT}/")
