"""The configuration tree: reading, overriding, teaching errors, hashing."""

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from hpcbench.config.tree import (
    Config,
    canonical_json,
    content_hash,
    read_config,
)
from hpcbench.errors import InputError


class Leaf(Config):
    count: int = Field(1, ge=1)
    scheme: Literal["rk4", "etdrk4"] = "rk4"


class Tree(Config):
    name: str
    leaf: Leaf = Field(default_factory=Leaf)
    step: float = Field(0.1, gt=0)


def read(tmp_path: Path, text: str, *overrides: str) -> Tree:
    path = tmp_path / "tree.toml"
    path.write_text(text)
    return read_config(Tree, path, list(overrides))


def test_reads_and_overrides(tmp_path: Path) -> None:
    tree = read(tmp_path, 'name = "a"\n[leaf]\ncount = 2\n', "--leaf.count=3", "--step", "0.5")
    assert (tree.name, tree.leaf.count, tree.step) == ("a", 3, 0.5)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('name = "a"\nstpe = 1.0\n', ["tree.toml", "stpe", "unknown key", '"step"']),
        ('name = "a"\n[leaf]\ncoutn = 1\n', ["leaf.coutn", '"count"', "valid here: count, scheme"]),
        ("step = 1.0\n", ["name", "missing"]),
        ('name = "a"\nstep = "long"\n', ["step", "valid number", '"long"']),
        ('name = "a"\nstep = 0.0\n', ["step", "greater than 0", "0.0"]),
        ('name = "a"\n[leaf]\ncount = 1.5\n', ["leaf.count", "valid integer", "1.5"]),
        ('name = "a"\n[leaf]\ncount = true\n', ["leaf.count", "valid integer", "true"]),
        ('name = "a"\n[leaf]\nscheme = "rk5"\n', ["leaf.scheme", "'rk4' or 'etdrk4'", '"rk4"?']),
        ('name = "a\n', ["not valid TOML", "line 1"]),
    ],
)
def test_errors_name_file_field_value_and_what_is_valid(
    tmp_path: Path, text: str, parts: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    for part in ["tree.toml", *parts]:
        assert part in str(caught.value)


def test_every_problem_of_a_file_is_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, "step = 0.0\nother = 1\n")
    assert len(str(caught.value).splitlines()) == 3


def test_missing_file_suggests_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "lorenz96.toml").write_text("")
    with pytest.raises(InputError, match=r"no such file.*lorenz96\.toml"):
        read_config(Tree, tmp_path / "lorenz69.toml")


def test_folder_instead_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_config(Tree, tmp_path)


def test_hash_ignores_order_and_spelling_but_no_value(tmp_path: Path) -> None:
    short = read(tmp_path, 'name = "a"\n')
    long = read(tmp_path, 'step = 0.10\nname = "a"\n[leaf]\nscheme = "rk4"\ncount = 1\n')
    other = read(tmp_path, 'name = "a"\nstep = 0.2\n')
    assert content_hash(short) == content_hash(long) != content_hash(other)
    assert canonical_json(short) == '{"leaf":{"count":1,"scheme":"rk4"},"name":"a","step":0.1}'
