"""Our distributed echo state network and reservoirpy's: same data, same size, same forecasts.

    python tests/benchmarks/bench_reservoirs.py DATA.h5 [--units N] [--trajectories N] [--json]

Both read all components, know nothing of their neighbourhood, and predict the normalised increment
from the reservoir, with the same spectral radius, connections per unit, input scale, leak and
penalty; ours also squares every second unit unless ``--plain``. Both see the same training
trajectories with the same washout, and forecast the same initial conditions of the test split.
reservoirpy comes with the extra "baselines".
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hpcbench.data.dataset import Dataset, open_dataset
from hpcbench.data.windows import RowRandom
from hpcbench.errors import EnvironmentLacks, HpcbenchError
from hpcbench.forecasting.evaluation import ForecastConfig, initial_conditions
from hpcbench.forecasting.free_run import free_run
from hpcbench.forecasting.metrics import nrmse, valid_prediction_time
from hpcbench.models.config import ModelConfig
from hpcbench.models.forecaster import Forecaster, training_scaling
from hpcbench.parallel.alone import Alone
from hpcbench.training.methods.registry import method_class

RADIUS, DEGREE, INPUT_SCALE, BIAS_SCALE, PENALTY, WASHOUT = 0.4, 10, 0.05, 0.5, 1e-9, 100


def ours(
    training: np.ndarray, warm: np.ndarray, horizon: int, units: int, dataset: Dataset, plain: bool
) -> np.ndarray:
    """Return forecasts ``(row, horizon, component)`` of the cell echo_state with ridge."""
    options = {"spectral_radius": RADIUS, "degree": DEGREE, "input_scale": INPUT_SCALE}
    options |= {"bias_scale": BIAS_SCALE, "squared": not plain}
    torch.manual_seed(1)
    config = ModelConfig(cell="echo_state", hidden=units, coupling="global", options=options)
    forecaster = Forecaster(config, training_scaling(dataset))
    forecaster.set_dtype(torch.float64)
    cls = method_class("ridge")
    method = cls(forecaster, cls.Options(penalty=PENALTY, washout=WASHOUT))
    method.prepare(Alone(), 1)
    states = forecaster.normalise(torch.from_numpy(training))
    for row in range(len(states)):
        method.update(states[row : row + 1], None, RowRandom(seed=1, step=row, rows=range(1)))
    method.settle()
    return free_run(forecaster, warm, horizon, Alone(), show=False)


def reservoirpy(
    training: np.ndarray, warm: np.ndarray, horizon: int, units: int, dataset: Dataset
) -> np.ndarray:
    """Return forecasts ``(row, horizon, component)`` of reservoirpy's Reservoir and Ridge."""
    try:
        from reservoirpy.mat_gen import uniform
        from reservoirpy.nodes import Reservoir, Ridge
    except ImportError as error:
        raise EnvironmentLacks(
            f'reservoirpy is not installed ({error}): pip install ".[baselines]"'
        ) from None
    scaling = training_scaling(dataset)
    states = (training - scaling.mean) / scaling.std
    series = [row[:-1] for row in states]
    targets = [np.diff(row, axis=0) / scaling.increment for row in states]
    reservoir = Reservoir(
        units,
        sr=RADIUS,
        lr=1.0,
        rc_connectivity=DEGREE / units,
        input_connectivity=1.0,
        Win=uniform(low=-1, high=1),
        W=uniform(low=-1, high=1),
        bias=uniform(low=-BIAS_SCALE, high=BIAS_SCALE),
        input_scaling=INPUT_SCALE,
        seed=1,
    )
    # its penalty stands beside sums over samples, ours beside means
    num_samples = sum(len(row) - WASHOUT for row in series)
    readout = Ridge(ridge=PENALTY * num_samples)
    reservoir.initialize(series[0])
    features = []
    for row in series:
        reservoir.reset()
        features.append(reservoir.run(row)[WASHOUT:])
    readout.fit(features, [row[WASHOUT:] for row in targets])
    forecasts = np.empty((len(warm), horizon, warm.shape[2]))
    for row, known in enumerate((warm - scaling.mean) / scaling.std):
        reservoir.reset()
        hidden, present = reservoir.run(known)[-1], known[-1]
        for sample in range(horizon):
            present = present + scaling.increment * readout(hidden)
            forecasts[row, sample] = present
            hidden = reservoir(present)
    return forecasts * scaling.std + scaling.mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--units", type=int, default=1000)
    parser.add_argument("--trajectories", type=int, default=16)
    parser.add_argument("--plain", action="store_true", help="no squares in ours")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset = open_dataset(arguments.data)
    config = ForecastConfig(initial_conditions=32, warm_up=100, horizon=6.0)
    chosen = initial_conditions(dataset, config)

    def piece(first: int, length: int) -> np.ndarray:
        starts = zip(chosen.members, chosen.samples, strict=True)
        pieces = [dataset.trajectory(m)[s + first : s + first + length] for m, s in starts]
        return np.array(pieces, dtype=np.float64)

    warm, truth = piece(0, config.warm_up), piece(config.warm_up, chosen.horizon)
    members = dataset.members("train")[: arguments.trajectories]
    training = np.array([dataset.trajectory(m) for m in members], dtype=np.float64)
    common = (training, warm, chosen.horizon, arguments.units, dataset)
    results: list[dict[str, Any]] = []
    for name, forecast_by in (
        ("hpcbench", lambda: ours(*common, arguments.plain)),
        ("reservoirpy", lambda: reservoirpy(*common)),
    ):
        begin = time.process_time()
        error = nrmse(forecast_by(), truth, dataset.std)
        vpt, _ = valid_prediction_time(error, dataset.sample_interval, chosen.lyapunov_exponent)
        seconds = time.process_time() - begin
        spread = float(vpt.std(ddof=1) / np.sqrt(len(vpt)))
        mean = float(vpt.mean())
        results.append({"name": name, "vpt": mean, "standard_error": spread, "seconds": seconds})
    if arguments.json:
        print(json.dumps({"results": results}))
        return
    for result in results:
        print("{name:12} VPT {vpt:.2f} ± {standard_error:.2f}, {seconds:.0f} s".format(**result))


if __name__ == "__main__":
    try:
        main()
    except HpcbenchError as error:
        raise SystemExit(f"bench_reservoirs: {error}") from None
