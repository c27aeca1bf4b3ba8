"""Examples of the gallery: what is exact in them, and what theory says of the rest."""

import numpy as np
import pytest
import torch

from hpcbench.errors import InputError
from hpcbench.forecasting.model_lyapunov import lyapunov_spectrum
from hpcbench.models.gated.stepped_lstm import GatedOptions, LSTMLayer
from hpcbench.models.simple.elman import ElmanLayer, ElmanOptions
from jobs.gallery import spectra
from jobs.gallery.examples import (
    gradient_lag,
    logistic,
    oscillator,
    recall,
    regimes,
    sine,
    split_gradient,
)


class TestSine:
    def test_windows_of_a_scalar_series(self) -> None:
        seen, following = sine.windows_of(np.arange(6.0), 4)
        assert seen.tolist() == [[0, 1, 2, 3], [1, 2, 3, 4]]
        assert following.tolist() == [4, 5]

    def test_recursive_forecast_with_the_exact_recursion_is_the_truth(self) -> None:
        time, values = sine.sine_wave(1000)
        predict = sine.exact_prediction(time[1] - time[0])
        forecast = sine.recursive_forecast(predict, values[780:800], 200)
        np.testing.assert_allclose(forecast, values[800:], atol=1e-10)

    @pytest.mark.parametrize("cell", ["elman", "lstm"])
    def test_validation_error_falls_by_orders_of_magnitude(self, cell: str) -> None:
        settings = sine.Settings(epochs=12, cells=[cell])
        series = sine.compute(settings)
        _, values = sine.sine_wave(settings.num_samples)
        constant = np.mean((values[800:] - values[:800].mean()) ** 2)
        assert series.validation[cell].min() < 3e-3 * constant
        assert series.forecast[cell].shape == (200,)


class TestOscillator:
    def test_identity_network_is_eulers_method(self) -> None:
        settings = oscillator.Settings(num_steps=2000)
        states, force = oscillator.euler_solution(settings)
        network = oscillator.linked_network(settings.damping, settings.step)
        with torch.no_grad():
            found = network(torch.from_numpy(force), torch.zeros(2, dtype=torch.float64))
        np.testing.assert_allclose(found, states[1:, 0], atol=1e-13, rtol=0)
        assert np.abs(states[1:, 0]).max() > 1

    @pytest.mark.parametrize(("damping", "step"), [(0.2, 0.05), (0.1, 0.2)])
    def test_spectral_radius_of_the_network(self, damping: float, step: float) -> None:
        network = oscillator.linked_network(damping, step)
        radius = torch.linalg.eigvals(network.layer.weight_hh.detach()).abs().max()
        assert float(radius) == pytest.approx(np.sqrt(1 - damping * step + step**2), abs=1e-15)
        assert (float(radius) < 1) == (step < damping)

    def test_training_finds_the_oscillator(self) -> None:
        series = oscillator.compute(oscillator.Settings(num_steps=300))
        np.testing.assert_allclose(series.trained, series.euler, atol=1e-6)
        np.testing.assert_allclose(series.eigenvalues, np.sqrt(1 - 0.2 * 0.05 + 0.05**2), atol=1e-8)


@pytest.mark.parametrize(
    ("rate", "limit"),
    [
        (0.7, [0]),
        (2.5, [0.6]),
        (3.4, [0.451963, 0.842154]),
        (3.5, [0.382820, 0.500884, 0.826941, 0.874997]),
        (3.55, [0.354800, 0.370326, 0.506031, 0.540475, 0.812656, 0.827805, 0.881684, 0.887371]),
        (3.9, []),
    ],
)
def test_logistic_map_ends_on_its_cycle(rate: float, limit: list[float]) -> None:
    np.testing.assert_allclose(logistic.limit_cycle(rate, 0.1, 20_000), limit, atol=2e-6)
    assert logistic.orbit(rate, 0.1, 1).tolist() == [0.1, pytest.approx(rate * 0.09)]


class TestGradientLag:
    @pytest.mark.parametrize("radius", [0.9, 1.1])
    def test_linear_network_keeps_to_the_spectral_radius(self, radius: float) -> None:
        settings = gradient_lag.Settings(radii=[radius], forget_biases=[], rows=4)
        norms = gradient_lag.compute(settings)[f"linear RNN, ρ(W) = {radius:g}"]
        np.testing.assert_allclose(norms, radius ** np.arange(201), rtol=1e-11)

    def test_tanh_network_has_the_slope_of_its_lyapunov_exponent(self) -> None:
        torch.manual_seed(0)
        layer = ElmanLayer(1, 16, ElmanOptions(spectral_radius=0.8)).double()
        inputs = torch.randn(8, 1200, 1, dtype=torch.float64)
        norms = gradient_lag.gradient_norms(layer, inputs, 1100)
        slope = np.log(norms[1050] / norms[50]) / 1000

        driven = iter(inputs.unbind(1))

        def step(rows: torch.Tensor) -> torch.Tensor:
            return layer.step(next(driven), (rows,))[0]

        start = torch.zeros(8, 16, dtype=torch.float64)
        exponent = lyapunov_spectrum(step, start, 1, 1000, transient=150).exponents[0]
        assert abs(exponent) > 0.05
        assert slope == pytest.approx(exponent, abs=0.01)

    def test_norms_are_those_of_the_jacobian(self) -> None:
        torch.manual_seed(0)
        layer = LSTMLayer(1, 3, GatedOptions()).double()
        inputs = torch.randn(1, 3, 1, dtype=torch.float64)
        norms = gradient_lag.gradient_norms(layer, inputs, 2, seed=5)

        def one(state: torch.Tensor, t: int) -> torch.Tensor:
            return torch.cat(layer.step(inputs[:, t], (state[:, :3], state[:, 3:]))[1], 1)

        first = one(torch.zeros(1, 6, dtype=torch.float64), 0).detach()
        second = one(first, 1).detach()
        jacobian = torch.autograd.functional.jacobian
        late = jacobian(lambda s: one(s, 2), second)[0, :, 0]
        early = jacobian(lambda s: one(s, 1), first)[0, :, 0]
        random = torch.Generator().manual_seed(5)
        u = torch.randn(1, 6, dtype=torch.float64, generator=random)[0]
        u /= u.norm()
        expected = [1.0, float((late.T @ u).norm()), float((early.T @ late.T @ u).norm())]
        np.testing.assert_allclose(norms, expected, rtol=1e-12)

    def test_open_forget_gate_is_a_conveyor_belt(self) -> None:
        layer = LSTMLayer(1, 4, GatedOptions(forget_bias=1000.0)).double()
        with torch.no_grad():
            layer.bias[:4] = -1000.0  # the input gate stays shut
        before = torch.randn(1, 4, dtype=torch.float64)
        inputs = torch.randn(1000, 1, 1, dtype=torch.float64)

        def cell_after(cell: torch.Tensor) -> torch.Tensor:
            state: tuple[torch.Tensor, ...] = (torch.zeros(1, 4, dtype=torch.float64), cell)
            for present in inputs:
                _, state = layer.step(present, state)
            return state[1]

        assert torch.equal(cell_after(before), before)
        jacobian = torch.autograd.functional.jacobian(cell_after, before)[0, :, 0]
        assert torch.equal(jacobian, torch.eye(4, dtype=torch.float64))


class TestRegimes:
    def test_rotation_neither_grows_nor_decays(self) -> None:
        step = regimes.linear_map(regimes.rotation(0.3))
        start = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
        (found,) = regimes.exponents(step, start, regimes.Settings())
        assert abs(found) < 1e-12
        turned = regimes.trajectory(step, start[0], 50)
        angle = 0.3 * np.arange(51)
        np.testing.assert_allclose(turned, np.stack([np.cos(angle), np.sin(angle)], 1), atol=1e-13)

    def test_contraction_settles_at_the_rate_of_its_spectral_radius(self) -> None:
        weights = regimes.random_weights(1, 30, 3)
        symmetric = weights + weights.mT
        contraction = 0.9 * symmetric / torch.linalg.matrix_norm(symmetric, 2)
        step = regimes.tanh_maps(contraction)
        start = torch.ones(1, 30, dtype=torch.float64)
        (found,) = regimes.exponents(step, start, regimes.Settings())
        assert found == pytest.approx(np.log(0.9), abs=1e-6)
        assert np.abs(regimes.trajectory(step, start[0], 400)[-1]).max() < 1e-15

    def test_random_networks_turn_chaotic_near_one(self) -> None:
        settings = regimes.Settings(gains=[0.5, 1.0, 1.5], networks=6)
        settled, edge, chaotic = regimes.random_exponents(settings)
        np.testing.assert_allclose(settled, np.log(0.5 * 1.04), atol=0.06)
        assert settled.mean() == pytest.approx(-0.657, abs=0.03)
        assert edge.mean() == pytest.approx(0.0, abs=0.04)
        assert 0.0 < chaotic.mean() < 0.1
        assert chaotic.max() > 0.02

    def test_drawn_network_must_exist(self) -> None:
        with pytest.raises(ValueError, match="drawn_network: given 8; valid: 0 to 7"):
            regimes.Settings(drawn_network=8)


class TestRecall:
    def test_sequences_start_with_the_sign(self) -> None:
        random = torch.Generator().manual_seed(0)
        inputs, signs = recall.sequences(50, 7, 0.1, random)
        assert inputs.shape == (50, 8, 2)
        assert torch.equal(inputs[:, 0, 0], signs)
        assert set(signs.tolist()) == {-1.0, 1.0}
        assert inputs[:, 1:, 0].abs().max() < 1
        assert torch.equal(inputs[..., 1], torch.eye(8)[0].expand(50, 8))

    def test_short_delays_are_learned(self) -> None:
        settings = recall.Settings(lags=[5])
        assert recall.accuracy(recall.CONTESTANTS[3], 5, settings) > 0.95

    def test_longest_lag_solved_counts_from_the_shortest(self) -> None:
        lags = [10, 30, 100]
        assert recall.longest_solved(lags, np.array([1.0, 0.96, 1.0])) == 100
        assert recall.longest_solved(lags, np.array([1.0, 0.5, 1.0])) == 10
        assert recall.longest_solved(lags, np.array([0.5, 1.0, 1.0])) == 0


class TestSplitGradient:
    @pytest.fixture
    def methods(self) -> dict[str, split_gradient.Method]:
        from hpcbench.models.config import ModelConfig
        from hpcbench.models.forecaster import Forecaster, Scaling

        torch.manual_seed(1)
        ones = np.ones(10)
        forecaster = Forecaster(ModelConfig(hidden=6, halo=2), Scaling(0 * ones, ones, ones))
        forecaster.set_dtype(torch.float64)
        kinds = {name: split_gradient.method_class(name) for name in split_gradient.PAIR}
        return {name: kind(forecaster, kind.Options()) for name, kind in kinds.items()}

    def windows(self, length: int) -> torch.Tensor:
        return torch.randn(3, length + 1, 10, dtype=torch.float64)

    def test_single_steps_agree(self, methods: dict[str, split_gradient.Method]) -> None:
        # U has no gradient from the zero state, and its cosine would be 0 / 0
        split, full = (
            split_gradient.gradients(methods[name], states)
            for states in [self.windows(1)]
            for name in split_gradient.PAIR
        )
        assert split.keys() == full.keys()
        for name in full:
            torch.testing.assert_close(split[name], full[name], rtol=1e-12, atol=1e-14)

    def test_without_recurrent_weights_they_agree(
        self, methods: dict[str, split_gradient.Method]
    ) -> None:
        with torch.no_grad():
            for name, weight in methods["tbptt"].forecaster.named_parameters():
                if "weight_hh" in name:
                    weight.zero_()
        for found in split_gradient.compare(methods, self.windows(12)).values():
            assert found.cosine == pytest.approx(1.0, abs=1e-12)
            assert found.ratio == pytest.approx(1.0, abs=1e-12)

    def test_otherwise_they_do_not(self, methods: dict[str, split_gradient.Method]) -> None:
        found = split_gradient.compare(methods, self.windows(12))
        assert set(found) == {*split_gradient.GROUPS, "all parameters"}
        assert all(0.5 < each.cosine < 1 - 1e-6 for each in found.values())


def test_spectrum_of_lorenz63_adds_up_to_its_divergence() -> None:
    exponents = spectra.system_exponents("lorenz63", 0.01, 3, 500, 2)
    assert exponents.sum() == pytest.approx(-(10 + 1 + 8 / 3), abs=0.01)
    pair = spectra.Spectra(np.array([0.9, 0.0, -14.5]), np.array([0.9, 0.0, -9.0]))
    assert pair.dimensions == (pytest.approx(2 + 0.9 / 14.5), pytest.approx(2.1))


def test_settings_out_of_range_are_refused() -> None:
    from hpcbench.config.tree import validate

    with pytest.raises(InputError, match="window"):
        validate(sine.Settings, {"window": 1}, "gallery")
