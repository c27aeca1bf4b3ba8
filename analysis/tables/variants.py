"""What sets runs apart that have the same model and method: the settings that were varied."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from analysis.records.collect import Collection
from analysis.tables.curves import BESIDE_THE_WORK, flatten
from hpcbench.config.tree import canonical_json

NO_MATTER = (*BESIDE_THE_WORK, "forecast.attractor.")
"""Fields that change neither what is learnt nor how it is scored."""

DESCRIBED = ["system", "parameters", "model", "method"]
"""Columns that describe a run already; only what differs beyond them is said."""


def with_variants(collection: Collection) -> Collection:
    """Return the runs with a column ``variant``, such as ``"carry 8, window 4"``.

    Runs of one system, model and method are told apart by the fields in which their
    configurations differ; it is empty where they agree, so that only repeats share a description.
    Runs that are not done have a say in nothing: their configuration may be a part of one.
    """
    frame = collection.frame
    settings: dict[str, dict[str, str]] = {}
    texts: dict[str, str] = {}
    for key in frame.loc[frame["state"] == "done", "config_hash"].dropna().unique():
        found = settings_of(collection.configs.get(key, {}))
        texts[key] = canonical_json(found)
        settings.setdefault(texts[key], found)
    work = frame["config_hash"].map(texts)
    variant = pd.Series("", index=frame.index, dtype="str")
    for _, group in work.groupby([frame[name] for name in DESCRIBED], dropna=False):
        words = differences({text: settings[text] for text in group.dropna().unique()})
        variant.loc[group.index] = pd.array([words.get(text, "") for text in group], dtype="str")
    return replace(collection, frame=frame.assign(variant=variant))


def settings_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of a configuration that matter to its skill, as text."""
    return {name: str(value) for name, value in flatten(config) if not name.startswith(NO_MATTER)}


def differences(settings: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return, for each of some settings by key, the fields in which not all of them agree."""
    names = sorted({name for each in settings.values() for name in each})
    differing = [name for name in names if len({each.get(name) for each in settings.values()}) > 1]
    return {
        key: ", ".join(
            f"{name.rpartition('.')[2]} {each[name]}" for name in differing if name in each
        )
        for key, each in settings.items()
    }
