"""What the tests of several rooms of the simulators need."""

from collections.abc import Iterator

import pytest

from sims.kernels import library


@pytest.fixture(params=library.available())
def variant(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Every instruction set that this processor runs."""
    monkeypatch.setenv(library.VARIANT_VARIABLE, request.param)
    library._chosen.cache_clear()
    library.load.cache_clear()
    yield request.param
    library._chosen.cache_clear()
    library.load.cache_clear()
