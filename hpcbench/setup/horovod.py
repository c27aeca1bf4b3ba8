"""Horovod's wheel, built against the environment's torch and MPI, and kept for the next time.

It lies under ``$XDG_CACHE_HOME/hpcbench/wheels/<key>/``, where the key covers everything its
binary depends on.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hpcbench.setup.steps import VENV, fail, hash_of, output, python, run_step, say

HOROVOD = "0.28.1"

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


def has_gpu() -> bool:
    """Return whether to build for a GPU: as ``HPCBENCH_GPU`` says, else as nvidia-smi finds."""
    choice = os.environ.get("HPCBENCH_GPU", "")
    if choice in ("0", "1"):
        return choice == "1"
    tool = shutil.which("nvidia-smi")
    return bool(tool) and "GPU " in output([str(tool), "--list-gpus"])


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


def cache_folder() -> Path:
    """Return ``$XDG_CACHE_HOME/hpcbench``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hpcbench"
