"""Noise on the inputs of training, so that the network learns to return to the trajectory."""

from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor

from hpcbench.config.tree import Config
from hpcbench.data.windows import RowRandom
from hpcbench.errors import InputError

if TYPE_CHECKING:
    from hpcbench.training.run_config import RunConfig


class NoiseOptions(Config):
    """Options of the noise on the inputs.

    noise
        Standard deviation of the white Gaussian noise, in units of the normalised state.
    noise_first_mode
        Remove the modes along the ring with fewer waves than this (0: none, white noise): the
        short waves alone are disturbed, where a trained model amplifies what the truth damps.
    noise_corrected
        Whether the target of an increment leads from the disturbed state back to the
        trajectory, or is the undisturbed increment.
    """

    noise: float = Field(0.0, ge=0.0)
    noise_first_mode: int = Field(0, ge=0)
    noise_corrected: bool = True


def disturbance(options: NoiseOptions, random: RowRandom, shape: tuple[int, int]) -> Tensor:
    r"""Return noise ``(rows, *shape)`` in float64 for ``shape = (time, component)``.

    .. math::

        \hat\epsilon_k = 0 \quad (|k| < k_0), \qquad \epsilon_{ti} \sim \sigma\,N(0, 1)

    with :math:`\hat\epsilon_k` the Fourier modes along the components.
    """
    noise = options.noise * random.normal(shape)
    if options.noise_first_mode:
        modes = torch.fft.rfft(noise, dim=-1)
        modes[..., : options.noise_first_mode] = 0
        noise = torch.fft.irfft(modes, n=shape[1], dim=-1)
    return noise


def disturbed(options: NoiseOptions, states: Tensor, random: RowRandom) -> tuple[Tensor, Tensor]:
    """Return the inputs of a window and what is to follow them, ``(row, time, component)`` each.

    ``states`` are true ones, ``(row, time + 1, component)``; without noise the inputs are too.
    """
    inputs, following = states[:, :-1], states[:, 1:]
    if not options.noise:
        return inputs, following
    noise = disturbance(options, random, (inputs.shape[1], inputs.shape[2])).to(inputs.device)
    return inputs + noise, following if options.noise_corrected else following + noise


def check_noise(config: "RunConfig") -> None:
    """Refuse an undisturbed target that is no increment."""
    if not config.train.method_options().noise_corrected and config.model.target == "state":
        raise InputError(
            "train.options.noise_corrected: false keeps the undisturbed increment, and "
            'model.target is "state"; choose model.target = "increment", or true'
        )
