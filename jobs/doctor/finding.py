"""A finding about this machine, and the child processes that findings come from.

Libraries with compiled parts are imported in a child process: one that is broken, or that aborts
when it is loaded, is then a finding and not the end of the program.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from hpcbench.parallel.environment import without_foreign_job

CHILD_SECONDS = 60
SETUP_HINT = "run `make setup` in the checkout; it shows the step that fails and its log"

Status = Literal["ok", "missing", "optional", "pass", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis.

    Of a machine: ``missing`` stops the main pipeline; ``optional`` widens what can be done or
    speeds it up. Of a site: ``fail`` stops sweeps there, ``warn`` may spoil them, else ``pass``.
    ``hint`` says how to get what is not there, or what to do.
    """

    name: str
    value: str | int | float | bool | None
    unit: str = ""
    status: Status = "ok"
    hint: str = ""

    def as_result(self) -> dict[str, Any]:
        """Return the finding as one entry of the JSON document."""
        return asdict(self)


def run_child(argv: Sequence[str], extra: dict[str, str] | None = None) -> tuple[int, str]:
    """Run a command; return its exit code and output, 127 and the reason when it cannot run."""
    try:
        result = subprocess.run(
            list(argv),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=CHILD_SECONDS,
            env={**without_foreign_job(os.environ), **(extra or {})},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 124, f"no answer within {CHILD_SECONDS} s"
    except OSError as error:
        return 127, error.strerror or str(error)
    said = (result.stdout, result.stderr)
    return result.returncode, (said[0] or said[1]) if result.returncode == 0 else said[1]


def ask_python(code: str) -> tuple[dict[str, Any] | None, str]:
    """Run ``code`` in a child interpreter; return the JSON it prints last, or None and why not."""
    exit_code, text = run_child([sys.executable, "-P", "-c", code])
    if exit_code == 0:
        try:
            return json.loads(last_line(text)), ""
        except ValueError:
            return None, f"unexpected output: {last_line(text)}"
    return None, last_line(text) or f"the child process ended with code {exit_code}"


def last_line(text: str) -> str:
    """Return the last line that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
