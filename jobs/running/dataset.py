"""Generate a dataset of a study once, whoever asks first."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from hpcbench.errors import HpcbenchError
from hpcbench.run.timing import now
from jobs.launch.command import hpcbench_argv
from jobs.records.dataset_mark import DatasetMark, mark_file, read_mark
from jobs.records.study_folder import StudyFolder
from jobs.running.attempt import Start
from jobs.study.dataset import PlannedDataset


def is_generated(study: StudyFolder, dataset: PlannedDataset) -> bool:
    """Tell whether a dataset is there, complete."""
    if dataset.path:
        return True
    return read_mark(study, dataset.key).state == "done" and dataset.file(study.runs).exists()


def generate_dataset(study: StudyFolder, key: str, start: Start, job_id: str = "") -> None:
    """Generate a dataset unless it is there; raise :class:`HpcbenchError` when that fails."""
    record = study.record()
    dataset, place = record.datasets[key], mark_file(study, key)
    with _one_at_a_time(place.with_suffix(".lock")):
        if is_generated(study, dataset):
            return
        file = dataset.file(study.runs)
        argv = hpcbench_argv("simulate", file.with_suffix(".toml"), "--out", file, "--resume")
        mark = DatasetMark(key, "running", job_id, started=now())
        mark.write(place)
        try:
            start(
                record.resources.dataset_ranks, argv, log=file.with_suffix(".log"),
                folder=record.working_folder,
            )  # fmt: skip
        except HpcbenchError as error:
            replace(mark, state="failed", reason=str(error), ended=now()).write(place)
            raise
        replace(mark, state="done", ended=now()).write(place)


@contextmanager
def _one_at_a_time(lock: Path) -> Iterator[None]:
    with lock.open("a") as file:
        with suppress(OSError):  # a file system without locks; jobs then rely on the scheduler
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
