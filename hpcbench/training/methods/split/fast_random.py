"""Random recurrent weights and a fitted readout: the non-iterative way to train an LSTM."""

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from hpcbench.models.forecaster import Forecaster
from hpcbench.models.initialisation import spectral_radius
from hpcbench.training.methods.method import require_cell
from hpcbench.training.methods.ridge import Ridge, RidgeOptions
from hpcbench.training.methods.split.split_layer import SPLIT_CELLS, lstm_layers

if TYPE_CHECKING:
    from hpcbench.training.run_config import RunConfig


class FastRandomOptions(RidgeOptions):
    """Options of the ridge regression, and the spectral radius of each gate's weights."""

    spectral_radius: float = Field(0.9, gt=0)


class FastRandom(Ridge):
    r"""An LSTM left as it is drawn, its readout fitted by ridge regression.

    .. math::

        \Theta = (\Phi^\top \Phi + \beta I)^{-1} \Phi^\top Y, \qquad
        \Phi = [h_1 \dots h_T], \quad \rho(U_{i,f,g,o}) = \varrho

    A reconstruction in the family of random-weight recurrent networks (Rizk and Awad 2019).
    """

    Options = FastRandomOptions

    def __init__(self, forecaster: Forecaster, options: FastRandomOptions) -> None:
        super().__init__(forecaster, options)
        with torch.no_grad():
            for layer in lstm_layers(forecaster.core):
                size = layer.recurrent.shape[1]
                for gate in layer.recurrent.split(size):
                    gate *= options.spectral_radius / spectral_radius(gate)

    @classmethod
    def check(cls, config: "RunConfig") -> None:
        """Refuse other cells than the LSTM, and what the ridge regression refuses."""
        require_cell(config, SPLIT_CELLS, "draws the weights of the plain LSTM")
        super().check(config)
