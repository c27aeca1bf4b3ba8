"""Further repeats of the points whose step time is not known well enough yet."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from analysis.statistics.intervals import repeats_wanted
from hpcbench.config.tree import canonical_json, validate
from hpcbench.errors import InputError
from hpcbench.run.point import Point
from hpcbench.run.record import read_result
from hpcbench.run.source_version import source_version
from jobs.records.study_folder import StudyFolder
from jobs.study.file import Study

METRIC = "step_seconds"


def add_repeats(study: StudyFolder) -> int:
    """Add points to a study's plan where [repeat] asks for more; return how many.

    A point is repeated until the 95 % rank interval of its median step time is at most
    ``half_width`` wide on either side, relative to the median, or ``max`` repeats are done.
    Points with unfinished repeats wait for those.

    Raises
    ------
    InputError
        The code is not the one that the first repeats ran with.
    """
    record = study.record()
    if source_version() != record.code:
        raise InputError(
            f"{study.path.name}: the code changed since the first repeats; repeats of two versions "
            "would not be comparable. Submit the study again, which gives its points new names"
        )
    from jobs.study.points import plan_study

    definition = validate(Study, dict(record.definition), str(study.plan_file))
    wanted: dict[str, int] = {}
    for name, points in _groups(record.points).items():
        seconds = [_seconds(study, point.id) for point in points]
        known = [value for value in seconds if value is not None]
        further = 0
        if len(known) == len(points):
            rule = definition.repeat
            further = repeats_wanted(known, rule.min, rule.max, rule.half_width)
        wanted[name] = len(points) + further
    plan = plan_study(definition, Path(record.file), max(wanted.values()))
    chosen = [p for p in plan.points if p.repeat < wanted[canonical_json(p.varied)]]
    chosen_plan = replace(plan, points=chosen)
    return study.write_plan(chosen_plan, Path(record.file), record.site, record.folder)


def _groups(points: Sequence[Point]) -> dict[str, list[Point]]:
    """Return the repeats of each point by what varies in the study."""
    groups: dict[str, list[Point]] = {}
    for point in points:
        groups.setdefault(canonical_json(point.varied), []).append(point)
    return groups


def _seconds(study: StudyFolder, identifier: str) -> float | None:
    """Return the median step time of a point that is done."""
    for record in study.attempt_records(identifier):
        if record.state == "done":
            value = read_result(study.point(identifier) / record.attempt).values.get(METRIC)
            if value is not None:
                return float(value)
    return None
