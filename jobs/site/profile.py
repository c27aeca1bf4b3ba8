"""A site: how jobs are started on one machine or cluster. Nothing of a site is in the code."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from hpcbench.config.tree import Config, read_config
from hpcbench.errors import InputError, nearest

PROFILES = Path(__file__).resolve().parents[1] / "sites"


def _one_word(text: str) -> str:
    """Refuse what a batch script or a comma-separated option could read as more than one word."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+:/@=*&|()\[\]-]*", text):
        raise ValueError(
            "expected one word of letters, digits and _ . + : / @ = * & | ( ) [ ] -, without "
            "spaces, quotes or line breaks"
        )
    return text


def _variable(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError("expected the name of an environment variable")
    return text


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("expected text without line breaks or control characters")
    return text


def _absolute(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError("expected an absolute path")
    return _printable(text)


Word = Annotated[str, AfterValidator(_one_word)]
Variable = Annotated[str, AfterValidator(_variable)]
Text = Annotated[str, AfterValidator(_printable)]
AbsolutePath = Annotated[str, AfterValidator(_absolute)]


class Site(Config):
    """How jobs are started.

    scheduler
        ``local``: here, under mpirun. ``slurm``: submitted with sbatch.
    description
        One line for people.
    launcher, launcher_options
        What starts the ranks inside a job, and its options.
    partition, account, qos, constraint, reservation
        Passed to Slurm.
    options
        Further options of sbatch: name → value (``true`` for a bare option).
    exclusive
        Whole nodes.
    memory
        Memory of a node, as Slurm writes it (``"64G"``; ``"0"`` for all of it).
    ranks_per_node, cores_per_node, gpus_per_node
        Ranks placed on a node unless the study says otherwise; what a node has.
    gpu_bind
        Value of ``srun --gpu-bind``; by default every rank sees all GPUs of its node and takes
        the one of its local number.
    scripts, modules
        Files to source and modules to load before the job starts.
    environment
        Variables set for the job.
    pass_environment
        Variables handed on from the submitting shell; nothing else is.
    max_array_size
        Tasks of one job array; by default what the scheduler allows.
    throttle
        Tasks of one array that run at a time; 0 for no limit.
    signal_seconds
        How long before the time limit ranks are told to write a checkpoint.
    """

    scheduler: Literal["local", "slurm"]
    description: str = ""
    launcher: Literal["mpirun", "srun"] = "mpirun"
    launcher_options: list[Text] = Field(default_factory=list)
    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    reservation: Word | None = None
    options: dict[Word, Word | int | bool] = Field(default_factory=dict)
    exclusive: bool = False
    memory: Word | None = None
    ranks_per_node: int = Field(1, ge=1)
    cores_per_node: int | None = Field(None, ge=1)
    gpus_per_node: int = Field(0, ge=0)
    gpu_bind: Word | None = None
    scripts: list[AbsolutePath] = Field(default_factory=list)
    modules: list[Word] = Field(default_factory=list)
    environment: dict[Variable, Text] = Field(default_factory=dict)
    pass_environment: list[Variable] = Field(default_factory=list)
    max_array_size: int | None = Field(None, ge=1)
    throttle: int = Field(0, ge=0)
    signal_seconds: int = Field(60, ge=10)

    @model_validator(mode="after")
    def _launches(self) -> "Site":
        if self.scheduler == "local" and self.launcher != "mpirun":
            raise ValueError('launcher must be "mpirun" where scheduler is "local"')
        return self


def read_site(name: str) -> Site:
    """Return the profile of a name, or of a TOML file's path.

    A name is looked for in ``$XDG_CONFIG_HOME/hpcbench/sites`` and among the profiles that come
    with the program. Raises :class:`InputError` naming the profiles there are.
    """
    if name.endswith(".toml"):
        return read_config(Site, Path(name))
    profiles = {path.stem: path for folder in _folders() for path in sorted(folder.glob("*.toml"))}
    if name not in profiles:
        raise InputError(
            f'--site: no profile "{name}"{nearest(name, profiles)}; valid: '
            f"{', '.join(sorted(profiles))}, or the path of a TOML file (see docs/sites.md)"
        )
    return read_config(Site, profiles[name])


def _folders() -> list[Path]:
    """Return the folders of profiles; later ones win."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return [PROFILES, home / "hpcbench" / "sites"]
