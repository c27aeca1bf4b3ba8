"""``hpcbench lyapunov``: the Lyapunov spectrum of a specified system, with error bars."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from hpcbench.console import message, print_results, progress
from hpcbench.errors import InputError
from hpcbench.parallel.ranks import world
from sims.generation.spec import DatasetSpec, read_spec
from sims.lyapunov.spectrum import Schedule, Spectrum, lyapunov_spectrum

TAKES_OVERRIDES = True

MEASURED = ("value", "standard_error")

MOST_BY_DEFAULT = 40
"""Exponents that are computed unless another number is asked for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``hpcbench lyapunov``."""
    parser.add_argument("spec", metavar="SPEC.toml", type=Path, help="the system and its scheme")
    parser.add_argument("--exponents", metavar="K", type=int, help="how many (all, at most 40)")
    parser.add_argument(
        "--members", metavar="M", type=int, default=8, help="independent trajectories (8)"
    )
    parser.add_argument(
        "--steps", metavar="N", type=int, default=20_000, help="steps measured per member (20000)"
    )
    parser.add_argument(
        "--transient",
        metavar="N",
        type=int,
        help="steps before, in which the vectors align (a tenth)",
    )
    parser.add_argument(
        "--between", metavar="N", type=int, default=10, help="steps between orthogonalisations (10)"
    )
    parser.add_argument("--seed", metavar="N", help="seed of the initial states")
    parser.epilog = (
        "The spin-up of the specification comes first. Any of its fields can be given as well: "
        "--parameters.forcing 10. Under mpirun, the ranks share the members."
    )


def command(arguments: argparse.Namespace) -> int:
    """Run ``hpcbench lyapunov`` on this rank and return its exit code."""
    ranks = world()
    overrides = arguments.overrides
    if arguments.seed is not None:
        overrides = [*overrides, "--seed", arguments.seed]
    spec = ranks.together(lambda: read_spec(arguments.spec, overrides))
    schedule = _schedule(arguments, spec)
    system = spec.build_system()
    number = arguments.exponents
    if number is None:
        number = min(system.num_tangents, MOST_BY_DEFAULT)
    total = schedule.spin_up + schedule.transient + schedule.measured
    description = f"{spec.system}: {number} exponents of {arguments.members} members"
    with progress(total, description, enabled=ranks.is_first) as show:
        spectrum = ranks.together(
            lambda: lyapunov_spectrum(
                system,
                spec.integration.step,
                number,
                arguments.members,
                spec.seed,
                schedule,
                ranks,
                show,
            )
        )
    if ranks.is_first:
        _report(spec, spectrum, schedule, arguments)
    return 0


def _schedule(arguments: argparse.Namespace, spec: DatasetSpec[Any]) -> Schedule:
    between, measured = arguments.between, arguments.steps
    transient = measured // 10 if arguments.transient is None else arguments.transient
    for option, value, least in (
        ("--between", between, 1),
        ("--steps", measured, 1),
        ("--transient", transient, 0),
    ):
        if value < least:
            raise InputError(f"{option}: given {value}; valid: {least} or more")

    def whole(steps: int) -> int:
        return -(-steps // between) * between

    return Schedule(spec.spin_up_steps, whole(transient), whole(measured), between)


def _report(
    spec: DatasetSpec[Any], spectrum: Spectrum, schedule: Schedule, arguments: argparse.Namespace
) -> None:
    unit = "per model time unit"
    results: list[dict[str, Any]] = [
        {"name": f"exponent_{n}", "value": float(value), "unit": unit, "standard_error": float(e)}
        for n, (value, e) in enumerate(
            zip(spectrum.exponents, spectrum.standard_error, strict=True), start=1
        )
    ]
    for name, (value, error), measure in (
        ("sum", spectrum.sum, unit),
        ("kaplan_yorke_dimension", spectrum.dimension, ""),
    ):
        results.append({"name": name, "value": value, "unit": measure, "standard_error": error})
    reference = spec.build_system().reference_lyapunov_exponent()
    document = {
        "system": spec.system,
        "parameters": spec.parameters.model_dump(mode="json"),
        "scheme": spec.integration.scheme,
        "step": spec.integration.step,
        "seed": spec.seed,
        "members": arguments.members,
        "time_per_member": schedule.measured * spec.integration.step,
        "reference": None if reference is None else str(reference),
    }
    if arguments.json:
        for result in results:
            # JSON has no infinity, and nothing that is not a number
            result.update({key: None for key in MEASURED if not np.isfinite(result[key])})
        print_results(results, True, document)
        return
    for result in results:
        margin = f"± {result['standard_error']:.2g}"
        print(f"{result['name']:<24} {result['value']:>12.6g} {margin:<10} {result['unit']}")
    if reference is not None:
        message(f"stored for exponent_1: {reference}")
