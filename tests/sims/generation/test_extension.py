"""``hpcbench simulate --extend``: a finished dataset goes on as if it had never ended."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import sims
from hpcbench.cli import main
from hpcbench.data.check import check, verify
from hpcbench.data.dataset import open_dataset
from hpcbench.data.format import SCALES
from hpcbench.data.store import Store

SPECS = Path(sims.__file__).parent / "specs"
SHORT, LONG = 700, 1500


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def simulate(out: str, num_samples: int, *options: str, spec: str = "lorenz96_smoke") -> int:
    sizes = ["--sampling.num_trajectories=37", f"--sampling.num_samples={num_samples}"]
    return main(["simulate", str(SPECS / f"{spec}.toml"), *sizes, "--out", out, *options])


def same(one: str, other: str) -> None:
    with h5py.File(one) as a, h5py.File(other) as b:
        for name in (*SCALES, "time", "block"):
            np.testing.assert_array_equal(a[name][()], b[name][()])
    assert check(other) == []
    with open_dataset(one) as a, open_dataset(other) as b:
        assert a.state_sha256() == b.state_sha256()
        assert a.content_hash == b.content_hash
        assert verify(b) == []


@pytest.mark.parametrize("kernel", ["compiled", "reference"])
@pytest.mark.parametrize(
    ("before", "after"), [("file", "file"), ("parts", "file"), ("file", "parts")]
)
def test_an_extended_dataset_is_the_one_made_at_once(kernel: str, before: str, after: str) -> None:
    options = [f"--integration.kernel={kernel}"]
    assert simulate("short.h5", SHORT, *options, "--layout", before) == 0
    old = {path: path.read_bytes() for path in Path().rglob("*.h5")}
    assert simulate("long.h5", LONG, *options, "--layout", after, "--extend", "short.h5") == 0
    assert simulate("once.h5", LONG, *options) == 0
    same("once.h5", "long.h5")
    assert all(path.read_bytes() == data for path, data in old.items())
    with open_dataset("short.h5") as short, open_dataset("long.h5") as long:
        assert long.generator["extends"] == short.content_hash


@pytest.mark.parametrize("num_samples", [SHORT + 1, SHORT * 20])
def test_by_one_sample_or_many(num_samples: int) -> None:
    assert simulate("short.h5", SHORT) == 0
    assert simulate("long.h5", num_samples, "--extend", "short.h5") == 0
    assert simulate("once.h5", num_samples) == 0
    same("once.h5", "long.h5")


@pytest.mark.parametrize("block", [2, 25])
def test_an_interrupted_extension_is_continued(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], block: int
) -> None:
    assert simulate("short.h5", SHORT) == 0
    assert simulate("once.h5", LONG) == 0
    mark = Store.mark

    def interrupted(store: Store, number: int) -> None:
        mark(store, number)
        if number == block:
            raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(Store, "mark", interrupted)
        assert simulate("long.h5", LONG, "--extend", "short.h5") == 130
    capsys.readouterr()
    assert simulate("long.h5", LONG, "--resume") == 2
    assert "--extend: long.h5 was begun with it" in capsys.readouterr().err
    assert simulate("long.h5", LONG, "--resume", "--extend", "short.h5") == 0
    same("once.h5", "long.h5")


def test_spectral_schemes_keep_the_samples_and_go_on_to_rounding() -> None:
    name = "kuramoto_sivashinsky_l22_smoke"
    assert simulate("short.h5", SHORT, spec=name) == 0
    assert simulate("long.h5", LONG, "--extend", "short.h5", spec=name) == 0
    assert simulate("once.h5", LONG, spec=name) == 0
    assert check("long.h5") == []
    with (
        open_dataset("short.h5") as short,
        open_dataset("long.h5") as long,
        open_dataset("once.h5") as once,
    ):
        assert verify(long) == []
        for member in range(37):
            extended = long.trajectory(member)
            np.testing.assert_array_equal(extended[:SHORT], short.trajectory(member))
            expected = once.trajectory(member)[SHORT : SHORT + 20]
            np.testing.assert_allclose(extended[SHORT : SHORT + 20], expected, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--parameters.forcing=9"], "short.h5 is not the beginning of this dataset: parameters"),
        (["--seed=77"], "only sampling.num_samples may differ"),
        (["--sampling.num_samples=700"], "sampling.num_samples: given 700, but short.h5 has 700"),
        (["--integration.kernel=reference"], 'was made by "compiled '),
    ],
)  # fmt: skip
def test_what_cannot_be_extended(
    capsys: pytest.CaptureFixture[str], options: list[str], expected: str
) -> None:
    assert simulate("short.h5", SHORT) == 0
    capsys.readouterr()
    assert simulate("long.h5", LONG, "--extend", "short.h5", *options) == 2
    assert expected in capsys.readouterr().err
    assert not Path("long.h5").exists()


def test_in_place_is_refused_with_the_way_to_do_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate("short.h5", SHORT) == 0
    capsys.readouterr()
    assert simulate("short.h5", LONG) == 2
    assert "--extend short.h5" in capsys.readouterr().err
