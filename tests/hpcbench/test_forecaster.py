"""The forecaster: scaling, targets, and local coupling against a site-by-site reference."""

from typing import Any

import numpy as np
import pytest
import torch

from hpcbench.errors import InputError
from hpcbench.models import ModelConfig
from hpcbench.models.forecaster import Forecaster, Scaling

D = 9


def scaling(num_components: int = D) -> Scaling:
    random = np.random.default_rng(0)
    return Scaling(
        mean=random.normal(size=num_components),
        std=random.uniform(1, 2, size=num_components),
        increment=random.uniform(0.1, 0.2, size=num_components),
    )


def forecaster(num_components: int = D, **settings: Any) -> Forecaster:
    torch.manual_seed(0)
    model = Forecaster(ModelConfig(hidden=6, **settings), scaling(num_components))
    model.set_dtype(torch.float64)
    return model


def states(batch: int = 2, time: int = 4, num_components: int = D) -> torch.Tensor:
    return torch.randn(batch, time, num_components, generator=torch.manual_seed(1)).double()


def test_normalise_and_restore_are_inverse() -> None:
    for coupling in ("global", "local"):
        model = forecaster(coupling=coupling)
        x = states()
        torch.testing.assert_close(model.restore(model.normalise(x)), x, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("target", ["state", "increment"])
@pytest.mark.parametrize("coupling", ["global", "local"])
def test_the_target_leads_to_the_next_state(target: str, coupling: str) -> None:
    model = forecaster(target=target, coupling=coupling)
    x = states()
    scaled = model.scaled_target(x[:, :-1], x[:, 1:])
    torch.testing.assert_close(model.next_state(x[:, :-1], scaled), x[:, 1:])


def test_local_coupling_is_the_same_network_at_every_site() -> None:
    model = forecaster(coupling="local", halo=2)
    x = states()
    scaled, state = model(x, None)
    for site in range(D):
        neighbours = torch.stack([x[..., (site + k) % D] for k in range(-2, 3)], dim=-1)
        hidden, alone = model.core(neighbours, None)
        torch.testing.assert_close(scaled[..., site], model.head(hidden)[..., 0])
        rows = slice(site, None, D)
        torch.testing.assert_close(state[0][:, rows], alone[0])


def test_local_coupling_is_translation_equivariant_and_carries_its_state() -> None:
    model = forecaster(coupling="local", halo=3)
    x = states()
    whole, _ = model(x, None)
    shifted, _ = model(x.roll(4, dims=-1), None)
    torch.testing.assert_close(whole.roll(4, dims=-1), shifted)
    first, state = model(x[:, :2], None)
    second, _ = model(x[:, 2:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)


def test_given_halos_equal_the_closed_ring() -> None:
    model = forecaster(coupling="local", halo=2)
    x = states()
    whole, _ = model(x, None)
    left = torch.cat([x[..., -2:], x[..., :6]], dim=-1)
    right = torch.cat([x[..., 2:], x[..., :2]], dim=-1)
    torch.testing.assert_close(model(left, None, halo_given=True)[0], whole[..., :4])
    torch.testing.assert_close(model(right, None, halo_given=True)[0], whole[..., 4:])


def test_weights_of_one_ring_forecast_a_larger_one() -> None:
    small, large = forecaster(D, halo=2), forecaster(3 * D, halo=2)
    large.load_state_dict(small.state_dict())
    x = states()
    tiled, _ = large(x.repeat(1, 1, 3), None)
    torch.testing.assert_close(tiled, small(x, None)[0].repeat(1, 1, 3))


def test_shared_scaling_is_that_of_all_sites_together() -> None:
    random = np.random.default_rng(3)
    data = random.normal(size=(200_000, D)) * scaling().std + scaling().mean
    shared = Scaling(data.mean(0), data.std(0), np.ones(D)).shared()
    np.testing.assert_allclose(shared.mean, data.mean(), rtol=1e-12)
    np.testing.assert_allclose(shared.std, data.std(), rtol=1e-12)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match=r"model\.halo: given 5.*at most 4"):
        forecaster(coupling="local", halo=5).check_fits(D)
    with pytest.raises(InputError, match="forecasts 9 components and the data have 8"):
        forecaster(coupling="global").check_fits(8)
    forecaster(coupling="local", halo=4).check_fits(D)


def test_one_step_loss_is_the_mean_squared_error_of_each_row() -> None:
    model = forecaster(coupling="global")
    x = states()
    scaled, _ = model(x[:, :-1], None)
    expected = ((scaled - model.scaled_target(x[:, :-1], x[:, 1:])) ** 2).mean(dim=(1, 2))
    torch.testing.assert_close(model.one_step_loss(x), expected.detach())
