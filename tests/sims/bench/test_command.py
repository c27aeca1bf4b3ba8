"""The kernels' own benchmark: what it prints, not how fast anything is."""

import argparse
import json
import os

import pytest

from hpcbench.cli import main
from hpcbench.errors import InputError
from sims.bench import command
from sims.kernels.measure import Work, interleaved_rates, kuramoto_sivashinsky_flops


@pytest.fixture
def run(capsys):
    allowed = os.sched_getaffinity(0)

    def run(*words):
        parser = argparse.ArgumentParser()
        parser.add_argument("--json", action="store_true")
        command.add_arguments(parser)
        assert command.command(parser.parse_args(["kernels", *words])) == 0
        return capsys.readouterr().out

    yield run
    os.sched_setaffinity(0, allowed)


def test_json_holds_rates_with_spread_and_shares_of_the_limits(run):
    document = json.loads(run("--json", "--rounds", "2", "--only", "ring of 1000000, float32"))
    assert document["rounds"] == 2
    assert document["variant"]
    results = {r["name"].strip(): r for r in document["results"]}
    ring = results["lorenz96 ring of 1000000, float32"]
    assert ring["unit"] == "updates/s"
    assert 0 < ring["lowest"] <= ring["value"] <= ring["highest"]
    assert results["of the multiply-add limit"]["value"] > 0
    assert results["of the triad limit"]["value"] > 0
    assert results["multiply-add float32"]["unit"] == "flop/s"
    assert results["triad float32"]["unit"] == "B/s"


def test_text_has_one_line_per_result(run):
    lines = run("--rounds", "1", "--only", "40 sites × 1024, float32").splitlines()
    assert lines[0].startswith("kernels: ")
    assert sum("updates/s" in line for line in lines) == 2


def test_io_is_measured_against_the_raw_write_and_the_kernel(tmp_path, capsys):
    allowed = os.sched_getaffinity(0)
    arguments = ["bench", "io", "--folder", str(tmp_path), "--megabytes=4", "--rounds=2"]
    assert main([*arguments, "--json"]) == 0
    os.sched_setaffinity(0, allowed)
    captured = capsys.readouterr()
    results = {r["name"].strip(): r for r in json.loads(captured.out)["results"]}
    assert results["raw write"]["unit"] == "B/s"
    assert results["dataset, every step saved"]["n"] == 2
    assert results["of the raw write"]["value"] > 0
    assert results["kernel alone, 100 steps per sample"]["unit"] == "updates/s"
    assert results["of the kernel alone"]["value"] > 0
    assert list(tmp_path.iterdir()) == []
    assert main(["bench", "io", "--folder", str(tmp_path / "nowhere")]) == 2
    assert main(["bench", "io", "--megabytes", "0"]) == 2
    os.sched_setaffinity(0, allowed)


def test_large_trajectories_are_measured_alone_and_by_all_ranks(run_cli, capsys):
    allowed = os.sched_getaffinity(0)
    options = ["bench", "space", "--sites=10000", "--points=4096", "--rounds=2", "--json"]
    assert main(options) == 0
    os.sched_setaffinity(0, allowed)
    names = [r["name"] for r in json.loads(capsys.readouterr().out)["results"]]
    expected = ["lorenz96 ring of 10000, 1 rank", "kuramoto_sivashinsky 4096 points, 1 rank"]
    assert names == expected
    document = json.loads(run_cli(options, ranks=2).stdout)
    assert document["ranks"] == 2
    results = document["results"]
    assert [r["n"] for r in results] == [2] * 8
    assert [r["unit"] for r in results] == 2 * ["updates/s", "updates/s", "", ""]
    for one, many, efficiency, exchange in (results[:4], results[4:]):
        assert one["name"].endswith("1 rank")
        assert many["name"].endswith("2 ranks")
        ratio = many["highest"] / (2 * one["lowest"])
        assert 0 < efficiency["lowest"] <= efficiency["highest"] <= ratio
        assert 0 < exchange["value"] < 1
    assert main(["bench", "space", "--points", "4097"]) == 2
    assert main(["bench", "space", "--sites", "3"]) == 2


def test_io_is_measured_on_ranks(tmp_path, run_cli):
    arguments = ["bench", "io", "--folder", tmp_path, "--megabytes=4", "--rounds=1", "--json"]
    done = run_cli(arguments, ranks=2)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["ranks"] == 2
    assert all(result["value"] > 0 for result in document["results"])
    assert list(tmp_path.iterdir()) == []


def test_wrong_options_are_refused(run):
    with pytest.raises(InputError, match="--rounds"):
        run("--rounds", "0")
    with pytest.raises(InputError, match=r"--only: .*lorenz96 ring"):
        run("--only", "lorenz69")
    with pytest.raises(InputError, match="--core: 4096"):
        run("--core", "4096")


def test_work_is_timed_in_turns():
    order = []

    def spin(name):
        order.append(name)
        sum(range(300_000))

    works = [Work(name, lambda name=name: spin(name), 1.0) for name in "ab"]
    rates = interleaved_rates(works, 3)
    assert [len(rates[name]) for name in "ab"] == [3, 3]
    turns = [name for name, before in zip(order, [None, *order], strict=False) if name != before]
    assert turns == list("ab" * 4)  # calibration, then the rounds


def test_flops_follow_from_the_passes():
    # 64 = 8 · 8: two passes of 60 flops per 8 points and direction, one of them with twiddles,
    # squares, and the updates; a complex point is two grid points
    per_evaluation = 2 * (60 + 42) / 8 + 2 + 2 * 60 / 8
    assert kuramoto_sivashinsky_flops(64, "etdab4") == pytest.approx((per_evaluation + 18) / 2)
    per_evaluation += 2 * (60 + 42) / 8
    assert kuramoto_sivashinsky_flops(512, "etdrk4") == pytest.approx((4 * per_evaluation + 40) / 2)
