"""All points of a study with their states: what status, submit and resume look at."""

from typing import Any

from jobs.records.study_folder import StudyFolder
from jobs.records.submissions import latest_by_point, read_submissions
from jobs.running.point import read_attempt
from jobs.slurm import queue
from jobs.status.states import PointState, point_states


class Overview:
    """A study's plan, its submissions and the states of its points.

    Parameters
    ----------
    study
        The study's folder.
    """

    def __init__(self, study: StudyFolder) -> None:
        self.study = study
        self.description = study.description()
        self.points: list[dict[str, Any]] = self.description["points"]
        self.submissions = read_submissions(study)

    def states(self, max_age: float = 20.0) -> list[PointState]:
        """Return the state of each point; Slurm is asked when its last answer is older."""
        latest = latest_by_point(self.submissions)
        # The scheduler is asked about jobs whose points have not ended well.
        wanted = {
            str(latest[point["id"]]["job_id"])
            for point in self.points
            if point["id"] in latest and not self._has_result(point["id"])
        }
        jobs = {}
        if wanted:
            jobs = queue.look(sorted(wanted), self.study.jobs / "slurm.json", max_age)
        return point_states(self.study, self.points, latest, jobs)

    def _has_result(self, identifier: str) -> bool:
        folders = self.study.attempts(identifier)
        return bool(folders) and read_attempt(folders[-1]).get("state") == "done"
