"""How a gradient shrinks or grows on its way back through time."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from analysis.plots.panels import Line, Panel, panels
from hpcbench.config.tree import Config, Table
from hpcbench.models.gated.stepped_lstm import GatedOptions, LSTMLayer
from hpcbench.models.initialisation import start_recurrent
from hpcbench.models.simple.elman import ElmanLayer, ElmanOptions
from hpcbench.models.stepping import Layer
from jobs.gallery.examples import Made
from jobs.gallery.workshop import Workshop

Array = npt.NDArray[np.float64]

TITLE = "Gradients through time"


class Settings(Config):
    """The networks, before any training, and the white noise that drives them.

    radii
        Spectral radii of the linear networks, W = ρ Q with Q orthogonal.
    forget_biases
        Of the LSTMs.
    rows
        Independent input sequences over which norms are averaged (geometric mean).
    transient
        Steps before the first one that gradients can reach.
    """

    hidden: int = Field(64, ge=1)
    radii: list[float] = Field(default_factory=lambda: [0.95, 1.05])
    forget_biases: list[float] = Field(default_factory=lambda: [0.0, 1.0, 4.0])
    lags: int = Field(200, ge=1)
    rows: int = Field(16, ge=1)
    transient: int = Field(50, ge=0)
    seed: int = Field(1, ge=0)


QUICK: Table = {"hidden": 8, "lags": 40, "rows": 4}


def gradient_norms(layer: Layer, inputs: Tensor, num_lags: int, seed: int = 0) -> Array:
    r"""Return the size of the gradient of the last state by earlier ones, ``(num_lags + 1,)``.

    .. math::

        \Bigl\| \Bigl(\frac{\partial s_T}{\partial s_{T-k}}\Bigr)^\top u \Bigr\|,
        \qquad k = 0 \dots \text{num\_lags}

    with s the whole state of the layer and u a random unit vector; the geometric mean over
    rows. For :math:`s_t = W s_{t-1} + \dots` with :math:`W = \rho Q`, Q orthogonal, it is
    :math:`\rho^k`; in general its slope is the largest Lyapunov exponent.

    Parameters
    ----------
    layer
        One recurrent layer, float64.
    inputs
        ``(row, time, num_inputs)``, more than ``num_lags`` steps.
    """
    state = layer.initial_state(inputs)
    begin = inputs.shape[1] - num_lags
    states = []
    for t, present in enumerate(inputs.unbind(1)):
        if t >= begin:
            # copies: the parts of a state count as independent variables
            state = tuple(part.clone().requires_grad_() for part in state)
            states.append(state)
        with torch.set_grad_enabled(t >= begin):
            _, state = layer.step(present, state)
    random = torch.Generator().manual_seed(seed)
    last = torch.cat(state, 1)
    direction = torch.randn(last.shape, dtype=last.dtype, generator=random)
    direction /= direction.norm(dim=1, keepdim=True)
    flat = [part for earlier in states for part in earlier]
    gradients = torch.autograd.grad((direction * last).sum(), flat)
    width = len(state)
    norms = [torch.ones(len(last), dtype=last.dtype)]
    for lag in range(1, num_lags + 1):
        place = (num_lags - lag) * width
        norms.append(torch.cat(gradients[place : place + width], 1).norm(dim=1))
    return torch.stack(norms).log().mean(1).exp().numpy()


def networks(settings: Settings) -> dict[str, Layer]:
    """Return the layers that are compared, by label, in float64."""
    made: dict[str, Layer] = {}

    def add(label: str, kind: Any, options: Any) -> None:
        torch.manual_seed(settings.seed)
        made[label] = layer = kind(1, settings.hidden, options).double()
        if isinstance(layer, ElmanLayer):  # again, so that W is orthogonal in float64
            start_recurrent(layer.weight_hh, options)

    for radius in settings.radii:
        linear = ElmanOptions(activation="identity", spectral_radius=radius)
        add(f"linear RNN, ρ(W) = {radius:g}", ElmanLayer, linear)
    add("tanh RNN, W orthogonal", ElmanLayer, ElmanOptions())
    wide = ElmanOptions(recurrent="uniform", spectral_radius=3.0, input_scale=0.1)
    add("tanh RNN, ρ(W) = 3", ElmanLayer, wide)
    for bias in settings.forget_biases:
        add(f"LSTM, forget bias {bias:g}", LSTMLayer, GatedOptions(forget_bias=bias))
    return made


def noise(settings: Settings) -> Tensor:
    """Return the driving noise, ``(row, time, 1)``."""
    random = torch.Generator().manual_seed(settings.seed)
    shape = settings.rows, settings.transient + settings.lags, 1
    return torch.randn(shape, dtype=torch.float64, generator=random)


def compute(settings: Settings) -> dict[str, Array]:
    """Return the norms over lags of every network."""
    inputs = noise(settings)
    return {
        label: gradient_norms(layer, inputs, settings.lags, settings.seed)
        for label, layer in networks(settings).items()
    }


def slope(norms: Array) -> float:
    """Return the mean logarithmic slope per step over the second half of the lags."""
    half = len(norms) // 2
    return float(np.log(norms[-1] / norms[half]) / (len(norms) - 1 - half))


def make(settings: Settings, workshop: Workshop) -> Made:
    """Draw the norms with the exact lines of the linear networks."""
    found = compute(settings)
    lags = np.arange(settings.lags + 1)
    curves = {label: Line(lags, norms) for label, norms in found.items()}
    curves |= {
        f"exact: {radius:g}ᵏ": Line(lags, radius**lags, look="reference")
        for radius in settings.radii
    }
    slopes = ", ".join(
        f"{label} {slope(norms):+.3f}" for label, norms in found.items() if "linear" not in label
    )
    apart = max(
        float(np.abs(found[f"linear RNN, ρ(W) = {radius:g}"] / radius**lags - 1).max())
        for radius in settings.radii
    )
    sentence = (
        f"The gradient of a linear network is ρᵏ (found: within {apart:.0e}); in others its "
        f"logarithm changes per step back, before training, by: {slopes}. A hundred steps are "
        "enough for it to vanish or explode; a larger forget bias keeps it."
    )
    picture = panels(
        [Panel("", curves, "lag k (steps)", "‖gradient‖ (1)", logarithmic="y")],
        name="gradient_lag", title="Size of a gradient k steps back", alt=sentence, height=3.4,
    )  # fmt: skip
    return Made(sentence, [picture])
