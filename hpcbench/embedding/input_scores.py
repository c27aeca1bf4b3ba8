"""Scores of the inputs that one training sees, as metrics of its record."""

from hpcbench.data.dataset import Dataset
from hpcbench.embedding.diagnosis import Effort, score_windows
from hpcbench.embedding.scores import SCORES
from hpcbench.run.record import Metric

NUM_SAMPLES = 20_000
"""Samples of each component: enough for two digits, in about a second."""

SAMPLES_PER_WINDOW = 16
"""Samples a trajectory must at least have for every sample of a scored window."""


def input_scores(dataset: Dataset, window: int) -> list[Metric]:
    """Return S1–S7 of windows of consecutive samples as ``embedding_S1_mean_correlation`` ….

    Parameters
    ----------
    dataset
        As the embedding observes it: strided, and with the components that are seen.
    window
        Samples of a window; those of a training window, or fewer where trajectories are short.

    Raises
    ------
    InputError
        A component does not change.
    """
    window = max(2, min(window, dataset.num_samples // SAMPLES_PER_WINDOW))
    effort = Effort(num_samples=NUM_SAMPLES, window=window)
    scores = score_windows(dataset, effort)
    return [
        Metric(f"embedding_{score}_{field}", float(getattr(scores, field)))
        for score, (field, _) in SCORES.items()
    ]
