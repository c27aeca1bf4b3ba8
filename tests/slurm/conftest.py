"""One real cluster for all tests here, and the command line as its user."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .cluster import Cluster, what_is_missing

SITE = """
scheduler = "slurm"
launcher = "srun"
launcher_options = ["--mpi=pmix"]
ranks_per_node = 1
cores_per_node = 4
signal_seconds = 25
"""


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    reason = what_is_missing()
    if reason:
        banner = f"NO SLURM CLUSTER: sweeps on a real scheduler stay untested here: {reason}"
        print(f"\n{'!' * 80}\n{banner}\n{'!' * 80}", file=sys.__stderr__)
        pytest.skip(banner)
    folder = tmp_path_factory.mktemp("cluster", numbered=True)
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)  # munged runs as a user of its own
    with Cluster(folder) as running:
        yield running


class User:
    """Somebody who types hpcbench commands on the cluster's login node."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        (folder / "cluster.toml").write_text(SITE)
        self.runs = folder / "runs"

    def types(self, *arguments: str | Path, code: int = 0) -> dict[str, Any]:
        """Run ``hpcbench ARGUMENTS --json`` and return the document."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "hpcbench.cli", *map(str, arguments), "--json"],
            env={**self.cluster.environment, "COLUMNS": "200"},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def study(self, name: str, text: str) -> Path:
        path = self.folder / f"{name}.toml"
        path.write_text(text)
        return path

    def submit(self, path: Path, site: str = "cluster.toml") -> dict[str, Any]:
        return self.types("submit", path, "--site", site)

    def points(self, name: str) -> dict[str, dict[str, Any]]:
        results = self.types("status", name)["results"]
        return {result["name"]: result for result in results}


@pytest.fixture
def user(cluster: Cluster, tmp_path: Path) -> User:
    cluster.wait_for_nodes()
    return User(cluster, tmp_path)
