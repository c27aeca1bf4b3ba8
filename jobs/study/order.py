"""The order points run in: what drifts over hours must not look like an effect."""

import random
from dataclasses import replace
from typing import Literal

from hpcbench.config.tree import canonical_json
from hpcbench.errors import InputError
from hpcbench.run.point import Point


def ordered(
    points: list[Point],
    order: Literal["blocked", "randomised", "abba"],
    seed: int,
    compare: str | None,
) -> list[Point]:
    """Return the points in the order they are to run, each with its group numbered.

    A block holds every combination once. ``abba`` makes one group of all repeats of the two
    compared variants, as A B, B A, A B …, so that a linear drift cancels.
    """
    if order == "abba":
        assert compare is not None
        return _alternating(points, compare)
    blocks: dict[int, list[Point]] = {}
    for point in points:
        blocks.setdefault(point.repeat, []).append(point)
    shuffle = random.Random(seed)
    if order == "randomised":
        for block in blocks.values():
            shuffle.shuffle(block)
    flat = [point for block in blocks.values() for point in block]
    return [replace(point, group=number) for number, point in enumerate(flat)]


def _alternating(points: list[Point], compare: str) -> list[Point]:
    groups: dict[str, dict[int, list[Point]]] = {}
    for point in points:
        rest = {name: value for name, value in point.varied.items() if name != compare}
        groups.setdefault(canonical_json(rest), {}).setdefault(point.repeat, []).append(point)
    arranged: list[Point] = []
    for number, repeats in enumerate(groups.values()):
        for repeat, pair in sorted(repeats.items()):
            if len(pair) != 2 or compare not in pair[0].varied:
                raise InputError(
                    f'study.compare: order = "abba" needs exactly two values of {compare} for each '
                    f"combination of the other axes, found {len(pair)}"
                )
            arranged += [
                replace(point, group=number) for point in (pair if repeat % 2 == 0 else pair[::-1])
            ]
    return arranged
