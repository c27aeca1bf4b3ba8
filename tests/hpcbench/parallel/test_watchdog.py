"""A rank that finishes no step writes its stacks and ends; one that does is left alone."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpcbench.parallel.watchdog import VARIABLE, Watchdog

CODE = """
import sys, time
from pathlib import Path
from hpcbench.parallel.watchdog import Watchdog
dog = Watchdog(Path(sys.argv[1]), 3, 0.6)
def steps():
    for _ in range(6):
        time.sleep(0.2)
        dog.step()
def waits_for_the_others():
    time.sleep(30)
steps()
if sys.argv[2] == "hang":
    waits_for_the_others()
dog.stop()
time.sleep(1)
print("the end")
"""


def run(folder: Path, what: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-P", "-c", CODE, str(folder), what]
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)


def test_a_hang_leaves_stacks_and_an_exit_code(tmp_path: Path) -> None:
    begin = time.monotonic()
    assert run(tmp_path, "hang").returncode == 1
    assert time.monotonic() - begin < 15
    assert "waits_for_the_others" in (tmp_path / "stacks.3.txt").read_text()


def test_steps_keep_it_quiet(tmp_path: Path) -> None:
    done = run(tmp_path, "work")
    assert (done.returncode, done.stdout) == (0, "the end\n")
    assert (tmp_path / "stacks.3.txt").read_text() == ""


def test_none_without_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    dog = Watchdog.from_environment(tmp_path, 0)
    dog.step()
    dog.stop()
    assert list(tmp_path.iterdir()) == []
