"""``hpcbench inspect``: what a dataset holds, whether it keeps the rules, and how it looks."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from hpcbench.console import message, print_results, progress
from hpcbench.data.check import check, verify
from hpcbench.data.dataset import Dataset, open_dataset
from hpcbench.errors import GateFailed, InputError

PICTURE_LYAPUNOV_TIMES = 20.0
"""Length of the picture; longer ones show no more than texture."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``hpcbench inspect``."""
    parser.add_argument("data", metavar="DATA.h5", type=Path, help="the dataset")
    parser.add_argument(
        "--verify", action="store_true", help="read all states and compare their checksums"
    )
    parser.add_argument(
        "--picture",
        metavar="FILE.png",
        type=Path,
        help="file of the space-time picture (default: DATA.png beside the dataset)",
    )


def command(arguments: argparse.Namespace) -> int:
    """Run ``hpcbench inspect``; raise :class:`GateFailed` when a rule is broken."""
    with open_dataset(arguments.data) as dataset:
        problems = check(dataset.path)
        if arguments.verify:
            with progress(dataset.num_trajectories, "verifying") as advance:
                problems += verify(dataset, advance)
        sound = not (arguments.verify and problems)  # what is damaged may not even be readable
        picture = save_picture(dataset, arguments.picture) if sound else None
        document: dict[str, Any] = {
            "path": str(dataset.path),
            "content_hash": dataset.content_hash,
            "verified": arguments.verify,
            "problems": problems,
            "picture": None if picture is None else str(picture),
        }
        results = dataset.summary()
        if arguments.verify and sound:
            results.append({"name": "state_sha256", "value": dataset.state_sha256(), "unit": ""})
    print_results(results, arguments.json, document)
    if problems:
        raise GateFailed("\n".join(problems))
    message(f"{dataset.path}: every rule holds" + (", every checksum too" * arguments.verify))
    if picture is not None:
        message(f"{picture}: space-time picture")
    return 0


def save_picture(dataset: Dataset, path: Path | None) -> Path | None:
    """Draw the first test trajectory to a PNG file, by default beside the dataset.

    Returns its path; None where the place beside the dataset cannot be written, which raises
    :class:`InputError` for a path that was asked for.
    """
    from analysis.plots import space_time  # matplotlib takes its time to import

    place = path or dataset.path.with_suffix(".png")
    member = int(next(iter([*dataset.members("test"), *dataset.members("train")])))
    unit, label = 1.0, "time (model time units)"
    if dataset.lyapunov_exponent:
        unit, label = dataset.lyapunov_exponent, "time (Lyapunov times)"
    time = np.arange(dataset.num_samples) * dataset.sample_interval * unit
    shown = time <= PICTURE_LYAPUNOV_TIMES if dataset.lyapunov_exponent else time >= 0
    parameters = ", ".join(f"{name} {value}" for name, value in dataset.parameters.items())
    picture = space_time(
        dataset.trajectory(member)[shown],
        time=time[shown],
        title=f"{dataset.system}: {parameters}, trajectory {member}",
        time_label=label,
        space_label="component",
    )
    try:
        place.write_bytes(picture.png)
    except OSError as error:
        problem = f"{place}: the picture cannot be written ({error.strerror})"
        if path is not None:
            raise InputError(f"{problem}; give another --picture") from None
        message(f"{problem}; --picture FILE.png puts it elsewhere")
        return None
    return place
