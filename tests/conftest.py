"""Fixtures of every test: the lab. Tests of a real cluster get a second try, others never, and say why they did."""

import os

import pytest
from hypothesis import HealthCheck, settings

# Nothing is timed on a noisy machine. CI tries the same examples each time, people new ones.
settings.register_profile(
    "noisy-machine",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("noisy-machine")

pytest_plugins = ["tests.lab.fixtures"]

LONGEST = ("test_pairs", "test_rights")
"""Files that take minutes: begun last, one process would still be at them when all others are done."""

CLUSTER = {"lab", "own_lab", "argocd", "scene", "namespace", "real_lab"}
BUILT = {"helm", "promtool"}
"""Programs that make lab builds, and that need no cluster."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests of a real cluster: two noisy cores may miss a deadline once; the summary names each rerun."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)
    for item in items:
        if BUILT & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.lab)
        if CLUSTER & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.lab)
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why a test was tried again: the second try must not hide what the first one saw."""
    for report in terminalreporter.stats.get("rerun", ()):
        crash = getattr(report.longrepr, "reprcrash", None)
        terminalreporter.write_line(f"RERUN {report.nodeid}: {crash.message if crash else report.longrepr}")
