"""A training step of fast_split against backpropagation through time: seconds and memory.

    python tests/benchmarks/bench_fast_split.py [--rounds N] [--json]

Forward and backward pass of one window on one core in float32, the optimiser's step left out: it
is the same for all. Four ways to get a gradient of the same LSTM:

    fast_split      the method: fused forward steps, split backward pass
    same layer      the same layer with the missing term put back: full backpropagation by hand
    stepped_lstm    full backpropagation by autograd through the unfused cell
    nn.LSTM         full backpropagation in PyTorch's kernel

The contenders take turns; every figure is a median of CPU seconds, so that other jobs on the core
count as little as they can. Memory is the growth of a process's peak
resident memory by the first step, each contender in a process of its own. All processes get the
allocator settings of `hpcbench`'s launcher, without which page faults hide the rest.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from hpcbench.data.windows import RowRandom
from hpcbench.models.config import ModelConfig
from hpcbench.models.forecaster import Forecaster, Scaling
from hpcbench.parallel.alone import Alone
from hpcbench.training.methods.method import Method
from hpcbench.training.methods.registry import method_class
from hpcbench.training.methods.split import split_layer
from hpcbench.training.methods.split.split_layer import PRODUCT_ROWS, SplitLayer, aten
from jobs.launch.machine import ALLOCATOR
from sims.bench.command import pin

SITES, BATCH, WINDOW = 40, 32, 64
SHAPES: dict[str, dict[str, Any]] = {
    "global, 40 inputs, hidden 300, 32 rows": {"coupling": "global", "hidden": 300},
    "local, 5 inputs, hidden 32, 1280 rows": {"coupling": "local", "hidden": 32, "halo": 2},
}
CONTENDERS = {
    "fast_split": ("fast_split", "stepped_lstm"),
    "same layer": ("fast_split", "stepped_lstm"),
    "stepped_lstm": ("tbptt", "stepped_lstm"),
    "nn.LSTM": ("tbptt", "lstm"),
}
"""Name → training method and cell."""


class FullLayer(SplitLayer):
    """The split layer with the gradient through the hidden units' past put back."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor]:
        ctx.recurrent = arguments[4]
        return SplitLayer.forward(ctx, *arguments)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        z, gates, cells, squashed, weight = ctx.saved_tensors
        num_steps, num_rows, size = squashed.shape
        credit, width = outer[0].transpose(0, 1), weight.shape[1]
        to_weights = weight.new_zeros(4 * size, z.shape[2])
        chunk = max(1, PRODUCT_ROWS // num_rows)
        drive = credit.new_empty(chunk, num_rows, 4 * size)
        to_hidden, from_later = torch.zeros(2, num_rows, size, dtype=credit.dtype)
        for t in reversed(range(num_steps)):
            i, f, g, o = gates[t].chunk(4, 1)
            to_i, to_f, to_g, to_o = drive[t % chunk].split(size, 1)
            whole = to_hidden.add_(credit[t])
            to_cell = aten.tanh_backward(whole * o, squashed[t]).add_(from_later)
            aten.sigmoid_backward(to_cell * g, i, grad_input=to_i)
            aten.sigmoid_backward(to_cell * cells[t], f, grad_input=to_f)
            aten.tanh_backward(to_cell * i, g, grad_input=to_g)
            aten.sigmoid_backward(whole * squashed[t], o, grad_input=to_o)
            from_later = to_cell.mul_(f)
            torch.mm(drive[t % chunk], ctx.recurrent, out=to_hidden)
            if t % chunk == 0:
                after = min(t + chunk, num_steps)
                flat = drive[: after - t].flatten(0, 1)
                to_weights.addmm_(flat.T, z[t:after].flatten(0, 1))
        parts = to_weights.split([width, size, 1], 1)
        return None, None, None, parts[0], parts[1], parts[2][:, 0], None


def method_of(contender: str, shape: str, dtype: torch.dtype = torch.float32) -> Method:
    """Return a training method around a forecaster, the same weights for every contender."""
    name, cell = CONTENDERS[contender]
    torch.manual_seed(1)
    ones = np.ones(SITES)
    forecaster = Forecaster(ModelConfig(cell=cell, **SHAPES[shape]), Scaling(0 * ones, ones, ones))
    forecaster.set_dtype(dtype)
    cls = method_class(name)
    method: Method = cls(forecaster, cls.Options())
    method.prepare(Alone(), 1)
    return method


def states() -> Tensor:
    """Return a batch of windows of smooth series."""
    torch.manual_seed(2)
    phase, rate = torch.rand(2, BATCH, 1, SITES, dtype=torch.float64)
    t = torch.arange(WINDOW + 1, dtype=torch.float64)[None, :, None]
    return torch.sin(6 * phase + 0.3 * rate * t)


def step(contender: str, shape: str) -> Callable[[], tuple[float, float]]:
    """Return a call that does one step and gives the seconds of both passes."""
    method, batch = method_of(contender, shape), states()
    random = RowRandom(seed=1, step=0, rows=range(BATCH))
    layer = FullLayer if contender == "same layer" else SplitLayer

    def once() -> tuple[float, float]:
        method.zero_grad(set_to_none=True)
        with mock.patch.object(split_layer, "SplitLayer", layer):
            begin = time.process_time()
            loss, _ = method(batch, None, random)
            middle = time.process_time()
            loss.backward()
            return middle - begin, time.process_time() - middle

    return once


def check() -> None:
    """Compare the hand-written full gradient with autograd's before any figure counts."""
    shape = next(iter(SHAPES))
    found = []
    for contender in ("same layer", "stepped_lstm"):
        method = method_of(contender, shape, torch.float64)
        layer = FullLayer if contender == "same layer" else SplitLayer
        with mock.patch.object(split_layer, "SplitLayer", layer):
            method(states(), None, RowRandom(seed=1, step=0, rows=range(BATCH)))[0].backward()
        found.append({name: p.grad for name, p in method.named_parameters()})
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], rtol=0, atol=1e-12, msg=name)


def timings(num_rounds: int) -> list[dict[str, Any]]:
    """Return the medians of interleaved steps."""
    check()
    results = []
    for shape in SHAPES:
        steps = {name: step(name, shape) for name in CONTENDERS}
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in CONTENDERS}
        for round_ in range(num_rounds + 1):
            for name, once in steps.items():
                passes = once()
                if round_:  # the first round fills the caches
                    seconds[name].append(passes)
        for name, passes in seconds.items():
            whole = sorted(sum(both) for both in passes)
            results.append(
                {
                    "shape": shape,
                    "contender": name,
                    "forward_seconds": statistics.median(both[0] for both in passes),
                    "backward_seconds": statistics.median(both[1] for both in passes),
                    "step_seconds": statistics.median(whole),
                    "lowest": whole[0],
                    "highest": whole[-1],
                    "n": len(whole),
                }
            )
    return results


def memory(contender: str, shape: str) -> int:
    """Return the bytes by which the peak of this process grows in the first step."""
    once = step(contender, shape)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    once()
    return 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


def child(*arguments: str) -> Any:
    """Run this script with the allocator settings; return what it prints."""
    environment = {**os.environ, **{name: str(value) for name, value in ALLOCATOR.items()}}
    argv = [sys.executable, __file__, *arguments]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        pin(None)
        torch.set_num_threads(1)
        kind, *rest = arguments.child
        print(json.dumps(timings(int(rest[0])) if kind == "timings" else memory(*rest)))
        return
    results = child("--child", "timings", str(arguments.rounds))
    for result in results:
        result["peak_bytes"] = child("--child", "memory", result["contender"], result["shape"])
    if arguments.json:
        print(json.dumps({"results": results}))
        return
    print(f"{'':40}{'contender':>14}{'forward':>10}{'backward':>10}{'step':>10}{'memory':>10}")
    for result in results:
        passes = (1e3 * result[f"{name}_seconds"] for name in ("forward", "backward", "step"))
        columns = "".join(f"{value:7.1f} ms" for value in passes)
        mebibytes = result["peak_bytes"] / 2**20
        print(f"{result['shape']:40}{result['contender']:>14}{columns}{mebibytes:6.0f} MiB")


if __name__ == "__main__":
    main()
