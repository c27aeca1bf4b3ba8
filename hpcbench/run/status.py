"""``status.json``: the heartbeat of a run, written by its first rank."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hpcbench.errors import InputError
from hpcbench.run.document import Document
from hpcbench.run.files import read_json

FILE = "status.json"

State = Literal["running", "done", "failed", "diverged", "interrupted"]


@dataclass(frozen=True)
class RunStatus(Document):
    """How a run goes.

    Attributes
    ----------
    state, reason
        ``running``, ``done``, ``failed``, ``diverged`` or ``interrupted``, and why.
    step, num_steps
        Steps taken, and steps of the whole run.
    updated
        When this was written.
    """

    state: State
    step: int = 0
    num_steps: int = 1
    reason: str = ""
    updated: str | None = None

    def write_to(self, folder: Path) -> None:
        """Write the heartbeat into the run's folder."""
        self.write(folder / FILE)

    @property
    def is_training(self) -> bool:
        """Whether steps are still to be taken."""
        return self.step < self.num_steps


def read_status(folder: Path) -> RunStatus | None:
    """Return the heartbeat of a run, None where there is none that can be read."""
    path = folder / FILE
    try:
        return RunStatus.from_json(read_json(path), str(path))
    except InputError:
        return None
