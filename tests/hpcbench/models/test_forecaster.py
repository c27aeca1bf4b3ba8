"""The forecaster: scaling, targets, and local coupling against a site-by-site reference."""

from typing import Any

import numpy as np
import pytest
import torch

from hpcbench.config.tree import canonical_json, validate
from hpcbench.errors import InputError
from hpcbench.forecasting.large_ring import add_halo
from hpcbench.models.config import ModelConfig
from hpcbench.models.forecaster import Forecaster, Scaling
from hpcbench.parallel.ranks import Ranks

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


@pytest.mark.parametrize("halo", [3, (4, 1), (0, 5)])
def test_local_coupling_is_translation_equivariant_and_carries_its_state(halo: Any) -> None:
    model = forecaster(coupling="local", halo=halo)
    x = states()
    whole, _ = model(x, None)
    shifted, _ = model(x.roll(4, dims=-1), None)
    torch.testing.assert_close(whole.roll(4, dims=-1), shifted)
    first, state = model(x[:, :2], None)
    second, _ = model(x[:, 2:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)


@pytest.mark.parametrize("halo", [2, (3, 1), (2, 0), (0, 3)])
def test_given_halos_equal_the_closed_ring(halo: Any) -> None:
    model = forecaster(coupling="local", halo=halo)
    left, right = model.halo
    x = states()
    whole, _ = model(x, None)
    for sites in (range(4), range(4, D), range(D)):
        seen = [site % D for site in range(sites.start - left, sites.stop + right)]
        part, _ = model(x[..., seen], None, halo_given=True)
        torch.testing.assert_close(part, whole[..., sites.start : sites.stop])
    closed, _ = model(add_halo(x, model.halo, Ranks()), None, halo_given=True)
    torch.testing.assert_close(closed, whole)


def test_a_halo_of_two_widths_sees_no_more_than_asked() -> None:
    """The same network with a wider, even halo gives the same where the further weights are 0."""
    narrow = forecaster(cell="stepped_lstm", halo=[2, 1], skip=True)
    wide = forecaster(cell="stepped_lstm", halo=2, skip=True)
    assert narrow.halo == (2, 1)
    assert narrow.num_inputs == 4
    torch.nn.init.normal_(narrow.skip.weight)
    weights = narrow.state_dict()
    for name, value in wide.state_dict().items():
        if value.shape != weights[name].shape:  # a weight of the inputs: none for the site i + 2
            assert value.shape == (weights[name].shape[0], 5)
            weights[name] = torch.nn.functional.pad(weights[name], (0, 1))
    wide.load_state_dict(weights)
    x = states()
    torch.testing.assert_close(narrow(x, None)[0], wide(x, None)[0], rtol=1e-14, atol=1e-14)
    # left is where the index is smaller: of one changed site, the next two on its right hear
    hears = (narrow(x + torch.eye(D)[3], None)[0] != narrow(x, None)[0]).any(dim=(0, 1))
    assert hears.nonzero()[:, 0].tolist() == [2, 3, 4, 5]


def test_two_equal_widths_are_one_number() -> None:
    """They are one model: its checkpoints load, and its configuration has one hash."""
    one, two = ModelConfig(halo=3), validate(ModelConfig, {"halo": [3, 3]}, "run.toml")
    assert canonical_json(one) == canonical_json(two)
    assert '"halo":3,' in canonical_json(two)
    assert forecaster(halo=[3, 3]).halo == forecaster(halo=3).halo == (3, 3)
    assert '"halo":[6,3],' in canonical_json(ModelConfig(halo=(6, 3)))
    assert validate(ModelConfig, {"halo": [6, 3]}, "run.toml") == ModelConfig(halo=(6, 3))


@pytest.mark.parametrize(
    ("halo", "given"),
    [
        (-1, "-1"),
        ([2, -1], r"\[2, -1\]"),
        ([1, 2, 3], r"\[1, 2, 3\]"),
        ([4], r"\[4\]"),
        ([], r"\[\]"),
        ("4", '"4"'),
        (["6", 3], r'\["6", 3\]'),
        (4.0, "4.0"),
        (True, "true"),
        (None, "null"),
    ],
)
def test_a_halo_is_one_whole_number_or_two(halo: Any, given: str) -> None:
    with pytest.raises(InputError, match=rf"run\.toml: halo: .*such as \[6, 3\].*given {given}$"):
        validate(ModelConfig, {"halo": halo}, "run.toml")


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
    with pytest.raises(InputError, match=r"model\.halo: given \[6, 3\].*or 8 on both together"):
        forecaster(coupling="local", halo=[6, 3]).check_fits(D)
    with pytest.raises(InputError, match="forecasts 9 components and the data have 8"):
        forecaster(coupling="global").check_fits(8)
    forecaster(coupling="local", halo=4).check_fits(D)
    forecaster(coupling="local", halo=[8, 0]).check_fits(D)


def test_one_step_loss_is_the_mean_squared_error_of_each_row() -> None:
    model = forecaster(coupling="global")
    x = states()
    scaled, _ = model(x[:, :-1], None)
    expected = ((scaled - model.scaled_target(x[:, :-1], x[:, 1:])) ** 2).mean(dim=(1, 2))
    torch.testing.assert_close(model.one_step_loss(x), expected.detach())
