"""One scene per test on the run's lab; the CRD is installed once."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e import installed
from tests.e2e.scene import CRD, LABEL, Scene
from tests.lab import Lab
from tests.lab.errors import LabError
from tests.lab.fixtures import needs_real_nodes


@pytest.fixture(scope="session")
def crd(lab: Lab) -> None:
    install_crd(lab)


def install_crd(lab: Lab) -> None:
    """Install the CRD and wait until it is served."""
    lab.kubectl("apply", "--server-side", "-f", str(CRD))
    lab.wait_established("resiliencepolicies.resilience.dev")


def make_scene(lab: Lab, logs: Path) -> Scene:
    """A scene of its own on a lab."""
    namespace = lab.namespace("scene")
    return Scene(lab, namespace, namespace, logs)


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The images of operator and agent, built once a run by the Dockerfiles."""
    needs_real_nodes()
    return installed.build(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def cluster(real_lab: Lab, archives: list[Path]) -> Lab:
    """Two real nodes with operator and agents installed, as people do it; one per file of tests."""
    installed.install(real_lab, archives)
    return real_lab


@pytest.fixture
def scene(lab: Lab, crd: None, tmp_path: Path) -> Iterator[Scene]:
    made = make_scene(lab, tmp_path)
    yield made
    with suppress(LabError):
        names = lab.kubectl("get", "rp", "-l", f"{LABEL}={made.name}", "-o", "name").split()
        for name in names:
            lab.kubectl("patch", name, "--type=json", "-p", '[{"op":"remove","path":"/metadata/finalizers"}]')
        lab.kubectl("delete", "rp", "-l", f"{LABEL}={made.name}", "--wait=false")
    lab.kubectl("delete", "namespace", made.namespace, "--wait=false")
