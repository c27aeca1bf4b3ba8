"""What the kernel killed for want of memory is counted in both versions of control groups."""

from pathlib import Path

import pytest

from jobs.launch.memory import out_of_memory_kills


@pytest.mark.parametrize(
    ("group", "counter", "text"),
    [
        ("0::/job_7", "job_7/memory.events", "low 0\nmax 3\noom 4\noom_kill 2\n"),
        ("4:memory:/a\n3:cpu:/b\n0::/", "memory/a/memory.oom_control", "under_oom 0\noom_kill 2\n"),
    ],
)
def test_kills_are_counted(group: str, counter: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(group)
    assert out_of_memory_kills(tmp_path) == 0
    path = tmp_path / "sys/fs/cgroup" / counter
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert out_of_memory_kills(tmp_path) == 2


def test_elsewhere_nothing_is_counted(tmp_path: Path) -> None:
    assert out_of_memory_kills(tmp_path) == 0
