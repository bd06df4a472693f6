"""Fixtures of every test: the lab. Tests of a real cluster get a second try, others never."""

import pytest

pytest_plugins = ["tests.lab.fixtures"]

CLUSTER = {"lab", "own_lab", "scene", "namespace"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests of a real cluster: two noisy cores may miss a deadline once; the summary names each rerun."""
    for item in items:
        if CLUSTER & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.lab)
            item.add_marker(pytest.mark.flaky(reruns=1))
