"""Debian's packages of a Slurm cluster, installed when root, so that `make slurm` is one command.

No daemon of theirs is started: the tests start their own. Nothing here fails: what cannot be
installed is said, and the tests then skip with the same reason.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cluster import PACKAGES, what_is_missing

POLICY = Path("/usr/sbin/policy-rc.d")
"""What Debian's packages ask before they start a service; exit code 101 forbids it."""

SECONDS = 420


def main() -> None:
    """Install what is missing, or say why not."""
    reason = what_is_missing()
    if not reason:
        return
    if reason.startswith("missing") and shutil.which("apt-get"):
        print(f"slurm: {reason}", file=sys.stderr, flush=True)
        with no_services():
            for words in (
                ["update"],
                ["install", "--yes", "--no-install-recommends", *PACKAGES.split()],
            ):
                if not _apt(words):
                    break
        reason = what_is_missing()
    if reason:
        line = f"NO SLURM CLUSTER HERE: {reason}"
        print(f"{'!' * 80}\n{line}\n{'!' * 80}", file=sys.stderr, flush=True)


@contextmanager
def no_services() -> Iterator[None]:
    """Keep packages from starting daemons, unless the system has a policy of its own."""
    ours = not POLICY.exists()
    with suppress(OSError):
        if ours:
            POLICY.write_text("#!/bin/sh\nexit 101\n")
            POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            POLICY.unlink(missing_ok=True)


def _apt(words: list[str]) -> bool:
    """Run apt-get quietly; tell whether it worked, and what it said where it did not."""
    command = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=60", "-o", "Acquire::Retries=2", *words]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"slurm: apt-get {words[0]}: {error}", file=sys.stderr, flush=True)
        return False
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        print(f"slurm: apt-get {words[0]}: {said}", file=sys.stderr, flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    main()
