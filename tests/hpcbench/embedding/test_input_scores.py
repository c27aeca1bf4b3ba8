"""Scores of a training's inputs: those of the diagnosis, in the record when asked for."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hpcbench.cli import main
from hpcbench.data.dataset import open_dataset
from hpcbench.embedding.config import EmbeddingConfig
from hpcbench.embedding.diagnosis import Effort, diagnose
from hpcbench.embedding.input_scores import input_scores
from hpcbench.embedding.observation import observe
from hpcbench.embedding.scores import SCORES


def test_they_are_those_of_the_diagnosis(lorenz96_file: Path) -> None:
    with open_dataset(lorenz96_file) as dataset:
        found = {metric.name: metric.value for metric in input_scores(dataset, 8)}
        expected = diagnose(dataset, effort=Effort(window=8)).scores[1]
    assert found == {
        f"embedding_{score}_{field}": getattr(expected, field)
        for score, (field, _) in SCORES.items()
    }


def test_a_coarser_view_is_less_correlated(lorenz96_file: Path) -> None:
    values = []
    for stride in (1, 4):
        with observe(open_dataset(lorenz96_file), EmbeddingConfig(stride=stride)) as dataset:
            scores = {metric.name: metric.value for metric in input_scores(dataset, 64)}
        assert np.isfinite(list(scores.values())).all()
        values.append(scores["embedding_S5_lag_one_correlation"])
    assert values[1] < values[0]


def test_a_record_holds_them_when_asked(tmp_path: Path, train_spec: Callable[..., Path]) -> None:
    names = []
    for name, asked in (("with", "true"), ("without", "false")):
        options = ["--out", str(tmp_path / name), "--embedding.scores", asked]
        assert main(["train", str(train_spec()), "--train.steps", "5", *options]) == 0
        result = json.loads((tmp_path / name / "result.json").read_text())
        names.append([m["name"] for m in result["metrics"] if m["name"].startswith("embedding_")])
    assert len(names[0]) == len(SCORES)
    assert names[1] == []
