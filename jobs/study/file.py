"""A study: one question, asked by many training runs. This is the grammar of its TOML file."""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from hpcbench.config.tree import Config, Table, read_config

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


class StudySection(Config):
    """What is asked.

    name
        Name of the folder below ``runs/``: letters, digits, dots, dashes, underscores.
    question
        The question in words, for the report.
    seed
        Seed of the first repeat (each further one adds 1) and of random orders.
    order
        ``blocked``: all points once, then all again. ``randomised``: the same, each block
        shuffled. ``abba``: the two values of ``compare`` alternate inside one allocation.
    compare
        The field whose two values an ``abba`` study compares.
    """

    name: str
    question: str = ""
    seed: int = Field(1, ge=0)
    order: Literal["blocked", "randomised", "abba"] = "blocked"
    compare: str | None = None

    @field_validator("name")
    @classmethod
    def _is_a_plain_name(cls, name: str) -> str:
        if not NAME.fullmatch(name) or ".." in name:
            raise ValueError(
                "a study's name has 1 to 80 letters, digits, dots, dashes or underscores, starts "
                "with a letter or digit and has no two dots in a row"
            )
        return name

    @model_validator(mode="after")
    def _abba_compares(self) -> "StudySection":
        if (self.order == "abba") != (self.compare is not None):
            raise ValueError('order = "abba" needs compare = "FIELD", and no other does')
        return self


class Case(Config):
    """One of several alternatives that differ in whatever fields they name.

    name
        What it is called, for people.
    dataset, model, embedding, train, forecast
        The fields it sets, as in the study's own sections; the study says the rest.
    """

    name: str = Field(min_length=1)
    dataset: Table = Field(default_factory=dict)
    model: Table = Field(default_factory=dict)
    embedding: Table = Field(default_factory=dict)
    train: Table = Field(default_factory=dict)
    forecast: Table = Field(default_factory=dict)


class Axes(Config):
    """What varies: the product of the grid's lists, of the zips' columns and of the cases.

    where, exclude
        Conditions a point must meet; conditions that drop a point.
    grid
        Field → values.
    zip
        Name → fields whose lists are walked together.
    case
        Alternatives, each with the fields it sets.
    """

    where: list[str] = Field(default_factory=list)
    exclude: list[str] = Field(default_factory=list)
    grid: dict[str, list[Any]] = Field(default_factory=dict)
    zip: dict[str, dict[str, list[Any]]] = Field(default_factory=dict)
    case: list[Case] = Field(default_factory=list)

    @field_validator("case")
    @classmethod
    def _cases_have_names(cls, cases: list[Case]) -> list[Case]:
        names = [case.name for case in cases]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"each case needs a name of its own, given twice: {', '.join(twice)}")
        return cases

    @field_validator("grid")
    @classmethod
    def _grid_has_values(cls, grid: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for name, values in grid.items():
            _check_values(name, values)
        return grid

    @field_validator("zip")
    @classmethod
    def _columns_match(cls, zips: dict[str, dict[str, list[Any]]]) -> Any:
        for name, columns in zips.items():
            lengths = {column: len(values) for column, values in columns.items()}
            if len(set(lengths.values())) != 1:
                raise ValueError(f"zip {name}: lists of one length are needed, given {lengths}")
            for column, values in columns.items():
                if not values:
                    raise ValueError(f"zip {name}: {column} has no values")
        return zips


class Scaling(Config):
    """How the number of ranks varies, and what that must leave alone.

    mode
        ``strong``: the same work. ``weak``: work in proportion, by ``law``. ``throughput``:
        whatever runs fastest.
    ranks
        Numbers of ranks.
    fixed
        Fields or expressions that must have one value over all points, such as
        ``train.global_batch`` or ``train.global_batch / ranks``.
    law
        Field → expression in ``ranks``, such as ``train.global_batch = "64 * ranks"``.
    """

    mode: Literal["strong", "weak", "throughput"] = "strong"
    ranks: list[int]
    fixed: list[str] = Field(default_factory=list)
    law: dict[str, str] = Field(default_factory=dict)

    @field_validator("ranks")
    @classmethod
    def _are_counts(cls, ranks: list[int]) -> list[int]:
        _check_values("ranks", ranks)
        if min(ranks) < 1:
            raise ValueError("numbers of ranks are at least 1")
        return ranks

    @model_validator(mode="after")
    def _has_its_law(self) -> "Scaling":
        if (self.mode == "weak") != bool(self.law):
            raise ValueError('mode = "weak" and a law belong together; give both or neither')
        return self


class Repeat(Config):
    """How often each point is run.

    min
        Repeats that are planned; 6 is the least that bounds a median at 95 %.
    max, half_width
        ``resume --repeat`` adds repeats, up to ``max``, to points whose median step time is
        known worse than this relative half-width.
    """

    min: int = Field(6, ge=1)
    max: int = Field(20, ge=1)
    half_width: float = Field(0.05, gt=0)

    @model_validator(mode="after")
    def _is_a_range(self) -> "Repeat":
        if self.max < self.min:
            raise ValueError(f"max must be at least min = {self.min}, given {self.max}")
        return self


class Quality(Config):
    """The forecast skill that counts as reached: metric of the result, and its value."""

    metric: str
    target: float


class Resources(Config):
    """What one point gets.

    ranks
        Ranks of a study without [scaling].
    ranks_per_node, gpus_per_rank, cores_per_rank
        How ranks are placed; ``cores_per_rank`` by default a node's cores over its ranks.
    minutes
        Time limit of one job. Work that needs longer goes on from its checkpoint in the next.
    retries
        Further attempts after a crash, a hang or a lost node.
    split
        Whether a point that ran into its time limit goes on in another job.
    hang_minutes
        Without a finished step for this long, every rank writes its stack and gives up.
    dataset_ranks, dataset_minutes
        Ranks and time limit of the job that generates a dataset.
    """

    ranks: int = Field(1, ge=1)
    ranks_per_node: int | None = Field(None, ge=1)
    gpus_per_rank: int = Field(0, ge=0)
    cores_per_rank: int | None = Field(None, ge=1)
    minutes: int = Field(60, ge=1)
    retries: int = Field(2, ge=0)
    split: bool = True
    hang_minutes: float = Field(10.0, gt=0)
    dataset_ranks: int = Field(1, ge=1)
    dataset_minutes: int = Field(60, ge=1)


class Study(Config):
    """A study file. Its sections [dataset] to [forecast] are those of a training run."""

    study: StudySection
    dataset: Table
    model: Table = Field(default_factory=dict)
    embedding: Table = Field(default_factory=dict)
    train: Table = Field(default_factory=dict)
    forecast: Table = Field(default_factory=dict)
    axes: Axes = Field(default_factory=Axes)
    derived: dict[str, str] = Field(default_factory=dict)
    scaling: Scaling | None = None
    repeat: Repeat = Field(default_factory=Repeat)
    quality: Quality | None = None
    resources: Resources = Field(default_factory=Resources)


def read_study(path: Path, overrides: list[str] | None = None) -> Study:
    """Read a study file; raise :class:`InputError` naming file, field and what is valid."""
    return read_config(Study, path, overrides)


def _check_values(name: str, values: list[Any]) -> None:
    if not values:
        raise ValueError(f"{name} has no values; give at least one, or leave it out")
    seen: list[Any] = []
    for value in values:
        if value in seen:
            raise ValueError(f"{name} has the value {value!r} twice; give it once")
        seen.append(value)
