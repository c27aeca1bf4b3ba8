"""A study becomes points: crossed, zipped, filtered, derived, checked, named by content."""

import argparse
import json
import time
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jobs
from hpcbench.config.toml_text import toml_text
from hpcbench.config.tree import read_config, validate
from hpcbench.errors import InputError
from hpcbench.run import source_version
from hpcbench.training.run_config import RunConfig
from jobs.commands import plan
from jobs.records.study_folder import StudyFolder, describe
from jobs.site.profile import read_site
from jobs.study.file import Study, read_study
from jobs.study.points import Plan, plan_study

STUDIES = sorted(Path(jobs.__file__).parent.glob("studies/*.toml"))
SPECS = sorted(Path(jobs.__file__).parent.glob("specs/*.toml"))
SPEC = "sims/specs/lorenz96_smoke.toml"


def study(**tables: Any) -> Study:
    base = {
        "study": {"name": "test"},
        "dataset": {"spec": SPEC},
        "train": {"steps": 5, "global_batch": 64},
        "repeat": {"min": 1},
    }
    return validate(Study, {**base, **tables}, "study.toml")


def planned(**tables: Any) -> Plan:
    return plan_study(study(**tables), Path("study.toml"))


def fails(match: str, **tables: Any) -> None:
    with pytest.raises(InputError, match=match):
        planned(**tables)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_studies_that_come_with_the_program(path: Path) -> None:
    points = plan_study(read_study(path), path).points
    assert len({point.id for point in points}) == len(points) > 0


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_specs_that_come_with_the_program(path: Path) -> None:
    data = read_config(RunConfig, path).dataset.spec
    assert data is not None
    assert (path.parents[2] / data).exists()


def test_grid_and_zip_cross_with_the_ranks() -> None:
    points = planned(
        axes={
            "grid": {"backend": ["mpi", "ddp"]},
            "zip": {"size": {"model.hidden": [8, 16, 32], "train.window": [4, 8, 16]}},
        },
        scaling={"ranks": [1, 2]},
    ).points
    assert len(points) == 2 * 3 * 2
    assert {(p.config["model"]["hidden"], p.config["train"]["window"]) for p in points} == {
        (8, 4),
        (16, 8),
        (32, 16),
    }
    assert Counter(p.config["train"]["backend"] for p in points) == {"mpi": 6, "ddp": 6}


def test_values_of_an_axis_may_be_lists() -> None:
    """A halo is one number or two: ``[2, 4]`` as an axis is two points, ``[[2, 4]]`` is one."""
    for values, halos in (
        ([2, 4], [2, 4]),
        ([[2, 4]], [[2, 4]]),
        ([[4, 4], [6, 3]], [4, [6, 3]]),
    ):
        points = planned(axes={"grid": {"halo": values}}).points
        assert [point.config["model"]["halo"] for point in points] == halos
        assert len({point.id for point in points}) == len(halos)
    (plain,) = planned(axes={"grid": {"halo": [4]}}).points
    assert plain.id == planned().points[0].id
    fails(
        r"halo=\[1, 2, 3\].*model\.halo: .*given \[1, 2, 3\]", axes={"grid": {"halo": [[1, 2, 3]]}}
    )


CASES = [
    {"name": "plain"},
    {"name": "wide", "model": {"hidden": 64}, "train": {"window": 8, "options": {"noise": 0.1}}},
    {"name": "gru", "model": {"cell": "gru"}},
]


def test_cases_set_what_they_name_and_cross_with_the_rest() -> None:
    points = planned(axes={"grid": {"seed": [1, 2]}, "case": CASES}, model={"hidden": 16}).points
    assert [point.varied for point in points] == [
        {"seed": seed, "case": name} for seed in (1, 2) for name in ("plain", "wide", "gru")
    ]
    found = [
        (p.config["model"]["cell"], p.config["model"]["hidden"], p.config["train"]["window"])
        for p in points[:3]
    ]
    assert found == [("lstm", 16, 16), ("lstm", 64, 8), ("gru", 16, 16)]
    assert [p.config["train"]["options"] for p in points[:3]] == [{}, {"noise": 0.1}, {}]


def test_wrong_cases() -> None:
    fails("a name of its own.*plain", axes={"case": [{"name": "plain"}, {"name": "plain"}]})
    fails(r"case big.*train\.windw", axes={"case": [{"name": "big", "train": {"windw": 8}}]})
    fails("case=big.*window.*greater", axes={"case": [{"name": "big", "train": {"window": 0}}]})
    fails("varies in two places", axes={"case": CASES, "grid": {"window": [4, 8]}})
    fails("the same run as", axes={"case": [{"name": "one"}, {"name": "other"}]})


def test_no_run_is_planned_twice() -> None:
    """Values that are written differently may mean the same run."""
    fails(r"halo=\[4, 4\]\): the same run as .*halo=4\)", axes={"grid": {"halo": [4, [4, 4]]}})
    columns = {"hidden": [8, 16, 8], "window": [4, 4, 4]}
    fails(r"the same run", axes={"zip": {"size": columns}})


def test_where_and_exclude() -> None:
    points = planned(
        axes={
            "where": ["ranks <= 4"],
            "exclude": ["backend == 'none' and ranks > 1"],
            "grid": {"backend": ["none", "mpi"]},
        },
        scaling={"ranks": [1, 2, 4, 8]},
    ).points
    found = {(p.config["train"]["backend"], p.ranks) for p in points}
    assert found == {("none", 1), ("mpi", 1), ("mpi", 2), ("mpi", 4)}


def test_conditions_see_defaults_and_derived_values() -> None:
    points = planned(
        derived={"train.carry": "window * 4", "train.window": "8"},
        axes={"where": ["layers == 1 and window == 8 and carry > window"]},
    )
    assert points.points[0].config["train"]["carry"] == 64  # of the default window, in order


def test_weak_scaling_follows_its_law() -> None:
    points = planned(
        scaling={
            "mode": "weak",
            "ranks": [1, 2, 4],
            "law": {"train.global_batch": "16 * ranks"},
            "fixed": ["train.global_batch / ranks"],
        }
    ).points
    assert [p.config["train"]["global_batch"] for p in points] == [16, 32, 64]


def test_repeats_differ_by_their_seed_alone() -> None:
    points = planned(study={"name": "x", "seed": 7}, repeat={"min": 3}).points
    assert [p.config["seed"] for p in points] == [7, 8, 9]
    assert len({p.id for p in points}) == 3
    assert len({json.dumps(p.config | {"seed": 0}) for p in points}) == 1


def test_orders() -> None:
    grid = {"grid": {"backend": ["mpi", "ddp"], "hidden": [4, 8, 16, 32]}}
    blocked = planned(axes=grid, repeat={"min": 3}).points
    assert [p.repeat for p in blocked] == [0] * 8 + [1] * 8 + [2] * 8
    one, other = (
        planned(
            study={"name": "x", "order": "randomised", "seed": seed}, axes=grid, repeat={"min": 3}
        ).points
        for seed in (1, 1)
    )
    assert [p.id for p in one] == [p.id for p in other] != [p.id for p in blocked]
    assert [p.repeat for p in one] == [p.repeat for p in blocked]


def test_abba_pairs_share_one_allocation() -> None:
    points = planned(
        study={"name": "x", "order": "abba", "compare": "backend"},
        axes={"grid": {"backend": ["mpi", "ddp"], "hidden": [4, 8]}},
        repeat={"min": 2},
    ).points
    assert [p.group for p in points] == [0] * 4 + [1] * 4
    backends = [p.config["train"]["backend"] for p in points]
    assert backends == ["mpi", "ddp", "ddp", "mpi"] * 2
    fails(
        "exactly two values",
        study={"name": "x", "order": "abba", "compare": "backend"},
        axes={"grid": {"backend": ["mpi", "ddp", "horovod"]}},
    )


def test_identity_is_content(monkeypatch: pytest.MonkeyPatch) -> None:
    first = planned(axes={"grid": {"hidden": [8, 16]}})
    again = planned(axes={"grid": {"model.hidden": [16, 8]}}, model={"layers": 1})
    assert {p.id for p in first.points} == {p.id for p in again.points}
    other_data = planned(dataset={"spec": SPEC, "parameters": {"forcing": 9.0}})
    assert not {p.id for p in first.points} & {p.id for p in other_data.points}
    monkeypatch.setattr("jobs.study.points.source_version", lambda: "other code")
    assert not {p.id for p in planned(axes={"grid": {"hidden": [8, 16]}}).points} & {
        p.id for p in first.points
    }


def test_datasets_are_shared_and_their_fields_can_be_axes() -> None:
    plan_ = planned(
        axes={"grid": {"dataset.parameters.forcing": [8.0, 10.0], "backend": ["mpi", "ddp"]}}
    )
    assert len(plan_.points) == 4
    assert len(plan_.datasets) == 2
    assert {d.content["parameters"]["forcing"] for d in plan_.datasets.values()} == {8.0, 10.0}


@pytest.mark.parametrize(
    ("match", "tables"),
    [
        ("did you mean", {"axes": {"grid": {"hiden": [1]}}}),
        ("write it in full", {"axes": {"grid": {"warm_up": [1, 2]}}}),
        ("two places", {"axes": {"grid": {"hidden": [1], "model.hidden": [2]}}}),
        ("no values", {"axes": {"grid": {"hidden": []}}}),
        ("twice", {"axes": {"grid": {"hidden": [8, 8]}}}),
        ("one length", {"axes": {"zip": {"z": {"hidden": [1, 2], "window": [1]}}}}),
        ("no point", {"axes": {"where": ["ranks > 1"]}}),
        ("train.backend: unknown", {"axes": {"grid": {"backend": ["gloo"]}}}),
        ("cannot share", {"scaling": {"ranks": [1, 3]}}),
        ("at least 1", {"scaling": {"ranks": [0]}}),
        ("a law belong together", {"scaling": {"mode": "weak", "ranks": [1]}}),
        ("keeps the work", {"scaling": {"ranks": [1]}, "derived": {"hidden": "ranks"}}),
        (
            "declares it the same",
            {
                "scaling": {"ranks": [1, 2], "fixed": ["hidden"]},
                "axes": {"grid": {"hidden": [8, 16]}},
            },
        ),
        ("exactly one of spec and path", {"dataset": {}}),
        ("no readable file", {"dataset": {"spec": "no/such.toml"}}),
        ("cannot be changed", {"dataset": {"path": "pyproject.toml", "seed": 3}}),
        ("forcing", {"dataset": {"spec": SPEC, "parameters": {"forcing": "strong"}}}),
        ("not allowed", {"axes": {"where": ["open('x')"]}}),
        ("unknown name", {"derived": {"model.hiden": "3"}}),
        ("whole number", {"axes": {"grid": {"ranks": [1.5]}}}),
    ],
)
def test_wrong_studies(match: str, tables: dict[str, Any]) -> None:
    fails(match, **tables)


@pytest.mark.parametrize(
    "name", ["../up", "a b", "", "x/y", "$(touch x)", "a\nb", ".hidden", "a..b", "-rf", "'", "ä"]
)
def test_names_that_could_leave_the_folder(name: str) -> None:
    with pytest.raises(InputError, match=r"study\.name"):
        study(study={"name": name})


def test_ten_thousand_points_plan_in_less_than_five_seconds() -> None:
    begin = time.perf_counter()
    points = planned(
        axes={
            "where": ["hidden * 2 >= 16"],
            "exclude": ["backend == 'none' and ranks > 1"],
            "grid": {
                "backend": ["horovod", "ddp"],
                "learning_rate": [0.001 * i for i in range(1, 11)],
            },
            "zip": {"size": {"hidden": [8, 16, 32, 64, 128], "window": [8, 16, 32, 64, 128]}},
        },
        scaling={"ranks": [1, 2, 4, 8, 16], "fixed": ["global_batch"]},
        repeat={"min": 20},
        study={"name": "big", "order": "randomised"},
    ).points
    assert time.perf_counter() - begin < 5
    assert len({point.id for point in points}) == 10_000


def test_configurations_written_for_the_points_are_read_back_the_same(tmp_path: Path) -> None:
    plan_ = planned(axes={"grid": {"hidden": [8, 16]}})
    folder = StudyFolder(tmp_path / "runs" / "test")
    assert folder.write_plan(plan_, Path("study.toml"), "local") == 2
    assert folder.write_plan(plan_, Path("study.toml"), "local") == 0
    for point in plan_.points:
        config = read_config(RunConfig, folder.point(point.id) / "config.toml")
        assert config.model_dump(mode="json")["train"] == point.config["train"]
        assert config.seed == point.config["seed"]
    assert [p.id for p in folder.record().points] == [p.id for p in plan_.points]


scalars = (
    st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
tables = st.dictionaries(
    keys,
    st.recursive(
        scalars | st.lists(scalars, max_size=3),
        lambda inner: st.dictionaries(keys, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@settings(max_examples=60)
@given(tables)
def test_toml_text_is_read_back_the_same(table: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text(table)) == table


def test_plan_shows_commands_and_cost(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = argparse.Namespace(
        study=Path(jobs.__file__).parent / "studies" / "l96-strong.toml",
        overrides=["--resources.minutes", "30"], site="slurm", out=tmp_path, all=False, json=True,
    )  # fmt: skip
    assert plan.command(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["points"] == len(document["results"]) == 48
    eight = [row for row in document["results"] if row["ranks"] == 8]
    assert eight[0]["nodes"] == 2
    assert eight[0]["value"] == pytest.approx(2 * 0.5)
    assert eight[0]["command"][0] == "srun"
    assert "--mpi=pmix" in eight[0]["command"]
    assert list(tmp_path.iterdir()) == []
    arguments.json = False
    assert plan.command(arguments) == 0
    captured = capsys.readouterr()
    assert captured.out.count("hpcbench.cli train") == plan.SHOWN
    assert "nothing was submitted" in captured.err


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert describe({"cell": "\x1b[2J\nx", "ranks": 2}) == "'cell=\\x1b[2J\\nx ranks=2'"
    assert describe({"cell": "lstm", "ranks": 2}) == "cell=lstm ranks=2"


def test_code_version_follows_the_sources(tmp_path: Path) -> None:
    source = tmp_path / "package" / "module.py"
    source.parent.mkdir()
    source.write_text("a = 1\n")
    first = source_version.source_version(("package",), tmp_path)
    (source.parent / "notes.md").write_text("no code")
    assert source_version.source_version(("package",), tmp_path) == first
    source.write_text("a = 2\n")
    assert source_version.source_version(("package",), tmp_path) != first


@pytest.mark.parametrize(
    "profile", sorted(p.stem for p in Path(jobs.__file__).parent.glob("sites/*.toml"))
)
def test_profiles_that_come_with_the_program(profile: str) -> None:
    assert read_site(profile).description
