"""The example of the README runs (tests/test_docs.py holds its links and commands)."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_example_of_the_readme_runs(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(example.splitlines()) <= 16
    for name in ("sims", "jobs"):
        (tmp_path / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [sys.executable, "-P", "-c", example],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # threads wait for each other on a busy machine
    )
    assert done.returncode == 0, done.stderr
    assert "(1500, 40)" in done.stdout
    assert "5537 weights" in done.stdout
    assert "valid for" in done.stdout
    assert (tmp_path / "runs/first/report/index.html").exists()
