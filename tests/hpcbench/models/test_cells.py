"""Every cell: the same map as PyTorch's, and the reductions between the variants."""

import inspect
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from hpcbench.config.tree import validate
from hpcbench.errors import InputError
from hpcbench.models.config import CELLS, ModelConfig, cell_class
from hpcbench.models.gated.coupled_lstm import CoupledLSTM
from hpcbench.models.gated.gru import GRU
from hpcbench.models.gated.peephole_lstm import PeepholeLSTM
from hpcbench.models.gated.stepped_lstm import SteppedLSTM
from hpcbench.models.initialisation import spectral_radius
from hpcbench.models.simple.clockwork import Clockwork, ClockworkLayer
from hpcbench.models.simple.elman import Elman
from hpcbench.models.simple.jordan import Jordan, JordanLayer
from hpcbench.models.simple.untied import Untied, UntiedLayer

pytestmark = pytest.mark.usefixtures("one_thread")

BATCH, TIME, INPUTS, HIDDEN, LAYERS = 3, 7, 4, 8, 2
EXACT = {"rtol": 0.0, "atol": 1e-12}


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(1)
    yield
    torch.set_default_dtype(torch.float32)


def build(name: str, layers: int = LAYERS, inputs: int = INPUTS, **options: object) -> nn.Module:
    cls = cell_class(name)
    cell: nn.Module = cls(inputs, HIDDEN, layers, validate(cls.Options, options, name))
    return cell.double()


def disturb(cell: nn.Module) -> nn.Module:
    """Move every parameter off its start, so that no zero hides a mistake."""
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return cell


def series(inputs: int = INPUTS, time: int = TIME) -> Tensor:
    return torch.randn(BATCH, time, inputs)


def copy_gates(ours: nn.Module, theirs: nn.Module) -> None:
    """Give PyTorch's module the weights of ours; all bias goes into bias_ih."""
    with torch.no_grad():
        for index, layer in enumerate(ours.layers):
            getattr(theirs, f"weight_ih_l{index}").copy_(layer.weight_ih)
            getattr(theirs, f"weight_hh_l{index}").copy_(layer.weight_hh)
            getattr(theirs, f"bias_ih_l{index}").copy_(layer.bias)
            getattr(theirs, f"bias_hh_l{index}").zero_()


@pytest.mark.parametrize("name", CELLS)
class TestEveryCell:
    def test_carrying_the_state_continues_the_sequence(self, name: str) -> None:
        cell = disturb(build(name))
        inputs = series()
        whole, last = cell(inputs, None)
        first, middle = cell(inputs[:, :3], None)
        second, end = cell(inputs[:, 3:], middle)
        assert whole.shape == (BATCH, TIME, getattr(cell, "num_outputs", HIDDEN))
        torch.testing.assert_close(torch.cat([first, second], 1), whole, **EXACT)
        for part, expected in zip(end, last, strict=True):
            assert part.shape[1] == BATCH
            torch.testing.assert_close(part, expected, **EXACT)

    def test_rows_do_not_see_each_other(self, name: str) -> None:
        cell = disturb(build(name))
        inputs = series()
        whole, _ = cell(inputs, None)
        alone, _ = cell(inputs[1:2], None)
        torch.testing.assert_close(alone[0], whole[1], **EXACT)

    def test_derivatives(self, name: str) -> None:
        cell = disturb(build(name))
        inputs = series(time=3).requires_grad_()
        assert torch.autograd.gradcheck(lambda x: cell(x, None)[0], inputs, fast_mode=True)

    def test_backward_pass_is_linear(self, name: str) -> None:
        """Twice the error at the output is twice every gradient, to the last bit."""
        cell = disturb(build(name))
        inputs = series().requires_grad_()
        outputs, _ = cell(inputs, None)
        leaves = [inputs, *(p for p in cell.parameters() if p.requires_grad)]
        one, two = torch.randn_like(outputs), torch.randn_like(outputs)

        def back(vector: Tensor) -> list[Tensor]:
            found = torch.autograd.grad(
                outputs, leaves, vector, retain_graph=True, materialize_grads=True
            )
            return list(found)

        for doubled, once in zip(back(2 * one), back(one), strict=True):
            assert torch.equal(doubled, 2 * once)
        for both, a, b in zip(back(one + two), back(one), back(two), strict=True):
            torch.testing.assert_close(both, a + b, **EXACT)

    def test_any_stack_height_and_length(self, name: str) -> None:
        for layers in (1, 3):
            for time in (1, 5):
                outputs, _ = build(name, layers)(series(time=time), None)
                assert outputs.shape[:2] == (BATCH, time)

    def test_the_model_section_accepts_it(self, name: str) -> None:
        assert ModelConfig(cell=name).cell_options() == cell_class(name).Options()

    def test_documented(self, name: str) -> None:
        assert ".. math::" in (inspect.getdoc(cell_class(name)) or "")


@pytest.mark.parametrize("name", [n for n in CELLS if getattr(cell_class(n), "STEPWISE", False)])
def test_stepwise_cells_have_forward_mode_and_second_derivatives(name: str) -> None:
    cell = disturb(build(name, layers=1))
    inputs = series(time=3)
    _, tangent = torch.func.jvp(lambda x: cell(x, None)[0], (inputs,), (torch.ones_like(inputs),))
    step = 1e-6
    ahead, behind = cell(inputs + step, None)[0], cell(inputs - step, None)[0]
    torch.testing.assert_close(tangent, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-8)
    inputs = series(time=2).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: cell(x, None)[0], inputs, fast_mode=True)


# ---------------------------------------------------------------------------- vanilla and Jordan


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_elman_is_torch_rnn(activation: str) -> None:
    ours = disturb(build("elman", activation=activation))
    theirs = nn.RNN(INPUTS, HIDDEN, LAYERS, nonlinearity=activation, batch_first=True)
    copy_gates(ours, theirs)
    inputs = series()
    expected, last = theirs(inputs)
    outputs, (hidden,) = ours(inputs, None)
    torch.testing.assert_close(outputs, expected, **EXACT)
    torch.testing.assert_close(hidden, last, **EXACT)


def test_elman_with_sigmoid_is_its_equation() -> None:
    cell = disturb(build("elman", layers=1, activation="sigmoid"))
    layer, inputs, hidden = cell.layers[0], series(), torch.zeros(BATCH, HIDDEN)
    outputs, _ = cell(inputs, None)
    for t in range(TIME):
        drive = layer.weight_ih @ inputs[:, t].T + layer.weight_hh @ hidden.T
        hidden = torch.sigmoid(drive.T + layer.bias)
        torch.testing.assert_close(outputs[:, t], hidden, **EXACT)


def test_identity_network_is_the_damped_oscillator() -> None:
    """x' = v, v' = F - eta v - x by Euler steps is a linear recurrent network."""
    eta, dt, num_steps = 0.3, 0.01, 400
    cell = build("elman", layers=1, inputs=1, activation="identity")
    layer = cell.layers[0]
    force = torch.sin(0.02 * torch.arange(num_steps))
    with torch.no_grad():
        layer.bias.zero_()
        layer.weight_ih.zero_()
        layer.weight_hh.zero_()
        layer.weight_ih[1, 0] = dt
        step = torch.tensor([[0.0, 1.0], [-1.0, -eta]])
        layer.weight_hh[:2, :2] = torch.eye(2) + dt * step
    start = torch.zeros(1, 1, HIDDEN)
    start[..., 0] = 1.0
    outputs, _ = cell(force[None, :, None], (start,))
    x, v = 1.0, 0.0
    for t in range(num_steps):
        x, v = x + dt * v, v + dt * (force[t].item() - eta * v - x)
        assert outputs[0, t, 0].item() == pytest.approx(x, rel=0, abs=1e-13)
        assert outputs[0, t, 1].item() == pytest.approx(v, rel=0, abs=1e-13)
    radius = spectral_radius(layer.weight_hh[:2, :2])
    assert radius == pytest.approx((1 - eta * dt + dt**2) ** 0.5, rel=1e-12)


def test_unrolled_feed_forward_network_is_the_recurrent_one_bitwise() -> None:
    cell = disturb(build("elman", layers=1))
    layer, inputs, hidden = cell.layers[0], series(), torch.zeros(BATCH, HIDDEN)
    outputs, _ = cell(inputs, None)
    for t in range(TIME):
        hidden = torch.tanh(
            torch.addmm(
                torch.addmm(layer.bias, inputs[:, t], layer.weight_ih.T), hidden, layer.weight_hh.T
            )
        )
        assert torch.equal(outputs[:, t], hidden)


def test_forced_jordan_decouples_the_steps() -> None:
    cell = disturb(build("jordan", layers=1, num_outputs=2))
    layer = cell.layers[0]
    assert isinstance(layer, JordanLayer)
    inputs, given = series(), torch.randn(BATCH, TIME, 2)
    together = layer.forced(inputs, given)
    for t in range(TIME):
        alone, _ = layer.step(inputs[:, t], (given[:, t],))
        torch.testing.assert_close(alone, together[:, t], **EXACT)


def test_jordan_on_its_own_outputs_is_the_forced_one() -> None:
    cell = disturb(build("jordan", layers=1, num_outputs=2))
    layer = cell.layers[0]
    inputs = series()
    hidden, _ = cell(inputs, None)
    own = layer.output(hidden)
    before = torch.cat([torch.zeros(BATCH, 1, 2), own[:, :-1]], 1)
    torch.testing.assert_close(layer.forced(inputs, before), hidden, **EXACT)


def test_jordan_with_identity_output_is_elman() -> None:
    jordan, elman = disturb(build("jordan")), build("elman")
    with torch.no_grad():
        for ours, theirs in zip(jordan.layers, elman.layers, strict=True):
            ours.output.weight.copy_(torch.eye(HIDDEN))
            ours.output.bias.zero_()
            theirs.weight_ih.copy_(ours.weight_ih)
            theirs.weight_hh.copy_(ours.weight_context)
            theirs.bias.copy_(ours.bias)
    inputs = series()
    torch.testing.assert_close(jordan(inputs, None)[0], elman(inputs, None)[0], **EXACT)


def test_jordan_context_remembers_a_share() -> None:
    cell = build("jordan", layers=1, memory=0.5)
    context = torch.randn(BATCH, HIDDEN)
    hidden, (after,) = cell.layers[0].step(series()[:, 0], (context,))
    torch.testing.assert_close(after, 0.5 * context + cell.layers[0].output(hidden), **EXACT)


# ---------------------------------------------------------------------------------- LSTM variants


@pytest.mark.parametrize("hidden_first", [False, True])
def test_stepped_lstm_is_torch_lstm(hidden_first: bool) -> None:
    """Also from weights W on the concatenation [h, x], hidden units first."""
    ours = disturb(build("stepped_lstm"))
    theirs = nn.LSTM(INPUTS, HIDDEN, LAYERS, batch_first=True)
    if hidden_first:
        joined = torch.randn(4 * HIDDEN, HIDDEN + INPUTS)
        with torch.no_grad():
            ours.layers[0].weight_hh.copy_(joined[:, :HIDDEN])
            ours.layers[0].weight_ih.copy_(joined[:, HIDDEN:])
        x, h = torch.randn(BATCH, INPUTS), torch.randn(BATCH, HIDDEN)
        together = torch.cat([h, x], 1) @ joined.T + ours.layers[0].bias
        apart = torch.cat(ours.layers[0].activations(x, h), 1)
        torch.testing.assert_close(apart, together, **EXACT)
    copy_gates(ours, theirs)
    inputs = series()
    start = torch.randn(LAYERS, BATCH, HIDDEN), torch.randn(LAYERS, BATCH, HIDDEN)
    expected, last = theirs(inputs, start)
    outputs, state = ours(inputs, start)
    torch.testing.assert_close(outputs, expected, **EXACT)
    for part, wanted in zip(state, last, strict=True):
        torch.testing.assert_close(part, wanted, **EXACT)


def test_parameter_counts() -> None:
    def count(name: str) -> int:
        return sum(p.numel() for p in build(name, layers=1).parameters())

    per_gate = HIDDEN * (HIDDEN + INPUTS + 1)
    assert count("stepped_lstm") == 4 * per_gate
    assert count("lstm") == 4 * per_gate + 4 * HIDDEN  # PyTorch adds two biases
    assert count("coupled_lstm") == 3 * per_gate
    assert count("peephole_lstm") == 4 * per_gate + 3 * HIDDEN
    assert count("elman") == per_gate
    assert count("untied") == 16 * per_gate


def test_the_default_is_to_remember() -> None:
    """Forget gate 1 and input gate 0: the cell does not change, nor does its gradient."""
    cell = build("stepped_lstm", layers=1)
    layer = cell.layers[0]
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        layer.bias[:HIDDEN] = -torch.inf
        layer.bias[HIDDEN : 2 * HIDDEN] = torch.inf
    start = torch.randn(1, BATCH, HIDDEN).requires_grad_()
    _, (_, last) = cell(series(time=50), (torch.zeros(1, BATCH, HIDDEN), start))
    assert torch.equal(last, start)
    (gradient,) = torch.autograd.grad(last.sum(), start)
    assert torch.equal(gradient, torch.ones_like(gradient))


@pytest.mark.parametrize("peephole", ["diagonal", "full"])
def test_peephole_lstm_without_peepholes_is_the_lstm(peephole: str) -> None:
    ours, plain = build("peephole_lstm", peephole=peephole), build("stepped_lstm")
    with torch.no_grad():
        for one, other in zip(ours.layers, plain.layers, strict=True):
            for name in ("weight_ih", "weight_hh", "bias"):
                getattr(one, name).copy_(getattr(other, name))
    inputs = series()
    # equal numbers; PyTorch's sigmoid rounds strided and contiguous memory differently
    torch.testing.assert_close(ours(inputs, None)[0], plain(inputs, None)[0], rtol=0, atol=1e-15)


def test_diagonal_peephole_is_a_full_one_with_a_diagonal_matrix() -> None:
    diagonal = disturb(build("peephole_lstm"))
    full = build("peephole_lstm", peephole="full")
    weights = diagonal.state_dict()
    for name, value in weights.items():
        weights[name] = torch.diag(value) if "peepholes" in name else value
    full.load_state_dict(weights)
    inputs = series()
    torch.testing.assert_close(diagonal(inputs, None)[0], full(inputs, None)[0], **EXACT)


@pytest.mark.parametrize("gates", [[], ["f"], ["i", "o"]])
def test_a_gate_sees_the_cell_only_where_asked(gates: list[str]) -> None:
    layer = disturb(build("peephole_lstm", layers=1, gates=gates)).layers[0]
    for gate in ("i", "f", "o"):
        seen = layer.see(gate, torch.ones(1, HIDDEN))
        assert isinstance(seen, Tensor) == (gate in gates)


def test_the_output_gate_sees_the_new_cell() -> None:
    """With i, f shut off from the old cell, o still changes with what enters the new one."""
    layer = disturb(build("peephole_lstm", layers=1, gates=["o"])).layers[0]
    x, h, c = (torch.randn(1, size) for size in (INPUTS, HIDDEN, HIDDEN))

    def output_gate(cell: Tensor) -> Tensor:
        hidden, (_, new) = layer.step(x, (h, cell))
        return hidden / torch.tanh(new)

    i, f, g, o = layer.activations(x, h)
    new = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    expected = torch.sigmoid(o + layer.peepholes["o"] * new)
    torch.testing.assert_close(output_gate(c), expected, **EXACT)
    step = 1e-6
    slope = (output_gate(c + step) - output_gate(c - step)) / (2 * step)
    exact = expected * (1 - expected) * layer.peepholes["o"] * torch.sigmoid(f)
    torch.testing.assert_close(slope, exact, rtol=0, atol=1e-8)
    assert slope.abs().min() > 1e-6


def test_coupled_cell_stays_bounded() -> None:
    cell = build("coupled_lstm", layers=1)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.copy_(3 * torch.randn_like(parameter))
    for bound in (0.5, 4.0):
        start = (torch.randn(1, BATCH, HIDDEN), bound * (2 * torch.rand(1, BATCH, HIDDEN) - 1))
        _, (_, last) = cell(5 * series(time=30), start)
        assert last.abs().max() <= max(start[1].abs().max(), 1)


def test_coupled_lstm_is_the_lstm_with_the_input_gate_tied() -> None:
    """sigmoid(-a) = 1 - sigmoid(a): the LSTM with W_i = -W_f."""
    coupled, plain = disturb(build("coupled_lstm")), build("stepped_lstm")
    with torch.no_grad():
        for ours, theirs in zip(coupled.layers, plain.layers, strict=True):
            for name in ("weight_ih", "weight_hh", "bias"):
                f, g, o = getattr(ours, name).chunk(3)
                getattr(theirs, name).copy_(torch.cat([-f, f, g, o]))
    inputs = series()
    torch.testing.assert_close(coupled(inputs, None)[0], plain(inputs, None)[0], **EXACT)


# -------------------------------------------------------------------------------------------- GRU


def test_gru_with_reset_after_is_torch_gru() -> None:
    ours = disturb(build("gru"))
    theirs = nn.GRU(INPUTS, HIDDEN, LAYERS, batch_first=True)
    copy_gates(ours, theirs)
    with torch.no_grad():
        for index, layer in enumerate(ours.layers):
            getattr(theirs, f"bias_hh_l{index}")[2 * HIDDEN :] = layer.bias_hn
    inputs = series()
    expected, last = theirs(inputs)
    outputs, (hidden,) = ours(inputs, None)
    torch.testing.assert_close(outputs, expected, **EXACT)
    torch.testing.assert_close(hidden, last, **EXACT)


@pytest.mark.parametrize("reset_after", [False, True])
def test_gru_whose_update_gate_replaces(reset_after: bool) -> None:
    """h = (1-z) h + z n is the same map with the weights of z negated."""
    cell = disturb(build("gru", layers=1, reset_after=reset_after))
    layer, inputs, hidden = cell.layers[0], series(), torch.zeros(BATCH, HIDDEN)
    outputs, _ = cell(inputs, None)
    w, u, b = (getattr(layer, name).chunk(3) for name in ("weight_ih", "weight_hh", "bias"))
    for t in range(TIME):
        x = inputs[:, t]
        reset = torch.sigmoid(x @ w[0].T + hidden @ u[0].T + b[0])
        replace = torch.sigmoid(-x @ w[1].T - hidden @ u[1].T - b[1])
        if reset_after:
            fed_back = reset * (hidden @ u[2].T + layer.bias_hn)
        else:
            fed_back = (reset * hidden) @ u[2].T
        proposed = torch.tanh(x @ w[2].T + b[2] + fed_back)
        hidden = (1 - replace) * hidden + replace * proposed
        torch.testing.assert_close(outputs[:, t], hidden, **EXACT)


@pytest.mark.parametrize("reset_after", [False, True])
def test_gru_stays_in_the_unit_cube(reset_after: bool) -> None:
    cell = build("gru", layers=1, reset_after=reset_after)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.copy_(3 * torch.randn_like(parameter))
    outputs, _ = cell(5 * series(time=30), (2 * torch.rand(1, BATCH, HIDDEN) - 1,))
    assert outputs.abs().max() <= 1


def test_fused_gru_is_the_one_with_reset_after() -> None:
    ours, stepped = disturb(build("fused_gru")), build("gru")
    with torch.no_grad():
        for index, layer in enumerate(stepped.layers):
            weights = {
                name: getattr(ours.cell, f"{name}_l{index}")
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            }
            layer.weight_ih.copy_(weights["weight_ih"])
            layer.weight_hh.copy_(weights["weight_hh"])
            layer.bias.copy_(weights["bias_ih"])
            layer.bias[: 2 * HIDDEN] += weights["bias_hh"][: 2 * HIDDEN]
            layer.bias_hn.copy_(weights["bias_hh"][2 * HIDDEN :])
    inputs, start = series(), (torch.randn(LAYERS, BATCH, HIDDEN),)
    expected, (last,) = stepped(inputs, start)
    outputs, (hidden,) = ours(inputs, start)
    torch.testing.assert_close(outputs, expected, **EXACT)
    torch.testing.assert_close(hidden, last, **EXACT)


# ------------------------------------------------------------------------------- convex ensemble


def test_convex_ensemble_is_a_convex_combination_of_its_members() -> None:
    """A linear head on it is the weighted mean of heads on the members."""
    cell = disturb(build("convex_ensemble", members=3, cell="gru"))
    inputs, head = series(), torch.randn(2, 3 * HIDDEN)
    outputs, _ = cell(inputs, None)
    weights = cell.logits.softmax(0)
    assert weights.min() > 0
    torch.testing.assert_close(weights.sum(), torch.tensor(1.0), **EXACT)
    expected = torch.zeros(BATCH, TIME, 2)
    for weight, member, block in zip(weights, cell.members, head.chunk(3, 1), strict=True):
        expected = expected + weight * member(inputs, None)[0] @ block.T
    torch.testing.assert_close(outputs @ head.T, expected, **EXACT)
    (slope,) = torch.autograd.grad((outputs @ head.T).square().sum(), cell.logits)
    assert slope.abs().max() > 0
    torch.testing.assert_close(slope.sum(), torch.tensor(0.0), rtol=0, atol=1e-10)


def test_convex_ensemble_starts_with_equal_weights_and_different_members() -> None:
    cell = build("convex_ensemble", members=4)
    assert torch.equal(cell.logits.softmax(0), torch.full((4,), 0.25))
    first, second = (cell.members[k].layers[0].weight_ih for k in (0, 1))
    assert not torch.equal(first, second)


def test_convex_ensemble_of_one_is_its_member() -> None:
    cell = disturb(build("convex_ensemble", members=1, cell="stepped_lstm"))
    inputs = series()
    assert torch.equal(cell(inputs, None)[0], cell.members[0](inputs, None)[0])


def test_convex_ensemble_refuses_options_its_members_do_not_know() -> None:
    options = {"cell": "gru", "cell_options": {"forget_bias": 1.0}}
    with pytest.raises(ValueError, match=r"cell_options of gru.*forget_bias.*reset_after"):
        ModelConfig(cell="convex_ensemble", options=options)
    with pytest.raises(InputError, match="stepped_lstm"):
        build("convex_ensemble", cell="lstm")


# ------------------------------------------------------------------- depth-gated, clockwork, untied


def test_depth_gated_lstm_with_closed_gates_is_the_stacked_lstm() -> None:
    ours = disturb(build("depth_gated_lstm"))
    theirs = nn.LSTM(INPUTS, HIDDEN, LAYERS, batch_first=True)
    copy_gates(ours, theirs)
    with torch.no_grad():
        for layer in ours.layers:
            layer.depth_ih.bias.fill_(-torch.inf)
    inputs = series()
    torch.testing.assert_close(ours(inputs, None)[0], theirs(inputs)[0], **EXACT)


def test_depth_gate_is_its_equation() -> None:
    ours = disturb(build("depth_gated_lstm"))
    x, below = torch.randn(BATCH, HIDDEN), torch.randn(BATCH, HIDDEN)
    state = torch.randn(BATCH, HIDDEN), torch.randn(BATCH, HIDDEN)
    layer = ours.layers[1]
    _, (_, cell) = layer.joined_step(x, state, below)
    plain = layer.step(x, state)[1][1]
    gate = torch.sigmoid(
        x @ layer.depth_ih.weight.T
        + layer.depth_ih.bias
        + layer.depth_cell * state[1]
        + layer.depth_below * below
    )
    torch.testing.assert_close(cell - plain, gate * below, **EXACT)


def test_clockwork_with_one_module_is_elman() -> None:
    clockwork, elman = disturb(build("clockwork", periods=[1])), build("elman")
    elman.load_state_dict(clockwork.state_dict())
    inputs = series()
    torch.testing.assert_close(clockwork(inputs, None)[0], elman(inputs, None)[0], **EXACT)


def test_clockwork_modules_hold_between_ticks_and_read_only_slower_ones() -> None:
    cell = disturb(build("clockwork", layers=1, periods=[1, 2, 4, 8]))
    layer = cell.layers[0]
    outputs, _ = cell(series(time=17), None)
    size = HIDDEN // 4
    for module, period in enumerate([1, 2, 4, 8]):
        units = outputs[..., module * size : (module + 1) * size]
        for t in range(1, 17):
            assert torch.equal(units[:, t], units[:, t - 1]) == (t % period != 0)
    outputs.square().sum().backward()
    blocks = layer.weight_hh.grad.reshape(4, size, 4, size)
    for row in range(4):
        for column in range(4):
            assert bool(blocks[row, :, column].any()) == (column >= row)


def test_clockwork_step_is_its_equation() -> None:
    cell = disturb(build("clockwork", layers=1, periods=[1, 3]))
    layer, inputs, hidden = cell.layers[0], series(), torch.zeros(BATCH, HIDDEN)
    outputs, _ = cell(inputs, None)
    module = torch.arange(HIDDEN) // (HIDDEN // 2)
    weight = layer.weight_hh * (module[None, :] >= module[:, None])
    for t in range(TIME):
        new = torch.tanh(inputs[:, t] @ layer.weight_ih.T + hidden @ weight.T + layer.bias)
        hidden = torch.where((module == 0) | (t % 3 == 0), new, hidden)
        torch.testing.assert_close(outputs[:, t], hidden, **EXACT)


def test_clockwork_cost_goes_with_the_sum_of_rates() -> None:
    layer = build("clockwork", layers=1, periods=[1, 2, 4, 8]).layers[0]
    assert isinstance(layer, ClockworkLayer)
    computed = sum(layer.num_active(tick) for tick in range(8))
    assert computed == HIDDEN / 4 * 8 * (1 + 1 / 2 + 1 / 4 + 1 / 8)


def test_clockwork_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="must divide the next"):
        ModelConfig(cell="clockwork", options={"periods": [1, 2, 3]})
    with pytest.raises(InputError, match="share evenly"):
        build("clockwork", periods=[1, 2, 4])


def test_untied_network_starts_as_the_vanilla_one() -> None:
    untied = build("untied", steps=TIME)
    elman = build("elman")
    with torch.no_grad():
        for ours, theirs in zip(untied.layers, elman.layers, strict=True):
            assert isinstance(ours, UntiedLayer)
            theirs.load_state_dict(ours.unfolded[0].state_dict())
    inputs = series()
    ours, theirs = untied(inputs, None)[0], elman(inputs, None)[0]
    assert torch.equal(ours, theirs)
    # shared-weight derivatives are the sum over the copies
    ours.square().sum().backward()
    theirs.square().sum().backward()
    for many, one in zip(untied.layers, elman.layers, strict=True):
        for name in ("weight_ih", "weight_hh", "bias"):
            summed = sum(getattr(copy, name).grad for copy in many.unfolded)
            torch.testing.assert_close(summed, getattr(one, name).grad, **EXACT)
    assert sum(p.numel() for p in untied.parameters()) == TIME * sum(
        p.numel() for p in elman.parameters()
    )


def test_untied_network_repeats_its_last_step() -> None:
    untied = disturb(build("untied", layers=1, steps=2))
    inputs = series()
    outputs, _ = untied(inputs, None)
    expected, _ = untied.layers[0].unfolded[1].step(inputs[:, 4], (outputs[:, 3],))
    assert torch.equal(outputs[:, 4], expected)


def test_unused_names_are_refused() -> None:
    with pytest.raises(InputError, match='did you mean "clockwork"'):
        cell_class("clockwrk")
    for cell in (Elman, Jordan, SteppedLSTM, PeepholeLSTM, CoupledLSTM, GRU, Clockwork, Untied):
        with pytest.raises(InputError, match="unknown key"):
            validate(cell.Options, {"forget_bais": 1.0}, "options")
