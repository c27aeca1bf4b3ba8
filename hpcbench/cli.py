"""The command line: ``hpcbench COMMAND``; each command's module is imported only when it runs.

A command module offers ``add_arguments(parser)`` and ``command(arguments) -> exit code``.
Options with a dot, such as ``--train.window 64``, override fields of the command's
configuration file: a module that has one sets ``TAKES_OVERRIDES = True`` and finds them in
``arguments.overrides``.
"""

import argparse
import importlib
import sys
import traceback
from typing import Any, NoReturn

from hpcbench import __version__
from hpcbench.errors import INTERRUPTED, HpcbenchError, InputError, nearest
from hpcbench.parallel.environment import launched_rank
from hpcbench.run.command import recorded

COMMANDS = {
    "doctor": ("jobs.commands.doctor", "show what this machine has and lacks, and how to get it"),
    "simulate": (
        "sims.generation.simulate",
        "integrate a system and write its dataset",
    ),
    "lyapunov": ("sims.lyapunov.command", "measure the Lyapunov spectrum of a system"),
    "inspect": ("analysis.commands.inspect", "summarise, check and draw a dataset"),
    "convert": ("hpcbench.data.convert", "compress a dataset with blosc2, or unpack it"),
    "embed": ("analysis.commands.embed", "measure correlation times, delays and dimension"),
    "train": ("hpcbench.training.command", "train a forecaster and score its forecasts"),
    "forecast": ("hpcbench.forecasting.forecast", "forecast with a trained model and score it"),
    "plan": ("jobs.commands.plan", "list the points of a study, their commands and costs"),
    "submit": ("jobs.commands.submit", "run a study through Slurm, or on this machine"),
    "status": ("jobs.commands.status", "show the state of every point of a study, and why"),
    "resume": ("jobs.commands.resume", "run again what failed, was lost or was never submitted"),
    "cancel": ("jobs.commands.cancel", "cancel the points of a study that wait or run"),
    "report": ("analysis.report.report", "write tables, plots and one HTML page about runs"),
    "compare": ("analysis.commands.compare", "judge whether B is the same as A, faster or slower"),
    "diff": ("analysis.commands.diff", "show how runs differ in settings and provenance"),
    "export": ("analysis.commands.export", "write records as MLPerf log, Extra-P or parquet"),
    "bench": ("sims.bench.command", "measure kernels and writing on this machine"),
    "gallery": ("jobs.commands.gallery", "draw small examples of dynamics and training"),
    "smoke": ("jobs.commands.smoke", "run the whole pipeline here in a few minutes"),
}
"""Command name → (module that implements it, one-line summary)."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line that names the nearest valid choice."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{self.prog}: {message}; see {self.prog} --help")


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code (0, or that of the error it met)."""
    words = sys.argv if argv is None else ["hpcbench", *argv]
    try:
        with recorded(words):
            return _run(words[1:])
    except HpcbenchError as error:
        _say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _say("interrupted; what was written is kept")
        return INTERRUPTED
    except Exception:
        _end_other_ranks()
        raise


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())
        return 0 if argv else InputError.exit_code
    if argv[0] == "--version":
        print(f"hpcbench {__version__}")
        return 0
    name = argv[0]
    if name not in COMMANDS:
        valid = ", ".join(COMMANDS)
        raise InputError(f'"{name}": no such command{nearest(name, COMMANDS)}; valid: {valid}')
    module_name, summary = COMMANDS[name]
    module: Any = importlib.import_module(module_name)
    parser = Parser(prog=f"hpcbench {name}", description=summary, allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    module.add_arguments(parser)
    plain, overrides = _split_overrides(argv[1:])
    arguments = parser.parse_args(plain)
    if overrides and not getattr(module, "TAKES_OVERRIDES", False):
        raise InputError(f"{parser.prog}: {overrides[0]}: no such option; see {parser.prog} --help")
    arguments.overrides = overrides
    return int(module.command(arguments))


def _say(text: str) -> None:
    """Print a message once: ranks raise the same error together, and the first one speaks."""
    if launched_rank() == 0:
        print(f"hpcbench: {text}", file=sys.stderr, flush=True)


def _end_other_ranks() -> None:
    """On a defect of ours, end all ranks: the others may wait for this one forever."""
    mpi: Any = sys.modules.get("mpi4py.MPI")
    if mpi is not None and mpi.Is_initialized() and mpi.COMM_WORLD.Get_size() > 1:
        traceback.print_exc()
        sys.stderr.flush()
        mpi.COMM_WORLD.Abort(1)


def _split_overrides(argv: list[str]) -> tuple[list[str], list[str]]:
    """Separate ``--a.b value`` and ``--a.b=value`` from the command's own arguments."""
    plain: list[str] = []
    overrides: list[str] = []
    position = 0
    while position < len(argv):
        name, equals, _ = argv[position].partition("=")
        if name.startswith("--") and "." in name:
            width = 1 if equals else 2
            overrides += argv[position : position + width]
            position += width
        else:
            plain.append(argv[position])
            position += 1
    return plain, overrides


def _overview() -> str:
    lines = ["usage: hpcbench COMMAND [options]", ""]
    lines += [f"  {name:<10} {summary}" for name, (_, summary) in COMMANDS.items()]
    lines += ["", "hpcbench COMMAND --help explains one command; --version prints the version."]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
