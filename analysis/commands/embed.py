"""``hpcbench embed``: how to lay a dataset out in time, in numbers and in pictures."""

import argparse
from pathlib import Path
from typing import Any

from tabulate import tabulate

from hpcbench.console import message, print_results
from hpcbench.data.dataset import open_dataset
from hpcbench.embedding.diagnosis import Diagnosis, diagnose
from hpcbench.embedding.scores import SCORES
from hpcbench.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``hpcbench embed``."""
    parser.add_argument("data", metavar="DATA.h5", type=Path, help="the dataset")
    parser.add_argument(
        "--component", type=int, help="measure this component only (default: the mean of a few)"
    )
    parser.add_argument(
        "--max-lag",
        type=int,
        metavar="SAMPLES",
        help="largest lag (default: two Lyapunov times, at most half a trajectory)",
    )
    parser.add_argument("--picture", metavar="FILE.png", type=Path, help="draw the curves into it")


def command(arguments: argparse.Namespace) -> int:
    """Run ``hpcbench embed``."""
    with open_dataset(arguments.data) as dataset:
        found = diagnose(dataset, arguments.component, arguments.max_lag)
        title = f"{dataset.system}: embedding of {dataset.path.name}"
    if arguments.json:
        document: dict[str, Any] = {
            "path": str(arguments.data),
            "components": found.components.tolist(),
            "picture": None if arguments.picture is None else str(arguments.picture),
        }
        print_results(found.results(), True, document)
    else:
        print(text(found), flush=True)
    if arguments.picture is not None:
        save_picture(found, title, arguments.picture)
    return 0


def save_picture(found: Diagnosis, title: str, path: Path) -> None:
    """Draw the diagnosis to a PNG file; raise :class:`InputError` where it cannot be written."""
    from analysis.plots.embedding import embedding  # matplotlib takes its time to import

    picture = embedding(found, title=title)
    try:
        path.write_bytes(picture.png)
    except OSError as error:
        raise InputError(
            f"--picture: {path} cannot be written ({error.strerror}); give another path"
        ) from None
    message(f"{path}: correlation, information, neighbours and principal components")


def text(found: Diagnosis) -> str:
    """Return the diagnosis as tables for reading."""
    known = bool(found.lyapunov_exponent)
    rule = found.information_lag.rule
    names = {
        "minimum": "mutual information, first minimum",
        "decay": "mutual information below I(0)/e",
        "none": "mutual information (stays above I(0)/e)",
    }
    delays = [
        ("autocorrelation below 1/e", found.decay_lag),
        ("autocorrelation zero", found.zero_lag),
        (names[rule], found.information_lag.lag),
        ("recommended delay", found.recommended_lag),
    ]
    head = ["delay", "samples", "model time"] + ["Lyapunov times"] * known
    rows = [[name, *_times(found, lag, known)] for name, lag in delays]
    parts = [
        tabulate(rows, head, tablefmt="simple"),
        f"The recommended delay comes from: {found.rule()}.",
    ]
    if found.unfolding is None:
        parts.append("Dimension: no delay was found, or the trajectories are too short for it.")
    else:
        most = found.effort.max_dimension
        false, cao = found.unfolding.false_dimension(), found.unfolding.cao_dimension()
        parts.append(
            f"Delays that unfold component {found.components[0]}: "
            f"{false or f'more than {most}'} by false neighbours, "
            f"{cao or f'more than {most}'} by Cao's E1."
        )
    numbers = [found.principal.number_for(share) for share in (0.9, 0.95, 0.99)]
    parts.append(
        f"Principal components that hold 90, 95 and 99 % of the variance: {numbers[0]}, "
        f"{numbers[1]} and {numbers[2]} of {len(found.principal.mean)}."
    )
    table = [
        [stride, stride * found.sample_interval, *vars(scores).values()]
        for stride, scores in found.scores.items()
    ]
    parts.append(
        f"Windows of {found.effort.window} samples, one component:\n"
        + tabulate(table, ["stride", "interval", *SCORES], tablefmt="simple", floatfmt=".3g")
    )
    parts.append("\n".join(f"{score}  {meaning}" for score, (_, meaning) in SCORES.items()))
    return "\n\n".join(parts)


def _times(found: Diagnosis, lag: int | None, known: bool) -> list[str]:
    if lag is None:
        return ["none"] + [""] * (1 + known)
    time = lag * found.sample_interval
    cells = [str(lag), f"{time:.4g}"]
    return [*cells, f"{time * (found.lyapunov_exponent or 0.0):.3g}"] if known else cells
