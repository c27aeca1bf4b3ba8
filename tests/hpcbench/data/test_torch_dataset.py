"""Windows for PyTorch's data loaders, also with worker processes."""

import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from hpcbench.data.dataset import open_dataset
from hpcbench.data.torch_dataset import WindowDataset
from hpcbench.data.windows import read_windows
from hpcbench.embedding.config import EmbeddingConfig
from hpcbench.embedding.observation import observe
from hpcbench.errors import InputError


def expected(windows: WindowDataset) -> np.ndarray:
    places = [windows.place(index) for index in range(len(windows))]
    members, starts = (np.array(column) for column in zip(*places, strict=True))
    return read_windows(windows.dataset, members, starts, windows.window)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_worker_processes_read_the_same_windows(lorenz96_file: Path, start: str) -> None:
    windows = WindowDataset(
        lorenz96_file, "train", window=32, stride=24, normalised=False, dtype=torch.float32
    )
    loader = DataLoader(
        windows,
        batch_size=5,
        num_workers=2,
        multiprocessing_context=multiprocessing.get_context(start),
    )
    read = torch.cat(list(loader)).numpy()
    assert read.shape == (8 * 8, 32, 12)
    np.testing.assert_array_equal(read, expected(windows))


def test_windows_of_a_split_are_normalised_by_the_training_split(lorenz96_file: Path) -> None:
    windows = WindowDataset(lorenz96_file, "test", window=50, dtype=torch.float64)
    assert len(windows) == 4 * 4
    with open_dataset(lorenz96_file) as dataset:
        scaled = (expected(windows).astype(np.float64) - dataset.mean) / dataset.std
        assert {windows.place(i)[0] for i in range(16)} == set(dataset.members("test").tolist())
    for index in range(len(windows)):
        assert windows[index].dtype == torch.float64
        np.testing.assert_array_equal(windows[index].numpy(), scaled[index])
    np.testing.assert_array_equal(windows[-1], windows[15])
    with pytest.raises(IndexError):
        windows[16]


def test_what_is_pickled_is_a_path_and_settings(lorenz96_file: Path) -> None:
    windows = WindowDataset(lorenz96_file, window=10)
    text = pickle.dumps(windows)
    assert len(text) < 2000
    np.testing.assert_array_equal(pickle.loads(text)[3], windows[3])  # noqa: S301 (our own)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_dataset_is_pickled_as_its_path(lorenz96_file: Path, stride: int) -> None:
    with observe(open_dataset(lorenz96_file), EmbeddingConfig(stride=stride)) as dataset:
        text = pickle.dumps(dataset)
        assert len(text) < 1000
        with pickle.loads(text) as again:  # noqa: S301 (our own)
            assert type(again) is type(dataset)
            assert again.header == dataset.header
            np.testing.assert_array_equal(again.trajectory(3), dataset.trajectory(3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 201}, "window: given 201; .* valid: 1 to 200"),
        ({"window": 0}, "window: given 0"),
        ({"window": 4, "stride": 0}, "stride: given 0"),
        ({"window": 4, "dtype": torch.float16}, "dtype: given torch.float16; valid"),
        ({"window": 4, "split": "tests"}, 'did you mean "test"'),
    ],
)
def test_bad_settings(lorenz96_file: Path, settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        WindowDataset(lorenz96_file, **settings)  # type: ignore[arg-type]
