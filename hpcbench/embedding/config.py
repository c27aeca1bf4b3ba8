"""The ``[embedding]`` section of a run: what a forecaster sees of a trajectory."""

from typing import Literal

from pydantic import Field, model_validator

from hpcbench.config.tree import Config


class EmbeddingConfig(Config):
    """How states become the inputs of a forecaster; by default they are what they are.

    stride
        Samples of the dataset between two steps of the model. Training sees the sub-series of
        every phase, so no data are lost; steps, windows, delays and the warm-up of forecasts
        count strided samples.
    observe_every
        See only every n-th component, the first one included: the rest of the state is hidden.
    components
        Forecast this many leading principal components of the training states instead of the
        states; needs global coupling.
    whiten
        Scale the principal components (all of them, where ``components`` is not given) to unit
        variance.
    delays, delay
        The cell reads ``delays`` samples, ``delay`` steps apart, at every step; 1 is the present
        one alone.
    layout
        ``vector``: it reads them at once, as one vector, and carries its state on. ``sequence``:
        it reads them one after another, the oldest first, from its zero state at every step, so
        that they are all it remembers.
    delay_components
        The cell reads this many leading whitened principal components of the delay vector
        (Hankel-SVD) instead of the vector.
    scores
        Record S1 to S7 of how correlated the samples of a training window are, which takes about
        a second; over several runs, a report says which of them go with forecast skill.
    """

    stride: int = Field(1, ge=1)
    observe_every: int = Field(1, ge=1)
    components: int | None = Field(None, ge=1)
    whiten: bool = False
    delays: int = Field(1, ge=1)
    delay: int = Field(1, ge=1)
    layout: Literal["vector", "sequence"] = "vector"
    delay_components: int | None = Field(None, ge=1)
    scores: bool = False

    @property
    def reach(self) -> int:
        """Steps before the present one that the cell's input reaches back."""
        return (self.delays - 1) * self.delay

    def num_features(self, num_inputs: int) -> int:
        """Return how many inputs the cell has where the model sees ``num_inputs`` at one time."""
        if self.layout == "sequence":
            return num_inputs
        return self.delay_components or num_inputs * self.delays

    @property
    def projects(self) -> bool:
        """Whether principal components are forecast instead of states."""
        return self.whiten or self.components is not None

    @model_validator(mode="after")
    def _consistent(self) -> "EmbeddingConfig":
        if self.delay_components is not None and self.delays == 1:
            raise ValueError("delay_components needs delay vectors: give delays of at least 2")
        if self.delay_components is not None and self.layout == "sequence":
            raise ValueError('delay_components needs delay vectors: give layout = "vector"')
        return self

    def check_model(self, coupling: Literal["global", "local"]) -> None:
        """Raise ValueError where the embedding does not fit the model."""
        if self.projects and coupling == "local":
            raise ValueError(
                "embedding.components and embedding.whiten mix all sites, and a model with local "
                'coupling sees its neighbours only; give model.coupling = "global"'
            )

    def check_forecast(self, warm_up: int, score: Literal["state", "components"]) -> None:
        """Raise ValueError where the embedding does not fit the forecasts."""
        if warm_up <= self.reach:
            raise ValueError(
                f"embedding: {self.delays} delays of {self.delay} steps reach back {self.reach}, "
                f"but forecast.warm_up is {warm_up}; give at least {self.reach + 1}"
            )
        if score == "components" and not self.projects:
            raise ValueError(
                'forecast.score: "components" needs principal components; give '
                'embedding.components, or "state"'
            )
