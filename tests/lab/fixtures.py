"""Pytest fixtures: one control plane per run, a namespace per test, and control planes to break.

Loaded by the tests' conftest as a plugin: `pytest_plugins = ["tests.lab.fixtures"]`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.lab import build
from tests.lab.argocd import ArgoCD
from tests.lab.boot import FOREIGN, start
from tests.lab.cluster import Lab
from tests.lab.real import packages


def argo_cd() -> Path:
    """The folder of Argo CD's programs, which make test builds; without them the test is skipped by name."""
    programs = build.built(build.ARGO_CD)
    if programs is None:
        pytest.skip("Argo CD is not built: make lab")
    return programs


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The run's control plane: shared, so a test keeps to its namespace and leaves nodes as they were."""
    with start() as started:
        yield started


@pytest.fixture(scope="session")
def argocd(lab: Lab) -> Iterator[ArgoCD]:
    """The run's Argo CD, beside the control plane: a test has Applications, repositories and namespaces of its own."""
    lab.needs("parts", "audit")
    argo_cd()
    with ArgoCD(lab) as started:
        yield started


@pytest.fixture(scope="session")
def argocd_cli() -> Path:
    """Argo CD's command, for what needs no cluster."""
    return argo_cd() / "argocd"


@pytest.fixture(scope="session")
def helm() -> Path:
    """Helm 4, as people run it; without it the test is skipped by name."""
    programs = build.built(build.HELM)
    if programs is None:
        pytest.skip("Helm is not built: make lab")
    return programs / "helm"


@pytest.fixture(scope="session")
def promtool() -> Path:
    """Prometheus' own checker of rules; without it the test is skipped by name."""
    programs = build.built(build.PROMTOOL)
    if programs is None:
        pytest.skip("promtool is not built: make lab")
    return programs / "promtool"


def needs_real_nodes() -> None:
    """Skip, by the name of what is missing, where real nodes cannot run."""
    if cluster := os.environ.get(FOREIGN):
        pytest.skip(f"needs nodes of its own, and {FOREIGN} is {cluster}")
    if what := packages.missing():
        pytest.skip(f"real nodes need {what}")


@pytest.fixture(scope="module")
def real_lab() -> Iterator[Lab]:
    """A control plane with two real nodes and cluster DNS on them, in a network of its own; one per file of tests."""
    needs_real_nodes()
    with start(nodes=0, real=2) as started:
        yield started


@pytest.fixture
def own_lab() -> Iterator[Callable[..., Lab]]:
    """Starts control planes that the test may break; takes what `start` takes."""
    if cluster := os.environ.get(FOREIGN):
        pytest.skip(f"needs a control plane of its own, and {FOREIGN} is {cluster}")
    with ExitStack() as labs:

        def factory(**options: Any) -> Lab:
            return labs.enter_context(start(**options))

        yield factory


@pytest.fixture
def namespace(lab: Lab) -> Iterator[str]:
    """A namespace of the test's own, deleted afterwards."""
    name = lab.namespace()
    yield name
    lab.kubectl("delete", "namespace", name, "--wait=false")
