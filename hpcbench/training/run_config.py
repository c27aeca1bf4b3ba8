"""The configuration of a training run: dataset, model, training and forecast."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from hpcbench.config.tree import Config, validate
from hpcbench.embedding.config import EmbeddingConfig
from hpcbench.errors import InputError, nearest
from hpcbench.forecasting.evaluation import ForecastConfig
from hpcbench.models.config import ModelConfig
from hpcbench.parallel.communicator import BACKENDS, Compression, Reduction
from hpcbench.training.methods.registry import METHODS, method_class
from hpcbench.training.optimizers.registry import OPTIMIZERS, optimizer_options
from hpcbench.training.optimizers.schedule import Scaling, scaled_schedule


class TrainConfig(Config):
    """How the forecaster is trained.

    method, options
        Training method and the options only it knows.
    window, carry
        Steps a gradient reaches back; steps the state is carried before it is reset (a
        multiple of the window, by default one window).
    global_batch
        Rows of one step over all ranks; a multiple of the number of ranks.
    steps, epochs
        Length of the training, as exactly one of the two.
    stop_after
        End after this many steps although the schedule is longer (to measure its speed).
    optimizer, optimizer_options
        Optimiser and the options only it knows.
    learning_rate, final_learning_rate, warm_up
        Its largest rate, the last rate as a share of that, steps of linear growth.
    learning_rate_scaling, reference_batch
        How rate and warm-up follow the global batch from the batch they were chosen for: none,
        linear, sqrt or legw.
    clip
        Largest global norm of the averaged gradient, or none.
    backend
        How ranks average gradients: horovod, ddp, mpi or none.
    reduction, compression
        With horovod: average or adasum; gradients travel as they are (none) or as fp16.
    dtype
        Type of parameters and activations; the loss target is formed in float64.
    validate_every, checkpoint_every
        Steps between two validations and two checkpoints (0: only at the end).
    validate_forecasts
        Initial conditions of the validation split that every validation forecasts, as [forecast]
        says (0: the one-step loss only). Costs as much as that share of the final evaluation, and
        tells when a forecast skill was reached.
    baseline_seconds
        Time before the first step for measuring allreduces, reading and writing (0: none).
    """

    method: str = "tbptt"
    options: dict[str, Any] = Field(default_factory=dict)
    window: int = Field(16, ge=1)
    carry: int | None = Field(None, ge=1)
    global_batch: int = Field(32, ge=1)
    steps: int | None = Field(None, ge=1)
    epochs: float | None = Field(None, gt=0)
    stop_after: int | None = Field(None, ge=1)
    optimizer: str = "adam"
    optimizer_options: dict[str, Any] = Field(default_factory=dict)
    learning_rate: float = Field(1e-3, gt=0)
    final_learning_rate: float = Field(0.01, ge=0, le=1)
    warm_up: int = Field(0, ge=0)
    learning_rate_scaling: Scaling = "none"
    reference_batch: int | None = Field(None, ge=1)
    clip: float | None = Field(None, gt=0)
    backend: str = "horovod"
    reduction: Reduction = "average"
    compression: Compression = "none"
    dtype: Literal["float32", "float64"] = "float32"
    validate_every: int = Field(0, ge=0)
    validate_forecasts: int = Field(0, ge=0)
    checkpoint_every: int = Field(0, ge=0)
    baseline_seconds: float = Field(0.5, ge=0, le=60)

    @field_validator("method", "optimizer")
    @classmethod
    def _known_class(cls, name: str, info: Any) -> str:
        registry = METHODS if info.field_name == "method" else OPTIMIZERS
        registry.find(name)
        return name

    @field_validator("backend")
    @classmethod
    def _known_backend(cls, name: str) -> str:
        if name not in BACKENDS:
            valid = ", ".join(sorted(BACKENDS))
            raise ValueError(f"unknown{nearest(name, BACKENDS)}; valid: {valid}")
        return name

    @model_validator(mode="after")
    def _consistent(self) -> "TrainConfig":
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give exactly one of steps and epochs")
        if self.carry is not None and self.carry % self.window:
            raise ValueError(
                f"carry must be a multiple of window = {self.window}, given {self.carry}; nearest: "
                f"{max(1, round(self.carry / self.window)) * self.window}"
            )
        if (self.learning_rate_scaling == "none") != (self.reference_batch is None):
            raise ValueError(
                "learning_rate_scaling (linear, sqrt or legw) and reference_batch go together"
            )
        self._check_horovod()
        try:
            self.method_options()
            optimizer_options(self.optimizer, self.optimizer_options)
        except InputError as error:
            raise ValueError(str(error)) from None
        return self

    def _check_horovod(self) -> None:
        for name, given in (("reduction", self.reduction), ("compression", self.compression)):
            if given not in ("average", "none") and self.backend != "horovod":
                raise ValueError(
                    f'{name} = "{given}" needs backend = "horovod", given "{self.backend}"'
                )
        if self.reduction == "adasum" and (self.compression != "none" or self.clip is not None):
            raise ValueError(
                'reduction = "adasum" goes neither with compression nor with clip: it combines '
                "the ranks' steps and never forms one gradient"
            )

    def schedule(self) -> tuple[float, int]:
        """Return the largest learning rate and the steps of warm-up at this global batch."""
        factor = self.global_batch / (self.reference_batch or self.global_batch)
        return scaled_schedule(self.learning_rate_scaling, factor, self.learning_rate, self.warm_up)

    def method_options(self) -> Any:
        """Return ``options`` as the method's own configuration class."""
        options = method_class(self.method).Options
        return validate(options, self.options, f"options of {self.method}")


class DatasetSection(Config):
    """The dataset: the HDF5 file, or the spec that a sweep generates it from."""

    path: str | None = None
    spec: str | None = None


class RunConfig(Config):
    """Everything that defines a training run."""

    seed: int = Field(1, ge=0)
    dataset: DatasetSection = Field(default_factory=DatasetSection)
    model: ModelConfig = Field(default_factory=ModelConfig)
    embedding: EmbeddingConfig = Field(default_factory=EmbeddingConfig)
    train: TrainConfig
    forecast: ForecastConfig = Field(default_factory=ForecastConfig)

    @model_validator(mode="after")
    def _embedding_fits(self) -> "RunConfig":
        self.embedding.check_model(self.model.coupling)
        if self.embedding.delays > 1 and not method_class(self.train.method).TAKES_DELAYS:
            valid = sorted(name for name in METHODS if method_class(name).TAKES_DELAYS)
            raise ValueError(
                f'train.method "{self.train.method}" carries a state of its own and does not go '
                f"with embedding.delays; valid: {', '.join(valid)}"
            )
        if self.forecast.initial_conditions:
            self.embedding.check_forecast(self.forecast.warm_up, self.forecast.score)
        return self

    @model_validator(mode="after")
    def _method_fits(self) -> "RunConfig":
        method = method_class(self.train.method)
        try:
            method.check(self)
        except InputError as error:
            raise ValueError(str(error)) from None
        if method.OWNS_UPDATE and (self.train.reduction, self.train.compression) != (
            "average",
            "none",
        ):
            raise ValueError(
                f'train.method "{self.train.method}" takes its steps without an optimiser; '
                "train.reduction and train.compression do not apply: leave them out"
            )
        return self
