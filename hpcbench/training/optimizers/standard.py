"""Optimisers that PyTorch brings along."""

import torch
from pydantic import Field
from torch import nn
from torch.optim import Optimizer

from hpcbench.config.tree import Config


class AdamOptions(Config):
    """Adam (Kingma and Ba 2015): decay of its first and second moment, and its floor."""

    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    epsilon: float = Field(1e-8, gt=0)

    def build(self, parameters: list[nn.Parameter]) -> Optimizer:
        """Return the optimiser."""
        betas = self.beta1, self.beta2
        return torch.optim.Adam(parameters, betas=betas, eps=self.epsilon, foreach=True)


class SGDOptions(Config):
    """Gradient descent, with classical momentum where asked."""

    momentum: float = Field(0.0, ge=0, lt=1)

    def build(self, parameters: list[nn.Parameter]) -> Optimizer:
        """Return the optimiser."""
        return torch.optim.SGD(parameters, lr=1.0, momentum=self.momentum)


class NesterovOptions(Config):
    """Nesterov's accelerated gradient with a constant momentum."""

    momentum: float = Field(0.9, gt=0, lt=1)

    def build(self, parameters: list[nn.Parameter]) -> Optimizer:
        """Return the optimiser."""
        return torch.optim.SGD(parameters, lr=1.0, momentum=self.momentum, nesterov=True)
