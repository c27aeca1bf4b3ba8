"""Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers 2000)."""

import torch
from torch import Tensor, nn

from hpcbench.config.tree import Config

State = tuple[Tensor, ...]


class LSTM(nn.Module):
    r"""Stacked LSTM layers, fused by PyTorch.

    .. math::

        f, i, o &= \sigma(W_{f,i,o}\, x_t + U_{f,i,o}\, h_{t-1} + b_{f,i,o}) \\
        g &= \tanh(W_g x_t + U_g h_{t-1} + b_g) \\
        c_t &= f \odot c_{t-1} + i \odot g, \qquad h_t = o \odot \tanh c_t

    State: ``(h, c)``, each ``(layers, batch, hidden)``.

    Initialisation: input weights as in ``torch.nn.LSTM``, recurrent weights orthogonal per gate,
    biases zero but for the forget gate, which starts at ``forget_bias`` so that remembering is
    the default (Jozefowicz et al. 2015).
    """

    class Options(Config):
        """Options of the LSTM: the initial bias of the forget gate."""

        forget_bias: float = 1.0

    def __init__(self, num_inputs: int, hidden: int, layers: int, options: "LSTM.Options") -> None:
        super().__init__()
        self.cell = nn.LSTM(num_inputs, hidden, layers, batch_first=True)
        with torch.no_grad():
            for name, parameter in self.cell.named_parameters():
                if name.startswith("weight_hh"):
                    for gate in parameter.split(hidden):
                        nn.init.orthogonal_(gate)
                elif name.startswith("bias"):
                    nn.init.zeros_(parameter)
                if name.startswith("bias_ih"):
                    parameter[hidden : 2 * hidden] = options.forget_bias

    def forward(self, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Return hidden states ``(batch, time, hidden)`` and the state after the last step."""
        hidden, last = self.cell(inputs, state)
        return hidden, last
