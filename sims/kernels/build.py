"""Compile ``kernels.c`` once per instruction set: ``python sims/kernels/build.py``.

``pip install`` does it through ``setup.py``, which loads this file before anything is installed:
it needs the standard library and a C compiler only. The libraries are plain shared objects
without Python headers, so one build serves every Python version.
"""

import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE_FOLDER = Path(__file__).resolve().parent / "source"

COMMON_FLAGS = ["-std=gnu11", "-O3", "-fPIC", "-shared", "-fvisibility=hidden"]
COMMON_FLAGS += ["-fno-tree-pre", "-fno-code-hoisting"]
# These two move a multiplication away from the addition that it is fused with where the same
# arithmetic stands in several places; the bits of a site would then depend on its place.

X86_64_FLAGS = {
    "sse2": ["-DVECTOR_BYTES=16"],
    "avx2": ["-DVECTOR_BYTES=32", "-mavx2", "-mfma"],
    "avx512": [
        "-DVECTOR_BYTES=64",
        "-mavx2",
        "-mfma",
        *(f"-mavx512{part}" for part in ("f", "dq", "bw", "vl")),
        "-mprefer-vector-width=512",
    ],
}
"""Instruction set → its flags, the one every processor of the family has first."""

OTHER_FLAGS = {"generic": ["-DVECTOR_BYTES=16"]}


class BuildError(Exception):
    """No library could be built; the message says why and what to do."""


def variants() -> dict[str, list[str]]:
    """Return instruction set → compiler flags for this family of processors."""
    return X86_64_FLAGS if platform.machine() in ("x86_64", "AMD64") else OTHER_FLAGS


def library_name(variant: str) -> str:
    """Return the file name of a variant's library."""
    return f"_kernels_{variant}.so"


def compiler() -> list[str]:
    """Return the C compiler: ``$CC``, or the first of gcc, cc and clang on the path."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    for name in ("gcc", "cc", "clang"):
        if shutil.which(name):
            return [name]
    raise BuildError("no C compiler found; install gcc, or name one: CC=/path/to/gcc")


def build(folder: Path = SOURCE_FOLDER.parent) -> list[str]:
    """Compile all variants into a folder and return the names of those that were built.

    A variant that the compiler does not know is left out with a message; without the first one,
    which every processor runs, `BuildError` is raised.
    """
    built: list[str] = []
    for variant, flags in variants().items():
        target = folder / library_name(variant)
        # written under another name first: a running process may have the old library mapped
        partial = target.with_suffix(f".{os.getpid()}.partial")
        command = [*compiler(), *COMMON_FLAGS, *flags]
        command += [str(SOURCE_FOLDER / "kernels.c"), "-o", str(partial)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise BuildError(f"{command[0]} does not start ({error}); see $CC") from None
        if done.returncode == 0:
            partial.replace(target)
            built.append(variant)
        elif not built:
            raise BuildError(f"{shlex.join(command)} failed:\n{done.stderr}")
        else:
            print(f"kernels: {variant} left out: {done.stderr.strip()}", file=sys.stderr)
    return built


if __name__ == "__main__":
    try:
        print(f"kernels built: {', '.join(build())}")
    except BuildError as error:
        sys.exit(f"kernels: {error}")
