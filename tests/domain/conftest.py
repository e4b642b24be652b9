"""How many examples the property tests of the domain try: few by default, always the same ones; thousands on demand."""

import os

import pytest
from hypothesis import is_hypothesis_test, settings

settings.register_profile("quick", max_examples=100, derandomize=True, deadline=None)
settings.register_profile("thorough", max_examples=3000, derandomize=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Following every line of every example takes as long as the examples; other tests pass there too."""
    for item in items:
        if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
            item.add_marker(pytest.mark.no_cover)
