"""The checkout's places, and how set-up runs a step, speaks and gives up."""

import fcntl
import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

from hpcbench.errors import EnvironmentLacks

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
LOGS = VENV / "setup-logs"

LOG_TAIL_LINES = 25


def python() -> str:
    """Return the interpreter of the environment."""
    return str(VENV / "bin" / "python")


def base_python() -> str:
    """Return the interpreter that runs this, or the one behind it when that is ``.venv`` itself."""
    return str(Path(sys.executable).resolve())


def run_step(title: str, command: list[str], environment: dict[str, str], hint: str) -> None:
    """Run one step with its output in a log; on failure show the end of the log and the hint."""
    log = LOGS / f"{title.partition(' (')[0].replace(' ', '-').replace(':', '')}.log"
    begin = time.monotonic()
    say(f"  {title} ...")
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=subprocess.STDOUT, env=environment, cwd=ROOT
        )
        code = wait(process, title, begin)
    if code == 0:
        return
    tail = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    print("\n".join(tail), file=sys.stderr)
    fail(f"step failed: {title} (exit code {code}); the whole log is {log}\n{hint}")


def wait(process: subprocess.Popen[bytes], title: str, begin: float) -> int:
    """Wait for a step, with a sign of life every half minute; Ctrl-C ends it cleanly."""
    while True:
        try:
            return process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            say(f"  {title.partition(' (')[0]}: {time.monotonic() - begin:.0f} s")
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise


def quietly(command: list[str], title: str, hint: str) -> None:
    """Run a short step that precedes the log folder."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        print((result.stdout + result.stderr).strip(), file=sys.stderr)
        fail(f"step failed: {title} (exit code {result.returncode})\n{hint}")


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold a lock, so that two set-ups of one checkout run one after the other."""
    lock = ROOT / ".venv.lock"
    stream: IO[str]
    try:
        stream = lock.open("w")
    except OSError as error:
        fail(f"{ROOT}: cannot write here ({error.strerror}); use a checkout on a writable disk")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up of this checkout to end")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def output(command: list[str]) -> str:
    """Return the standard output of a command, empty when it fails."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return result.stdout.strip()


def hash_of(*parts: bytes) -> str:
    """Return the SHA-256 of the parts, each with its length in front."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:".encode())
        digest.update(part)
    return digest.hexdigest()


def say(text: str) -> None:
    """Print one progress line on standard error."""
    print(f"setup: {text}", file=sys.stderr, flush=True)


def fail(text: str, code: int = EnvironmentLacks.exit_code) -> NoReturn:
    """Print one message and exit."""
    print(f"setup: {text}", file=sys.stderr, flush=True)
    raise SystemExit(code)
