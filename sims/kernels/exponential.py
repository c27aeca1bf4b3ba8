"""Coefficients of the exponential integrators for dv/dt = L v + N(v), with diagonal L."""

import math
from typing import Any

import numpy as np

SERIES_TERMS = 24
"""Enough for full precision where the series is used, |z| ≤ 1.5."""

Array = np.ndarray[Any, np.dtype[np.floating[Any]]]


def phi_functions(z: Array, highest: int) -> list[Array]:
    """Return φ_0 … φ_highest at real z, to full precision everywhere.

        φ_0(z) = e^z,   φ_{k+1}(z) = (φ_k(z) − 1/k!) / z,   φ_k(z) = Σ_j z^j / (j + k)!

    The recurrence loses digits as z → 0, where the series is summed instead.

    Reference: M. Hochbruck, A. Ostermann, Acta Numerica 19, 209 (2010), eqs. 2.10–2.11,
    doi:10.1017/S0962492910000048.
    """
    small = np.abs(z) <= 1.5
    away = np.where(small, 1.0, z)
    near = np.where(small, z, 0.0)
    values = [np.exp(z)]
    recurrence = np.exp(away)
    for k in range(1, highest + 1):
        recurrence = (recurrence - 1 / math.factorial(k - 1)) / away
        series = np.zeros_like(near)
        for j in reversed(range(SERIES_TERMS)):
            series = series * near + 1 / math.factorial(j + k)
        values.append(np.where(small, series, recurrence))
    return values


def etdrk4_weights(z: Array) -> dict[str, Array]:
    """Return the weights of ETDRK4 for z = hL, to be multiplied by h where they weigh N.

        a = e^{z/2} v + h Q N(v)                  c = e^{z/2} a + h Q (2 N(b) − N(v))
        b = e^{z/2} v + h Q N(a)
        v(t + h) = e^z v + h (α N(v) + 2 β (N(a) + N(b)) + γ N(c))

    Here Q = φ_1(z/2) / 2, α = φ_1 − 3 φ_2 + 4 φ_3, β = φ_2 − 2 φ_3, γ = 4 φ_3 − φ_2.

    Reference: S. M. Cox, P. C. Matthews, J. Comput. Phys. 176, 430 (2002), eqs. 26–29,
    doi:10.1006/jcph.2002.6995.
    """
    half = phi_functions(z / 2, 1)
    _, phi1, phi2, phi3 = phi_functions(z, 3)
    return {
        "full": np.exp(z),
        "half": half[0],
        "q": half[1] / 2,
        "alpha": phi1 - 3 * phi2 + 4 * phi3,
        "beta": phi2 - 2 * phi3,
        "gamma": 4 * phi3 - phi2,
    }


def multistep_weights(z: Array, nodes: list[int]) -> list[Array]:
    """Return the weight of N at each node n (time t + n h) in v(t + h), to be multiplied by h.

        v(t + h) = e^z v(t) + h Σ_n w_n N_n,   w_n = ∫_0^1 e^{(1 − θ) z} ℓ_n(θ) dθ

    with ℓ_n the Lagrange polynomials of the nodes: exact where N is a polynomial in time of
    degree below the number of nodes. With ℓ_n = Σ_k c_k θ^k, w_n = Σ_k c_k k! φ_{k+1}(z). Nodes
    0, −1, −2, −3 are the exponential Adams-Bashforth scheme of order 4; with 1 added, the
    exponential Adams-Moulton scheme of order 5.

    Reference: S. P. Nørsett, Lect. Notes Math. 109, 214 (1969), doi:10.1007/BFb0060031.
    """
    phi = phi_functions(z, len(nodes))
    weights = []
    for node in nodes:
        others = [other for other in nodes if other != node]
        powers = np.poly(others)[::-1] / math.prod(node - other for other in others)
        terms = [c * math.factorial(k) * phi[k + 1] for k, c in enumerate(powers)]
        weights.append(np.sum(terms, axis=0))
    return weights
