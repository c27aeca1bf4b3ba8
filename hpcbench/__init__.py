"""hpcbench: measures a cluster, and training methods, with the machine learning of chaos.

The calls of a Python session or notebook; each is imported when it is first used, so that
``import hpcbench`` takes no time and starts neither MPI nor PyTorch:

======================= =========================================================================
:func:`simulate`        integrate a system, write its dataset, open it
:func:`open_dataset`    open a dataset for reading
:func:`write_dataset`   write trajectories of one's own as a dataset
:func:`train`           train a forecaster and score its forecasts
:func:`load_forecaster` load a trained forecaster and forecast with it
:func:`report`          tables, plots and one page from runs
:func:`submit`          run a study: through Slurm, or on this machine
:func:`status`          the state of every point of a study, and why
======================= =========================================================================

The core package: configuration, dataset format, models, training, forecasting, metrics and
run records. It knows no equation (``sims``), no scheduler (``jobs``) and no plot (``analysis``).
"""

TYPE_CHECKING = False  # typing's own would have to be imported, and type checkers know the name
if TYPE_CHECKING:
    from typing import Any

    from analysis.report.report import report
    from hpcbench.data.dataset import open_dataset
    from hpcbench.data.writer import write_dataset
    from hpcbench.forecasting.trained import load_forecaster
    from hpcbench.training.command import train
    from jobs.commands.status import status
    from jobs.commands.submit import submit
    from sims.generation.simulate import simulate

__version__ = "0.1.0"

__all__ = [
    "load_forecaster",
    "open_dataset",
    "report",
    "simulate",
    "status",
    "submit",
    "train",
    "write_dataset",
]

_HOMES = {
    "load_forecaster": "hpcbench.forecasting.trained:load_forecaster",
    "open_dataset": "hpcbench.data.dataset:open_dataset",
    "report": "analysis.report.report:report",
    "simulate": "sims.generation.simulate:simulate",
    "status": "jobs.commands.status:status",
    "submit": "jobs.commands.submit:submit",
    "train": "hpcbench.training.command:train",
    "write_dataset": "hpcbench.data.writer:write_dataset",
}
"""Name → where it is; imported only when used."""


def __getattr__(name: str) -> "Any":
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    module, _, attribute = _HOMES[name].partition(":")
    found = getattr(importlib.import_module(module), attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
