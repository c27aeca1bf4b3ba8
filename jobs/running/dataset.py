"""Generate a dataset of a study once, whoever asks first."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hpcbench.errors import HpcbenchError, InputError
from hpcbench.run.record import read_json, write_json
from jobs.launch.launch import hpcbench_argv
from jobs.records.study_folder import StudyFolder, now
from jobs.running.attempt import Start


def dataset_file(study: StudyFolder, description: dict[str, Any], key: str) -> Path:
    """Return the HDF5 file of a dataset that ``study.json`` lists."""
    path = description["datasets"][key]["path"]
    return Path(path) if path else study.runs / "datasets" / f"{key}.h5"


def is_generated(study: StudyFolder, description: dict[str, Any], key: str) -> bool:
    """Tell whether a dataset is there, complete."""
    if description["datasets"][key]["path"]:
        return True
    return (
        read_mark(study, key).get("state") == "done"
        and dataset_file(study, description, key).exists()
    )


def read_mark(study: StudyFolder, key: str) -> dict[str, Any]:
    """Return what is known of a dataset's generation."""
    try:
        mark = read_json(dataset_mark(study, key))
    except InputError:
        return {}
    return mark if isinstance(mark, dict) else {}


def generate_dataset(study: StudyFolder, key: str, start: Start, job_id: str = "") -> None:
    """Generate a dataset unless it is there; raise :class:`HpcbenchError` when that fails."""
    description = study.description()
    with _one_at_a_time(dataset_mark(study, key).with_suffix(".lock")):
        if is_generated(study, description, key):
            return
        file = dataset_file(study, description, key)
        argv = hpcbench_argv("simulate", file.with_suffix(".toml"), "--out", file, "--resume")
        mark = {"key": key, "job_id": job_id, "started": now()}
        write_json(dataset_mark(study, key), {**mark, "state": "running"})
        try:
            start(description["resources"]["dataset_ranks"], argv, log=file.with_suffix(".log"))
        except HpcbenchError as error:
            failed = {"state": "failed", "reason": str(error), "ended": now()}
            write_json(dataset_mark(study, key), mark | failed)
            raise
        write_json(dataset_mark(study, key), mark | {"state": "done", "ended": now()})


def dataset_mark(study: StudyFolder, key: str) -> Path:
    """Return the file that tells how a dataset's generation goes."""
    return study.runs / "datasets" / f"{key}.json"


@contextmanager
def _one_at_a_time(lock: Path) -> Iterator[None]:
    with lock.open("a") as file:
        with suppress(OSError):  # a file system without locks; jobs then rely on the scheduler
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
