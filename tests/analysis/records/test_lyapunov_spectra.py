"""Spectra of systems beside those of models, from file to page."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from analysis.records.lyapunov_spectra import read_spectrum
from analysis.report.report import write_report
from hpcbench.cli import main
from hpcbench.errors import InputError

SPECTRUM = {
    "system": "lorenz96",
    "parameters": {"num_sites": 40, "forcing": 8.0},
    "results": [
        {"name": "exponent_1", "value": 1.7}, {"name": "exponent_2", "value": 0.0},
        {"name": "exponent_3", "value": None}, {"name": "exponent_4", "value": -4.0},
        {"name": "sum", "value": -2.3}, {"name": "kaplan_yorke_dimension", "value": 2.425},
    ],
}  # fmt: skip


def test_spectra_of_system_and_model_meet(runs: Any, tmp_path: Path) -> None:
    file = tmp_path / "l96.json"
    file.write_text(json.dumps(SPECTRUM))
    metrics = {"model_lyapunov_exponent": (1.6, ""), "model_lyapunov_standard_error": (0.02, ""),
               "model_kaplan_yorke_dimension": (2.4, "")}  # fmt: skip
    path = runs.done("a", metrics=metrics)
    with h5py.File(path / "forecast.h5", "r+") as forecast:
        forecast["model_lyapunov_exponents"] = [1.6, 0.01, -4.2, -np.inf]
    runs.done("other", dataset={**runs.dataset, "parameters": {"num_sites": 40, "forcing": 10.0}})
    report = write_report([runs.root], tmp_path / "out", lyapunov=[file])
    table = report.accuracy.set_index("run")
    assert table.loc["a", "kaplan_yorke"] == 2.425
    assert table.loc["a", "kaplan_yorke_model"] == 2.4
    assert table.loc["a", "lyapunov_exponent_model"] == 1.6
    assert table.loc["a", "lyapunov_exponent_model_error"] == 0.02
    assert np.isnan(table.loc["other", "kaplan_yorke"])
    drawn = pd.read_csv(tmp_path / "out" / "lyapunov_lorenz96.csv")
    assert list(drawn["lorenz96"].dropna()) == [1.7, 0.0, -4.0]
    page = report.page.read_text()
    assert "Lyapunov exponents of system and models" in page
    assert f"--lyapunov {file}" in page


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "corrupt"), ("[]", "foreign"), ("{}", "no Lyapunov exponents"),
     ('{"system": "x", "results": [3, {"name": "sum"}]}', "no Lyapunov exponents")],
)  # fmt: skip
def test_other_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_spectrum(file)


def test_a_missing_file_exits_with_2(
    runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.done("a")
    assert main(["report", str(runs.root), "--lyapunov", str(tmp_path / "none.json")]) == 2
    assert "hpcbench lyapunov SPEC.toml --json" in capsys.readouterr().err
