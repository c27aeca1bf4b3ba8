"""Compiles the simulation kernels; everything else about the package is in pyproject.toml."""

import importlib.util
from pathlib import Path
from typing import Any

from setuptools import Distribution, Extension, setup
from setuptools.command.build_ext import build_ext


def load_builder() -> Any:
    """Return sims/kernels/build.py as a module: the package itself is not importable yet."""
    path = Path(__file__).resolve().parent / "sims" / "kernels" / "build.py"
    spec = importlib.util.spec_from_file_location("kernels_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class BuildKernels(build_ext):
    """Shared libraries for ctypes, one per instruction set, beside the package's modules."""

    def run(self) -> None:
        """Compile into the build folder, or into the checkout for an editable install."""
        folder = Path() if self.inplace or self.editable_mode else Path(self.build_lib)
        target = folder.resolve() / "sims" / "kernels"
        target.mkdir(parents=True, exist_ok=True)
        builder = load_builder()
        try:
            builder.build(target)
        except builder.BuildError as error:
            raise SystemExit(f"kernels: {error}") from None

    def get_outputs(self) -> list[str]:
        """Return the libraries that end up in the wheel."""
        return [str(p) for p in (Path(self.build_lib) / "sims" / "kernels").glob("*.so")]


class BinaryDistribution(Distribution):
    """A wheel with compiled code: tied to the platform."""

    def has_ext_modules(self) -> bool:
        """Return True: build_ext is to run."""
        return True


setup(
    distclass=BinaryDistribution,
    cmdclass={"build_ext": BuildKernels},
    # its sources are handled by BuildKernels; setuptools runs build_ext only if there is one
    ext_modules=[Extension("sims.kernels._kernels", ["sims/kernels/source/kernels.c"])],
)
