"""What follows from a Lyapunov spectrum."""

import numpy as np


def kaplan_yorke_dimension(exponents: np.ndarray) -> float:
    r"""Return the Kaplan–Yorke dimension of descending exponents.

    .. math::

        D_{KY} = j + \frac{\sum_{i \le j} \lambda_i}{|\lambda_{j+1}|}, \qquad
        j = \max\{k : \lambda_1 + \dots + \lambda_k \ge 0\}

    Not a number when the sum of all exponents given is not yet negative: give more of them.
    """
    sums = np.cumsum(exponents)
    if len(sums) == 0 or sums[-1] >= 0:
        return float("nan")
    j = int(np.argmax(sums < 0))  # sums go up, then down: the first negative one ends them
    return j + float(sums[j - 1] / -exponents[j]) if j else 0.0


def kolmogorov_sinai_entropy(exponents: np.ndarray) -> float:
    """Return the sum of the positive exponents (Pesin), per unit of model time."""
    return float(np.sum(np.maximum(exponents, 0.0)))
