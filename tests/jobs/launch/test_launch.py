"""Commands on ranks: what they see, what is kept of their output, how they end."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from hpcbench.errors import EnvironmentLacks, HpcbenchError, InputError, PartlyDone
from jobs.launch import child, launch, mpirun

SAY = "import sys; print(*sys.argv[1:], sep='|'); print('noise', file=sys.stderr)"
NASTY = ["a b", "$(touch x)", "'\"", "new\nline", "../up", ";true", "*"]

WAIT_FOR_SIGNAL = """
import os, signal, sys, time
def stop(number, frame):
    open(sys.argv[1] + "/stopped", "a").write("x")
    sys.exit(3)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
open(sys.argv[1] + f"/ready.{os.getpid()}", "w").close()
time.sleep(60)
"""


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-P", "-c", code, *arguments]


def wait_for_ranks(folder: Path, count: int) -> None:
    """Return once that many ranks have said that they are ready for a signal."""
    deadline = time.monotonic() + 60
    while len(list(folder.glob("ready.*"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_ranks_share_one_job_and_the_cores(tmp_path: Path) -> None:
    code = (
        "from mpi4py import MPI; import os; "
        "print(MPI.COMM_WORLD.size, os.environ['OMP_NUM_THREADS'], "
        "os.environ['MALLOC_TOP_PAD_'], flush=True)"
    )
    result = launch.run(3, python(code), log=tmp_path / "deep" / "log.txt")
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, mpirun.usable_cores() // 3))
    assert result.output.splitlines() == [f"3 {threads} {2**28}"] * 3
    assert (tmp_path / "deep" / "log.txt").read_text() == result.output


def test_arguments_reach_the_program_unchanged(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result = launch.run(None, python(SAY, *NASTY), folder=tmp_path)
    assert result.output == "|".join(NASTY) + "\n"
    assert list(tmp_path.iterdir()) == []
    assert "noise" in capfd.readouterr().err


def test_quiet_keeps_standard_error_in_the_log_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    launch.run(None, python(SAY), log=tmp_path / "log", quiet=True)
    assert "noise" in (tmp_path / "log").read_text()
    assert capfd.readouterr().err == ""


def test_failure_shows_the_end_of_the_output_and_keeps_the_meaning_of_the_exit_code() -> None:
    code = "import sys; print('all is lost', file=sys.stderr); raise SystemExit(int(sys.argv[1]))"
    with pytest.raises(InputError, match=r"(?s)exit code 2.*\| all is lost"):
        launch.run(1, python(code, "2"))
    with pytest.raises(PartlyDone, match="exit code 3"):
        launch.run(None, python(code, "3"))
    assert launch.run(None, python(code, "4"), check=False).exit_code == 4


def test_a_killed_rank_is_named_by_its_signal() -> None:
    with pytest.raises(HpcbenchError, match="SIGKILL") as raised:
        launch.run(2, python("import os; os.kill(os.getpid(), 9)"))
    assert "prterun" not in str(raised.value)


def test_too_long_and_nothing_is_left_behind(tmp_path: Path) -> None:
    code = "import os, sys, time; open(sys.argv[1] + f'/{os.getpid()}', 'w'); time.sleep(60)"
    begin = time.monotonic()
    with pytest.raises(HpcbenchError, match="longer than 4 s"):
        launch.run(2, python(code, str(tmp_path)), timeout=4)
    assert time.monotonic() - begin < 20
    started = [int(path.name) for path in tmp_path.iterdir()]
    assert started
    assert not any(runs(pid) for pid in started)


def test_stop_asks_every_rank(tmp_path: Path) -> None:
    stop = threading.Event()

    def when_ready() -> None:
        wait_for_ranks(tmp_path, 2)
        stop.set()

    thread = threading.Thread(target=when_ready)
    thread.start()
    result = launch.run(2, python(WAIT_FOR_SIGNAL, str(tmp_path)), check=False, stop=stop)
    thread.join()
    assert result.exit_code == 3
    assert (tmp_path / "stopped").read_text() == "xx"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_the_command_line_stops_the_ranks(tmp_path: Path, number: int) -> None:
    code = (
        f"from jobs.launch import launch; launch.run(2, {python(WAIT_FOR_SIGNAL, str(tmp_path))!r})"
    )
    with subprocess.Popen(python(code), stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        wait_for_ranks(tmp_path, 2)
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in error
    assert (tmp_path / "stopped").read_text() == "xx"


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        ("mpirun (Open MPI) 5.0.11", ["--map-by", ":OVERSUBSCRIBE"]),
        ("mpirun (Open MPI) 4.1.4", ["--oversubscribe"]),
        ("HYDRA build details:\n    Version: 4.2.1", []),
    ],
)
def test_options_follow_the_launcher(
    version: str, wanted: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = tmp_path / "mpirun"
    launcher.write_text(f"#!/bin/sh\ncat <<END\n{version}\nEND\n")
    launcher.chmod(0o755)
    monkeypatch.setattr(mpirun, "find_launcher", lambda: str(launcher))
    command = launch.mpirun_command(4096, ["prog", "x y"])
    assert command[0] == str(launcher)
    assert command[-4:] == ["-n", "4096", "prog", "x y"]
    options = command[1:-4]
    assert options[-len(wanted) :] == wanted if wanted else options == []
    few = launch.mpirun_command(1, ["prog"])
    assert not any("versubscribe" in word.lower() for word in few)
    assert ("--allow-run-as-root" in few) == bool(os.geteuid() == 0 and wanted)


def test_no_launcher_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpirun, "find_launcher", lambda: None)
    with pytest.raises(EnvironmentLacks, match="HPCBENCH_MPI=wheel"):
        launch.mpirun_command(2, ["prog"])


def test_threads_are_cores_over_ranks_unless_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(mpirun, "usable_cores", lambda: 16)
    assert launch.rank_environment(3)["OMP_NUM_THREADS"] == "5"
    assert launch.rank_environment(3, cores=2)["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert launch.rank_environment(3)["OMP_NUM_THREADS"] == "7"


def test_a_program_that_is_not_there_and_a_log_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLacks, match="does not start"):
        launch.run(None, ["/no/such/program"])
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        launch.run(None, ["true"], log=tmp_path / "file" / "log")


def test_notices_of_the_launcher_are_left_out_of_what_is_shown() -> None:
    notice = f"{child.RULE}\nprterun detected that ...\n{child.RULE}\nthe reason"
    result = launch.run(None, python("import sys; print(sys.argv[1], file=sys.stderr)", notice))
    assert result.tail == "the reason"
    ruled = f"{child.RULE}\na table"
    assert launch.run(None, python("import sys; print(sys.argv[1])", ruled)).tail == ruled
