"""Lyapunov spectrum of Lorenz-96 by the program that measures it for trained models."""

import numpy as np
import pytest
import torch
from torch import Tensor

from hpcbench.lyapunov_model import lyapunov_spectrum

pytestmark = pytest.mark.validation

STEP = 0.02


def slope(x: Tensor) -> Tensor:
    return (x.roll(-1, -1) - x.roll(2, -1)) * x.roll(1, -1) - x + 8.0


def step(x: Tensor) -> Tensor:
    a = slope(x)
    b = slope(x + STEP / 2 * a)
    c = slope(x + STEP / 2 * b)
    d = slope(x + STEP * c)
    return x + STEP / 6 * (a + 2 * b + 2 * c + d)


def test_lorenz96_40_sites() -> None:
    """Published: λ₁ = 1.68 (Vlachas et al. 2020), 13 exponents not negative, D_KY = 27.1.

    The divergence of the flow is −1 per site, so the exponents sum to −40.
    """
    states = 8 + torch.randn(16, 40, generator=torch.manual_seed(0), dtype=torch.float64)
    found = lyapunov_spectrum(
        step, states, 40, 1500, interval=STEP, transient=1000, steps_between_qr=5
    )
    assert found.exponents[0] == pytest.approx(1.68, abs=0.05)
    assert found.standard_error[0] < 0.03
    np.testing.assert_allclose(found.exponents[1:4], [1.52, 1.34, 1.16], atol=0.08)
    assert found.exponents[-1] == pytest.approx(-4.93, abs=0.1)
    assert found.exponents.sum() == pytest.approx(-40, abs=0.02)
    # 13 exponents are not negative, the last of them that of the flow's direction
    assert found.exponents[11] > 0.05
    assert found.exponents[14] < -0.05
    assert found.dimension == pytest.approx(27.1, abs=0.3)
