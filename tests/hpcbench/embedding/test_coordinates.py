"""Delay vectors, sub-series, principal components, unfolding and scores against exact cases."""

import numpy as np
import pytest

from hpcbench.embedding.components import principal_components
from hpcbench.embedding.delays import delay_vectors, subsample_phases
from hpcbench.embedding.neighbours import unfold
from hpcbench.embedding.scores import (
    Scores,
    condition_number,
    effective_rank,
    linear_residuals,
    mean_correlation,
    mean_scores,
    score_rows,
)


def test_delay_vectors_start_with_the_newest_sample() -> None:
    states = np.arange(20.0).reshape(1, 10, 2)  # components 2t and 2t + 1
    vectors = delay_vectors(states, num_delays=3, delay=2)
    assert vectors.shape == (1, 6, 6)
    np.testing.assert_array_equal(vectors[0, 0], [8, 9, 4, 5, 0, 1])
    np.testing.assert_array_equal(delay_vectors(states, 1, 5), states)


@pytest.mark.parametrize("stride", [1, 2, 3, 7])
def test_sub_series_hold_every_sample_once(stride: int) -> None:
    states = np.arange(2 * 23 * 1.0).reshape(2, 23, 1)
    phases = subsample_phases(states, stride)
    assert phases.shape == (stride, 2, 23 // stride, 1)
    kept = 23 // stride * stride
    np.testing.assert_array_equal(np.sort(phases.ravel()), np.sort(states[:, :kept].ravel()))
    np.testing.assert_array_equal(np.diff(phases, axis=2), stride)


def correlated(number: int = 4000) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.normal(size=(number, 5)) @ random.normal(size=(5, 5)) + np.arange(5)


def test_whitened_components_have_unit_covariance_and_go_back() -> None:
    x = correlated()
    found = principal_components(x)
    z = found.project(x, whiten=True)
    np.testing.assert_allclose(z.T @ z / len(z), np.eye(5), atol=1e-7)
    np.testing.assert_allclose(found.restore(z, whiten=True), x, atol=1e-10)
    np.testing.assert_allclose(found.restore(found.project(x)), x, atol=1e-10)


def test_components_are_the_singular_vectors() -> None:
    x = correlated()
    found = principal_components(x)
    _, singular, right = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(found.variances, singular**2 / len(x), rtol=1e-10)
    np.testing.assert_allclose(np.abs(np.sum(found.vectors * right.T, axis=0)), 1, atol=1e-10)


def test_leading_components_lose_the_variance_of_the_others() -> None:
    x = correlated()
    found = principal_components(x)
    leading = found.leading(3)
    lost = np.mean(np.sum((leading.restore(leading.project(x)) - x) ** 2, axis=1))
    assert lost == pytest.approx(found.variances[3:].sum(), rel=1e-10)
    share = found.variances[:3].sum() / found.variances.sum()
    assert found.number_for(share) == 3
    assert found.number_for(share + 1e-6) == 4
    assert found.number_for(1.0) == 5


def test_components_turn_with_the_states() -> None:
    x = correlated()
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))
    found, turned = principal_components(x), principal_components(x @ turn)
    np.testing.assert_allclose(turned.variances, found.variances, rtol=1e-10)
    cosines = np.sum((turn.T @ found.vectors) * turned.vectors, axis=0)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-9)


def test_the_hankel_matrix_of_a_sine_has_rank_two() -> None:
    sine = np.sin(0.1 * np.arange(5000))[:, None]
    found = principal_components(delay_vectors(sine, 20, 1))
    assert found.variances[1] > 0.1
    assert np.all(found.variances[2:] < 1e-12)


def test_a_sine_unfolds_in_two_dimensions() -> None:
    phase = np.random.default_rng(0).uniform(0, 2 * np.pi, size=(400, 1))
    found = unfold(np.sin(0.1 * np.arange(150) + phase), delay=15, max_dimension=4, spacing=60)
    assert found.false_share[0] > 0.2
    assert found.false_dimension() == 2
    assert found.cao_dimension() == 2
    assert np.all(found.e1[1:] > 0.97)


def test_white_noise_never_unfolds() -> None:
    noise = np.random.default_rng(0).normal(size=(8, 1000))
    found = unfold(noise, delay=1, max_dimension=4, spacing=1)
    assert found.false_dimension() is None
    np.testing.assert_allclose(found.e2, 1, atol=0.05)


def test_henon_map_unfolds_in_two_dimensions() -> None:
    """E2 is far from one: the map is deterministic."""
    series = np.empty((40, 120))
    x, y = np.random.default_rng(0).uniform(-0.1, 0.1, size=(2, 40))
    for step in range(220):
        x, y = 1 - 1.4 * x**2 + y, 0.3 * x
        if step >= 100:
            series[:, step - 100] = x
    found = unfold(series, delay=1, max_dimension=4, spacing=1)
    assert found.false_dimension() == 2
    assert abs(found.e2[0] - 1) > 0.2


def test_unfolding_ignores_affine_changes_and_coinciding_points() -> None:
    rows = np.random.default_rng(0).normal(size=(4, 300))
    first, second = (unfold(r, 1, 3, 1) for r in (rows, 5 - 2 * rows))
    np.testing.assert_array_equal(first.false_share, second.false_share)
    np.testing.assert_allclose(first.e1, second.e1, rtol=1e-9)
    periodic = np.tile([0.0, 1.0, 0.5], 60)[None]
    found = unfold(periodic, delay=1, max_dimension=2, spacing=1)
    np.testing.assert_array_equal(found.false_share, 0)
    np.testing.assert_array_equal(found.e1, 1)


def test_scores_of_independent_and_of_copied_inputs() -> None:
    independent = np.random.default_rng(0).normal(size=(100_000, 6))
    assert mean_correlation(independent) < 0.01
    assert effective_rank(independent) > 0.999
    assert condition_number(independent) < 1.05
    copies = np.repeat(independent[:, :1], 6, axis=1) * np.arange(1, 7)
    assert mean_correlation(copies) == pytest.approx(1)
    assert effective_rank(copies) == pytest.approx(1 / 6, rel=1e-6)
    assert condition_number(copies) > 1e15


def test_scores_of_two_correlated_inputs() -> None:
    """Eigenvalues of the correlation matrix are 1 ± ρ."""
    random = np.random.default_rng(0)
    first, noise = random.normal(size=(2, 200_000))
    windows = np.stack([first, 0.6 * first + 0.8 * noise], axis=1)
    rho = np.corrcoef(windows.T)[0, 1]
    share = np.array([1 + rho, 1 - rho]) / 2
    assert mean_correlation(windows) == pytest.approx(rho)
    assert condition_number(windows) == pytest.approx((1 + rho) / (1 - rho))
    expected = np.exp(-np.sum(share * np.log(share))) / 2
    assert effective_rank(windows) == pytest.approx(expected)


def test_scores_ignore_the_order_and_units_of_inputs() -> None:
    windows = correlated()
    changed = windows[:, [3, 0, 4, 2, 1]] * [1, -2, 3, 4, 5] + 7
    for score in (mean_correlation, effective_rank, condition_number):
        assert score(changed) == pytest.approx(score(windows), rel=1e-9)


def test_a_linear_process_leaves_white_residuals() -> None:
    random = np.random.default_rng(0)
    rows = np.zeros((50, 1000))
    noise = random.normal(size=rows.shape)
    for step in range(2, 1000):
        rows[:, step] = 1.6 * rows[:, step - 1] - 0.8 * rows[:, step - 2] + noise[:, step]
    rows = rows[:, 200:]
    residuals = linear_residuals(rows, 4)
    np.testing.assert_allclose(residuals, noise[:, 204:], atol=0.2)
    found = score_rows(rows, 4)
    assert found.residual_correlation < 3
    assert found.lag_one_correlation == pytest.approx(1.6 / 1.8, abs=0.01)


def test_scores_are_averaged_and_condition_numbers_geometrically() -> None:
    first = Scores(0.2, 0.4, 10.0, 0.1, 0.9, 2.0, 0.5)
    second = Scores(0.4, 0.6, 1000.0, 0.3, 0.7, 4.0, 0.7)
    expected = Scores(0.3, 0.5, 100.0, 0.2, 0.8, 3.0, 0.6)
    for name, value in vars(mean_scores([first, second])).items():
        assert value == pytest.approx(getattr(expected, name))
