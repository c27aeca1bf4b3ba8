"""The specification of a dataset: which system, how it is integrated, what is sampled."""

from pathlib import Path
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

import numpy as np
from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from hpcbench.config.overrides import merge, parse_overrides
from hpcbench.config.tree import Config, read_toml, validate
from hpcbench.data.format import Header
from hpcbench.errors import nearest
from sims.space.team import space_obstacle
from sims.systems.registry import system_class
from sims.systems.system import Kernel, System

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Parameters = TypeVar("Parameters", bound=Config)


class Integration(Config):
    """How the system is integrated.

    scheme
        Name of the integrator.
    step
        Its step in model time units.
    spin_up
        Model time discarded before the first sample; a fraction of a step counts as a step.
    kernel
        ``compiled`` or ``reference`` (NumPy), which differ in rounding; ``auto`` takes the
        compiled one where there is one for the system and its size.
    decomposition
        What ranks share: the trajectories, or every single trajectory where that is very large.
    """

    scheme: str
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    spin_up: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    kernel: Kernel = "auto"
    decomposition: Literal["members", "space"] = "members"


class Sampling(Config):
    """What is kept.

    num_trajectories
        Number of independent trajectories.
    num_samples
        Samples of each.
    sample_interval
        Model time between two samples, a whole number of steps.
    dtype
        Precision on disk; the integration is in float64.
    split
        Shares of the trajectories for training, validation and test.
    """

    num_trajectories: Count
    num_samples: Count
    sample_interval: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    dtype: Literal["float32", "float64"]
    split: tuple[Share, Share, Share]


class DatasetSpec(Config, Generic[Parameters]):
    """Everything that defines a dataset.

    system
        Name of the system.
    seed
        Seed of the initial states.
    parameters
        Of the system.
    """

    system: str
    seed: Annotated[int, Field(ge=0, lt=2**64)]
    parameters: Parameters
    integration: Integration
    sampling: Sampling

    @model_validator(mode="after")
    def _agree(self) -> Self:
        integration, sampling = self.integration, self.sampling
        schemes = system_class(self.system, "(spec)").schemes
        if integration.scheme not in schemes:
            hint = nearest(integration.scheme, schemes)
            _reject(
                ("integration", "scheme"),
                integration.scheme,
                f"{self.system} is integrated by {' or '.join(schemes)}{hint}",
            )
        self._check_system()
        ratio = sampling.sample_interval / integration.step
        whole = max(1, round(ratio))
        if abs(ratio - whole) > 1e-9 * whole:
            _reject(
                ("sampling", "sample_interval"),
                sampling.sample_interval,
                f"must be a whole number of steps of {integration.step}; "
                f"the nearest is {whole * integration.step:.12g}",
            )
        total = sum(sampling.split)
        if abs(total - 1) > 1e-9:
            _reject(("sampling", "split"), sampling.split, f"must add up to 1, not {total:.12g}")
        if sampling.split[0] == 0:
            _reject(("sampling", "split"), sampling.split, "leaves nothing for training")
        needed = sum(share > 0 for share in sampling.split)
        if sampling.num_trajectories < needed:
            _reject(
                ("sampling", "num_trajectories"),
                sampling.num_trajectories,
                f"the {needed} non-zero shares of sampling.split need at least {needed}",
            )
        return self

    def _check_system(self) -> None:
        integration = self.integration
        # built without a kernel first, so that only the kernel can be what is refused
        system = self._system("reference")
        if obstacle := system.step_obstacle(integration.step):
            _reject(("integration", "step"), integration.step, obstacle)
        if integration.kernel == "compiled" and (obstacle := system.kernel_obstacle()):
            _reject(("integration", "kernel"), integration.kernel, obstacle)
        if integration.decomposition == "space" and (obstacle := space_obstacle(system)):
            _reject(("integration", "decomposition"), integration.decomposition, obstacle)

    def _system(self, kernel: Kernel) -> System:
        system: System = system_class(self.system, "(spec)")(
            self.parameters, self.integration.scheme, kernel
        )
        return system

    @property
    def steps_per_sample(self) -> int:
        """Steps between two samples."""
        return round(self.sampling.sample_interval / self.integration.step)

    @property
    def spin_up_steps(self) -> int:
        """Steps before the first sample."""
        return int(np.ceil(self.integration.spin_up / self.integration.step - 1e-9))

    def build_system(self) -> System:
        """Return the system of this specification."""
        return self._system(self.integration.kernel)

    def split_counts(self) -> tuple[int, int, int]:
        """Return the number of trajectories for training, validation and test.

        Validation and test get their share rounded to the nearest number, at least one where
        the share is not zero; training gets the rest.
        """
        total = self.sampling.num_trajectories
        _, validation, test = (
            0 if share == 0 else max(1, int(share * total + 0.5)) for share in self.sampling.split
        )
        while validation + test >= total:  # rounding left nothing for training
            validation, test = (validation, test - 1) if test > 1 else (validation - 1, test)
        return total - validation - test, validation, test

    def header(self) -> Header:
        """Return the header of the dataset this specification defines."""
        system = self.build_system()
        # Lyapunov times are the unit of forecasts of chaos; other systems have none
        reference = system.reference_lyapunov_exponent()
        chaotic = reference is not None and reference.value > 0
        return Header(
            system=self.system,
            parameters=self.parameters.model_dump(mode="json"),
            integrator=self.integration.scheme,
            step=self.integration.step,
            sample_interval=self.sampling.sample_interval,
            spin_up=self.integration.spin_up,
            seed=self.seed,
            num_trajectories=self.sampling.num_trajectories,
            num_samples=self.sampling.num_samples,
            num_components=system.num_components,
            dtype=self.sampling.dtype,
            split=self.split_counts(),
            lyapunov_exponent=reference.value if reference and chaotic else None,
            lyapunov_source=str(reference) if chaotic else "",
        )


def _reject(location: tuple[str, ...], given: object, reason: str) -> None:
    problem = InitErrorDetails(
        type=PydanticCustomError("disagreement", reason.replace("{", "{{")),
        loc=location,
        input=given,
    )
    raise ValidationError.from_exception_data("DatasetSpec", [problem])


def make_spec(data: dict[str, Any], source: str) -> DatasetSpec[Any]:
    """Check plain data as a specification; ``source`` opens the message of an error."""
    system = system_class(data.get("system"), source)
    generic: Any = DatasetSpec
    spec: DatasetSpec[Any] = validate(generic[system.Parameters], data, source)
    return spec


def read_spec(path: Path | str, overrides: list[str] | None = None) -> DatasetSpec[Any]:
    """Read and check a specification file with command-line overrides laid over it."""
    return make_spec(merge(read_toml(path), parse_overrides(overrides or [])), str(path))
