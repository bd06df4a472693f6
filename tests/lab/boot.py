"""Brings a control plane up, and gives hold of one that runs already.

Called by tests through `tests.lab.start`, by the fixtures and by the command line.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from tests.lab import build, kubeconfig, parts
from tests.lab.cluster import ADMIN, ADMIN_GROUPS, Lab
from tests.lab.errors import LabError
from tests.lab.parts import API_SERVER, CONTROLLER_MANAGER, ETCD, KWOK, SCHEDULER, Layout
from tests.lab.pki import Authority
from tests.lab.pods import install_policy
from tests.lab.ports import Ports
from tests.lab.process import Supervisor
from tests.lab.real import network, packages

FOREIGN = "RESILIENCE_TEST_KUBECONFIG"
POWERS = frozenset({"parts", "nodes", "pods", "users", "audit"})
# Where the command line's keeper puts the lab, inside the directory that it was given.
RUN = "run"
_LAYOUT = "layout.json"
_COREDNS = Path(__file__).with_name("real") / "files" / "coredns.yaml"


def start(
    nodes: int = 4,
    zones: int = 2,
    flags: Mapping[str, Sequence[str]] | None = None,
    directory: Path | None = None,
    real: int = 0,
) -> Lab:
    """Start a control plane with this many simulated and real nodes, all Ready; more flags per part, by its name.

    With RESILIENCE_TEST_KUBECONFIG set it starts nothing and returns that cluster, without powers.
    """
    if foreign := os.environ.get(FOREIGN):
        return Lab(_any_kubectl(), Path(foreign))
    programs = build.binaries()
    began = time.monotonic()
    ports = Ports(build.cache() / "ports")
    scratch = _scratch(directory)
    layout = Layout(
        scratch, programs, parts.ports(ports.take), {k: tuple(v) for k, v in (flags or {}).items()}
    )
    if real:
        layout = _inside(layout)
    supervisor = Supervisor(scratch, layout.logs)
    powers = POWERS | {"real nodes"} if real else POWERS
    lab = Lab(programs / "kubectl", _administrator(layout), powers, layout, supervisor, ports)
    try:
        if real:
            lab.open_network()
        _start_parts(lab)
        lab.seconds_to_ready = time.monotonic() - began
        _add_real_nodes(lab, real, zones)
        _add_nodes(lab, nodes, zones)
        _save(layout)
    except BaseException:
        lab.stop()
        raise
    return lab


def attach(directory: Path) -> Lab:
    """A lab that another process keeps running; everything but the power over its parts.

    Takes the directory of a `Lab`, or the one given to `python -m tests.lab up --dir`.
    """
    directory = directory / RUN if (directory / RUN).is_dir() else directory
    content = json.loads((directory / _LAYOUT).read_text())
    layout = Layout(directory, Path(content["binaries"]), content["ports"])
    return Lab(layout.binaries / "kubectl", _administrator(layout), POWERS - {"parts"}, layout)


def _scratch(directory: Path | None) -> Path:
    if directory is None:
        directory = Path(tempfile.mkdtemp(prefix="resilience-lab-"))
    (directory / "logs").mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    return directory


def _administrator(layout: Layout) -> Path:
    file = layout.directory / "admin.kubeconfig"
    if not file.exists():
        authority = Authority(layout.directory / "pki")
        user = kubeconfig.certificate(*authority.client(ADMIN, ADMIN_GROUPS))
        kubeconfig.write(file, layout.server, authority.certificate_file, ADMIN, user)
    return file


def _start_parts(lab: Lab) -> None:
    # The API server waits for etcd by itself; the others give up when it is not there yet.
    for part in (ETCD, API_SERVER):
        lab.restart(part, wait_ready=False)
    lab.wait_part(API_SERVER)
    for part in (CONTROLLER_MANAGER, SCHEDULER, KWOK):
        lab.restart(part, wait_ready=False)
    install_policy(lab.api)


def _add_nodes(lab: Lab, nodes: int, zones: int) -> None:
    names = [f"node-{number + 1}" for number in range(nodes)]
    for number, name in enumerate(names):
        lab.add_node(name, zone=_zone(number, zones), wait_ready=False)
    for name in names:
        lab.wait_node(name)
    for part in (CONTROLLER_MANAGER, SCHEDULER, KWOK):
        lab.wait_part(part)


def _inside(layout: Layout) -> Layout:
    if what := packages.missing():
        raise LabError(f"real nodes need {what}")
    return network.inside(layout, Authority(layout.directory / "pki"))


def _add_real_nodes(lab: Lab, nodes: int, zones: int) -> None:
    names = [f"real-{number + 1}" for number in range(nodes)]
    for number, name in enumerate(names):
        lab.real.power_on(name, zone=_zone(number, zones))
    for name in names:
        lab.real.wait_ready(name)
    if nodes:
        lab.kubectl("apply", "-f", str(_COREDNS))
        lab.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=60s")
    for name in names:
        lab.wait(partial(lab.real.resolves, name), what=f"cluster DNS answers on {name}")


def _zone(number: int, zones: int) -> str:
    return f"zone-{chr(ord('a') + number % zones)}"


def _save(layout: Layout) -> None:
    content = {"binaries": str(layout.binaries), "ports": dict(layout.ports)}
    (layout.directory / _LAYOUT).write_text(json.dumps(content))


def _any_kubectl() -> Path:
    found = shutil.which("kubectl")
    return Path(found) if found else build.binaries() / "kubectl"
