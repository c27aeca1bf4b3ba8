from typing import Any

import pytest

from analysis.records.descriptions import OWN_UPDATE, describe_method, describe_model
from hpcbench.embedding.config import EmbeddingConfig
from hpcbench.training.methods.registry import METHODS, method_class


def test_methods_that_need_no_optimizer_are_known() -> None:
    assert {name for name in METHODS if method_class(name).OWNS_UPDATE} == OWN_UPDATE


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ({"method": "tbptt", "optimizer": "soap"}, "tbptt soap"),
        ({"method": {"name": "tbptt"}, "optimizer": "adam"}, "tbptt adam"),
        ({"method": "ridge", "optimizer": "adam"}, "ridge"),
        ({"method": "tbptt"}, "tbptt"),
        ({}, ""),
    ],
)
def test_a_method_names_the_optimizer_it_uses(train: dict[str, Any], words: str) -> None:
    assert describe_method(train) == words


@pytest.mark.parametrize(
    ("embedding", "words"),
    [
        ({}, ""),
        ({"stride": 5}, ", stride 5"),
        ({"delays": 2, "layout": "sequence"}, ", 2 in sequence"),
        (
            {"delays": 3, "delay": 4, "delay_components": 6},
            ", 3 delays 4 apart, 6 delay components",
        ),
        ({"components": 35, "whiten": True}, ", 35 components, whitened"),
        ({"observe_every": 4}, ", sees 1 of 4"),
        ({"scores": True}, ""),
    ],
)
def test_a_model_says_what_it_reads(embedding: dict[str, Any], words: str) -> None:
    """With every default filled in as in a record, and with what is not the default alone."""
    model = {"cell": "lstm", "hidden": 8}
    assert describe_model(model, embedding) == f"lstm 8{words}"
    assert describe_model(model, EmbeddingConfig(**embedding).model_dump()) == f"lstm 8{words}"


@pytest.mark.parametrize(
    ("halo", "words"), [(4, "(halo 4)"), ([6, 3], "(halo 6+3)"), ([0, 2], "(halo 0+2)"), (0, "")]
)
def test_a_model_says_how_far_it_sees(halo: Any, words: str) -> None:
    model = {"cell": "lstm", "hidden": 8, "coupling": "local", "halo": halo}
    assert describe_model(model, {}) == f"lstm 8 local{words}"
    assert describe_model(model | {"coupling": "global"}, {}) == "lstm 8 global"
