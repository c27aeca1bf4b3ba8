"""From a study to its points: every run it asks for, checked, with an id made of its content."""

import itertools
from collections import ChainMap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcbench.config.tree import Table, canonical_json, content_hash, validate
from hpcbench.errors import InputError
from hpcbench.run.point import Point
from hpcbench.run.source_version import source_version
from hpcbench.training.run_config import RunConfig
from jobs.study.dataset import PlannedDataset
from jobs.study.datasets import DatasetPlanner
from jobs.study.expressions import Expression
from jobs.study.fields import SECTIONS, defaults, flatten, nest, resolve, section_class, value_key
from jobs.study.file import Case, Scaling, Study
from jobs.study.order import ordered

CASE = "case"
"""Under this name the points of a study say which of its cases they are."""


@dataclass(frozen=True)
class Plan:
    """All points of a study in the order they are to run, and their datasets by key."""

    study: Study
    points: list[Point]
    datasets: dict[str, PlannedDataset]
    code: str


def plan_study(study: Study, study_file: Path, num_repeats: int | None = None) -> Plan:
    """Expand a study into its points.

    Raises
    ------
    InputError
        A name is unknown, a value impossible for some point, a declared invariant does not hold,
        or no point is left.
    """
    expansion = _Expansion(study, study_file, num_repeats or study.repeat.min)
    points = ordered(expansion.points(), study.study.order, study.study.seed, expansion.compare)
    if not points:
        raise InputError(f"{study_file}: axes: where and exclude leave no point; loosen one")
    return Plan(study, points, expansion.datasets, expansion.code)


class _Expansion:
    """The walk through the product of the axes."""

    def __init__(self, study: Study, study_file: Path, num_repeats: int) -> None:
        self.study, self.file, self.num_repeats = study, study_file, num_repeats
        self.code = source_version()
        self.datasets: dict[str, PlannedDataset] = {}
        self._dataset_plans = DatasetPlanner(study_file)
        self._sections: dict[str, Table] = {}
        self.base: Table = {"seed": study.study.seed}
        for section in ("dataset", *SECTIONS):
            self.base |= flatten(getattr(study, section), f"{section}.")
        self.by_case: set[str] = set()
        self.axes = self._axes()
        self.rules = self._rules(study.derived, "derived")
        scaling = study.scaling
        self.laws = self._rules(scaling.law, "scaling.law") if scaling else []
        self.where = self._conditions("where")
        self.exclude = self._conditions("exclude")
        self.compare = study.study.compare and self._name(study.study.compare, "study.compare")
        self._check_work(scaling)

    def points(self) -> list[Point]:
        """Return the points in the order of the product, all repeats of one next to each other."""
        points: list[Point] = []
        places: dict[str, str] = {}
        fixed = self._fixed()
        for values, varied in self._combinations():
            for name, rule in (*self.rules, *self.laws):
                values[name] = rule(ChainMap(values, defaults()))
            known = ChainMap(values, defaults())
            if not all(condition(known) for condition in self.where):
                continue
            if any(condition(known) for condition in self.exclude):
                continue
            place = self._place(varied)
            self._check_fixed(fixed, known, place)
            repeats = self._repeats(values, varied, place)
            if same := places.get(repeats[0].id):
                raise InputError(f"{place}: the same run as {same}; leave one of them out")
            places[repeats[0].id] = place
            points += repeats
        return points

    def _axes(self) -> list[list[Table]]:
        """Return one list of assignments for each axis of the product."""
        axes: list[list[Table]] = []
        taken: set[str] = set()

        def take(name: str, place: str) -> str:
            full = self._name(name, place)
            if full in taken:
                raise InputError(f"{self.file}: {place}: {full} varies in two places; keep one")
            taken.add(full)
            return full

        for name, values in self.study.axes.grid.items():
            full = take(name, f"axes.grid.{name}")
            axes.append([{full: value} for value in values])
        for title, columns in self.study.axes.zip.items():
            names = [take(name, f"axes.zip.{title}") for name in columns]
            rows = zip(*columns.values(), strict=True)
            axes.append([dict(zip(names, row, strict=True)) for row in rows])
        if self.study.axes.case:
            cases = [(case.name, self._case(case)) for case in self.study.axes.case]
            self.by_case = {take(name, "axes.case") for name in ChainMap(*(f for _, f in cases))}
            axes.append([{**fields, CASE: name} for name, fields in cases])
        if self.study.scaling:
            take("ranks", "scaling.ranks")
            axes.append([{"ranks": ranks} for ranks in self.study.scaling.ranks])
        return axes

    def _case(self, case: Case) -> Table:
        """Return the fields that a case sets, by full name."""
        fields: Table = {}
        for section in ("dataset", *SECTIONS):
            fields |= flatten(getattr(case, section), f"{section}.")
        return {self._name(name, f"axes.case {case.name}"): fields[name] for name in fields}

    def _combinations(self) -> Iterator[tuple[Table, Table]]:
        start = self.base | {"ranks": self.study.resources.ranks}
        for parts in itertools.product(*self.axes):
            chosen = {name: value for part in parts for name, value in part.items()}
            varied = {name: chosen[name] for name in chosen if name not in self.by_case}
            yield start | chosen, varied

    def _repeats(self, values: Table, varied: Table, place: str) -> list[Point]:
        """Return all repeats of one combination; only the seed differs between them."""
        ranks, seed = values["ranks"], values["seed"]
        for name, value in (("ranks", ranks), ("seed", seed)):
            if not isinstance(value, int) or isinstance(value, bool) or value < (name == "ranks"):
                raise InputError(f"{place}: {name}: given {value!r}, expected a whole number")
        config = {section: self._section(section, values, place) for section in SECTIONS}
        batch = config["train"]["global_batch"]
        if batch % ranks:
            raise InputError(
                f"{place}: train.global_batch: given {batch}, which {ranks} ranks cannot share "
                "evenly; choose a multiple, or drop the point with axes.exclude = "
                f"['global_batch % ranks != 0']"
            )
        dataset = self._dataset_plans.plan(nest(values, "dataset"))
        self.datasets[dataset.key] = dataset
        points = []
        for repeat in range(self.num_repeats):
            resolved = {"seed": seed + repeat, **config}
            identity = [resolved, dataset.key, ranks, repeat, self.code]
            points.append(
                Point(content_hash(identity), resolved, ranks, repeat, varied, dataset.key, 0)
            )
        return points

    def _section(self, section: str, values: Table, place: str) -> Table:
        """Return one checked section; equal ones are checked once."""
        table = nest(values, section)
        key = f"{section}{canonical_json(table)}"
        if key not in self._sections:
            try:
                checked = validate(section_class(section), table, place)
            except InputError:
                # The whole tree names the field in full.
                validate(RunConfig, {name: nest(values, name) for name in SECTIONS}, place)
                raise
            self._sections[key] = checked.model_dump(mode="json")
        return self._sections[key]

    def _name(self, name: str, place: str) -> str:
        return resolve(name, f"{self.file}: {place}", self.base)

    def _expression(self, text: str, place: str) -> Expression:
        # Fields that only an axis or a rule sets may be used as well.
        return Expression(text, f"{self.file}: {place}", lambda name: self._name(name, place))

    def _conditions(self, kind: str) -> list[Expression]:
        return [self._expression(text, f"axes.{kind}") for text in getattr(self.study.axes, kind)]

    def _rules(self, rules: dict[str, str], place: str) -> list[tuple[str, Expression]]:
        return [
            (self._name(name, f"{place}.{name}"), self._expression(text, f"{place}.{name}"))
            for name, text in rules.items()
        ]

    def _check_work(self, scaling: Scaling | None) -> None:
        """Refuse a strong study whose work follows the number of ranks."""
        if scaling is None or scaling.mode != "strong":
            return
        for name, rule in self.rules:
            if "ranks" in rule.names:
                raise InputError(
                    f"{self.file}: derived.{name}: depends on ranks, but strong scaling keeps the "
                    'work; use mode = "weak" with a law, or mode = "throughput"'
                )

    def _fixed(self) -> dict[str, tuple[Expression, list[tuple[str, Any, str]]]]:
        names = self.study.scaling.fixed if self.study.scaling else []
        return {name: (self._expression(name, "scaling.fixed"), []) for name in names}

    def _check_fixed(self, fixed: Table, known: Any, place: str) -> None:
        for name, (expression, seen) in fixed.items():
            value = expression(known)
            key = value_key(value)
            if not seen:
                seen.append((key, value, place))
            elif seen[0][0] != key:
                raise InputError(
                    f"{place}: {name} is {value}, but scaling.fixed declares it the same for all "
                    f"points, and it is {seen[0][1]} at {seen[0][2]}"
                )

    def _place(self, varied: Table) -> str:
        shown = ", ".join(f"{name}={value}" for name, value in varied.items())
        return f"{self.file}: point ({shown})" if shown else str(self.file)
