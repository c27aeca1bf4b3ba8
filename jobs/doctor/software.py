"""Which software works here: packages, MPI, Horovod, HDF5, Slurm. No function raises."""

import importlib.metadata
import os
import re
import shutil
import sys

from hpcbench.parallel.mpirun import find_launcher, launch_environment
from jobs.doctor.finding import SETUP_HINT, Finding, ask_python, last_line, run_child

NUM_RANKS = 2
"""Ranks of the trial job."""


def packages() -> list[Finding]:
    """Every library the pipeline imports, as one finding."""
    try:
        requirements = importlib.metadata.requires("hpcbench-suite") or []
    except importlib.metadata.PackageNotFoundError:
        return [Finding("packages", "hpcbench is not installed", "", "missing", SETUP_HINT)]
    required = {re.split(r"[^\w.-]", text)[0] for text in requirements if "extra ==" not in text}
    absent = []
    for name in sorted(required):
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            absent.append(name)
    if absent:
        return [Finding("packages", f"without {', '.join(absent)}", "", "missing", SETUP_HINT)]
    return [Finding("packages", f"{len(required)} of {len(required)}")]


def compilers() -> list[Finding]:
    """The C++ compiler that Horovod is built with."""
    names = (os.environ.get("CXX") or "g++", "c++", "clang++")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        hint = "the next set-up that has to build needs one: module load gcc, or install g++"
        return [Finding("compiler", None, "", "optional", hint)]
    return [Finding("compiler", run_child([found, "--version"])[1].partition("\n")[0], hint=found)]


def mpi() -> list[Finding]:
    """The MPI library, its launcher, and a real job of two ranks."""
    code = (
        "import mpi4py, json; mpi4py.rc.initialize = False\n"
        "from mpi4py import MPI\n"
        "print(json.dumps({'mpi4py': mpi4py.__version__, 'library': MPI.Get_library_version()}))"
    )
    answer, why = ask_python(code)
    launcher = find_launcher()
    hint = (
        "make setup installs one; on a cluster load its MPI module first, or choose the one from"
        " pip: HPCBENCH_MPI=wheel make setup"
    )
    if answer is None:
        findings = [Finding("mpi_library", why, "", "missing", hint)]
    else:
        library = str(answer["library"]).strip("\0").splitlines()[0].partition(", package")[0]
        findings = [Finding("mpi_library", library, hint=f"mpi4py {answer['mpi4py']}")]
    if launcher is None:
        return [*findings, Finding("mpi_launcher", None, "", "missing", hint)]
    findings.append(Finding("mpi_launcher", launcher))
    # Each rank prints its line whole: two ranks may write at the same time.
    say = "from mpi4py import MPI as M; w = M.COMM_WORLD; print(w.allreduce(1), flush=True)"
    argv = [launcher, "-n", str(NUM_RANKS), sys.executable, "-P", "-c", say]
    exit_code, text = run_child(argv, launch_environment())
    if exit_code == 0 and text.split() == [str(NUM_RANKS)] * NUM_RANKS:
        return [*findings, Finding("mpi_job", NUM_RANKS, "ranks")]
    if exit_code == 0:
        why = f"{NUM_RANKS} ranks started as separate jobs: {text.split()}"
        hint = "launcher and library belong to different MPIs; load one MPI, then make setup"
    else:
        why = last_line(text) or f"exit code {exit_code}"
        hint = f"try it by hand: {launcher} -n {NUM_RANKS} hostname"
    return [*findings, Finding("mpi_job", why, "", "missing", hint)]


def training() -> list[Finding]:
    """torch and the operations Horovod was built with."""
    answer, why = ask_python(
        "import json, torch\n"
        "print(json.dumps({'version': torch.__version__, 'cuda': torch.version.cuda,"
        " 'usable': torch.cuda.is_available()}))"
    )
    if answer is None:
        torch_findings = [Finding("torch", why, "", "missing", SETUP_HINT)]
    else:
        cuda = answer["cuda"]
        torch_findings = [
            Finding("torch", answer["version"]),
            Finding(
                "torch_cuda",
                cuda,
                "",
                "ok" if answer["usable"] else "optional",
                ""
                if answer["usable"]
                else "training runs on the CPU; a GPU needs its driver and a CUDA build of torch",
            ),
        ]
    answer, why = ask_python(
        "import json, horovod, horovod.torch as h\n"
        "print(json.dumps({'version': horovod.__version__, 'MPI': h.mpi_built(),"
        " 'Gloo': h.gloo_built(), 'NCCL': bool(h.nccl_built())}))"
    )
    if answer is None:
        return [*torch_findings, Finding("horovod", why, "", "missing", SETUP_HINT)]
    built = [name for name in ("MPI", "Gloo", "NCCL") if answer[name]]
    findings = [
        *torch_findings,
        Finding("horovod", answer["version"]),
        Finding("horovod_operations", " ".join(built) or None),
    ]
    if "MPI" not in built:
        findings[-1] = Finding(
            "horovod_operations", " ".join(built) or None, "", "missing", SETUP_HINT
        )
    if "NCCL" not in built:
        findings.append(
            Finding(
                "horovod_nccl",
                False,
                "",
                "optional",
                "for GPUs: on a GPU node with CUDA and NCCL loaded, HPCBENCH_GPU=1 make setup",
            )
        )
    return findings


def data() -> list[Finding]:
    """h5py, its HDF5, and whether one file can be written by all ranks together."""
    answer, why = ask_python(
        "import json, h5py\n"
        "print(json.dumps({'h5py': h5py.__version__, 'hdf5': h5py.version.hdf5_version,"
        " 'mpi': bool(h5py.get_config().mpi)}))"
    )
    if answer is None:
        return [Finding("h5py", why, "", "missing", SETUP_HINT)]
    collective = Finding("hdf5_collective", True)
    if not answer["mpi"]:
        hint = (
            "only `--layout collective` needs it: install an MPI-enabled HDF5, then HDF5_MPI=ON"
            " CC=mpicc pip install --no-build-isolation --no-deps --no-binary=h5py h5py"
        )
        collective = Finding("hdf5_collective", False, "", "optional", hint)
    return [Finding("h5py", answer["h5py"]), Finding("hdf5", answer["hdf5"]), collective]


def slurm() -> list[Finding]:
    """The Slurm commands that jobs are submitted and watched with."""
    commands = ("sbatch", "srun", "squeue", "sacct", "scancel")
    absent = [name for name in commands if shutil.which(name) is None]
    hint = "only submitting jobs needs it; on a cluster, run this on a login node"
    if absent:
        return [Finding("slurm", f"without {' '.join(absent)}", "", "optional", hint)]
    code, said = run_child(["sbatch", "--version"])
    if code != 0:
        return [Finding("slurm", last_line(said), "", "optional", hint)]
    return [Finding("slurm", last_line(said))]
