"""A small study, and what the tests ask of one: is it over, what became of a point."""

import json
import time
from collections.abc import Callable
from typing import Any

from .conftest import User

POLL_SECONDS = 2.0
"""Time between two looks; each costs a third of a second of one core."""

SMALL = """
[study]
name = "{name}"

[dataset]
spec = "sims/specs/lorenz96_smoke.toml"

[dataset.sampling]
num_trajectories = 40
num_samples = 400

[model]
hidden = {hidden}
coupling = "global"

[train]
window = {window}
global_batch = 12
steps = {steps}
checkpoint_every = {every}
backend = "horovod"

[forecast]
initial_conditions = 4
warm_up = 20
horizon = 2.0

[repeat]
min = 1

[resources]
cores_per_rank = 1
minutes = 10
hang_minutes = 1.0
"""


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(POLL_SECONDS)
    return value


def all_over(user: User, name: str) -> Callable[[], bool]:
    def over() -> bool:
        states = {result["value"] for result in user.points(name).values()}
        return not states & {"pending", "running"}

    return over


def attempts(user: User, name: str, point: str) -> list[dict[str, Any]]:
    folders = sorted(
        (user.runs / name / "points" / point).glob("a[0-9]*"), key=lambda p: int(p.name[1:])
    )
    return [json.loads((folder / "attempt.json").read_text()) for folder in folders]
