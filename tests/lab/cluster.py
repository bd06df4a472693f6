"""A running lab: what tests and people can do with the cluster that `boot` started.

A `Lab` around somebody else's cluster has no powers: it can use kubectl, make namespaces, and wait.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar
from uuid import uuid4

from tests.lab import kubeconfig, parts, waiting
from tests.lab.api import Api
from tests.lab.audit import Audit
from tests.lab.errors import LabError
from tests.lab.nodes import Nodes
from tests.lab.parts import Layout
from tests.lab.pki import Authority
from tests.lab.pods import Pods
from tests.lab.ports import Ports
from tests.lab.process import Supervisor
from tests.lab.real import network
from tests.lab.real.nodes import RealNodes

T = TypeVar("T")

ADMIN, ADMIN_GROUPS = "lab-admin", ("system:masters",)
_FOREIGN = "the lab has no power over this cluster, because it did not start it"


class Lab(Nodes, Pods):
    """A running cluster; a context manager that stops it, if it is its own."""

    def __init__(
        self,
        kubectl: Path,
        admin: Path,
        powers: frozenset[str] = frozenset(),
        layout: Layout | None = None,
        supervisor: Supervisor | None = None,
        ports: Ports | None = None,
    ) -> None:
        self.powers = powers
        self.seconds_to_ready = 0.0
        self.kubectl_program = kubectl
        self._admin = admin
        self._layout = layout
        self._supervisor = supervisor
        self._ports = ports
        self._authority = Authority(layout.directory / "pki") if layout else None
        self._client: Api | None = None
        self._real: RealNodes | None = None

    # Access

    @property
    def api(self) -> Api:
        """The lab's own client, as its administrator."""
        if self._client is None:
            signer = self._signer()
            pair = signer.client(ADMIN, ADMIN_GROUPS)
            self._client = Api(self.server, signer.certificate_file, *pair)
        return self._client

    @property
    def server(self) -> str:
        """The address of the API server."""
        return self._own().server

    @property
    def directory(self) -> Path:
        """Where the lab keeps its files; it is removed when the lab stops."""
        return self._own().directory

    @property
    def real(self) -> RealNodes:
        """Its real nodes."""
        if self._real is None:
            raise LabError("this lab has no real nodes, or another process keeps it: start(real=2)")
        return self._real

    @property
    def audit(self) -> Audit:
        """The audit log of every write."""
        return Audit(self._own().audit_log)

    def kubeconfig(
        self, user: str = ADMIN, groups: Iterable[str] | None = None, service_account: str = ""
    ) -> Path:
        """A kubeconfig for any user and groups, or for a service account given as `namespace/name`."""
        if (user, groups, service_account) == (ADMIN, None, ""):
            return self._admin
        file = self._own().directory / "users" / f"{uuid4().hex}.kubeconfig"
        if service_account:
            user, entry = service_account, kubeconfig.token(self._token(service_account))
        else:
            entry = kubeconfig.certificate(*self._signer().client(user, groups or ()))
        return kubeconfig.write(file, self.server, self._signer().certificate_file, user, entry)

    def kubectl(
        self,
        *arguments: str,
        input: str | None = None,  # noqa: A002
        kubeconfig: Path | None = None,
    ) -> str:
        """Run kubectl, as the administrator unless told otherwise; its output, or LabError with its words."""
        argv = [str(self.kubectl_program), f"--kubeconfig={kubeconfig or self._admin}", *arguments]
        result = subprocess.run(argv, check=False, input=input, capture_output=True, text=True)
        if result.returncode != 0:
            raise LabError(f"kubectl {' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout

    def wait_established(self, crd: str, timeout: float = 30) -> None:
        """Wait until a CustomResourceDefinition is served: `widgets.example.com`.

        Not `kubectl wait`: it ends with an error where there are no conditions yet.
        """

        def established() -> bool:
            found = json.loads(self.kubectl("get", f"crd/{crd}", "-o", "json"))
            conditions = found.get("status", {}).get("conditions") or []
            return any((one["type"], one["status"]) == ("Established", "True") for one in conditions)

        self.wait(established, timeout, f"CRD {crd} to be established")

    def namespace(self, prefix: str = "test", labels: Mapping[str, str] | None = None) -> str:
        """Create a namespace of its own for a test, ready for pods."""
        name = f"{prefix}-{uuid4().hex[:8]}"
        body = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": dict(labels or {})},
        }
        self.kubectl("create", "-f", "-", input=json.dumps(body))
        accounts = (
            "get",
            "serviceaccount",
            "default",
            "--namespace",
            name,
            "--ignore-not-found",
            "-o",
            "name",
        )
        self.wait(lambda: self.kubectl(*accounts), what=f"the default service account of {name}")
        return name

    def wait(self, probe: Callable[[], T], timeout: float = 30.0, what: str = "", every: float = 0.1) -> T:
        """Poll until the probe's value is true; AssertionError names `what` and the last value."""
        return waiting.wait(probe, timeout, what, every)

    def needs(self, *powers: str) -> None:
        """Skip the running test, by name of what is missing, unless the lab has these powers."""
        missing = [power for power in powers if power not in self.powers]
        if missing:
            import pytest

            pytest.skip(f"needs the lab's power over {', '.join(missing)}, which this cluster does not grant")

    # Parts

    def pause(self, part: str) -> None:
        """Stop a part in its tracks (SIGSTOP): its connections stay open and silent."""
        self._processes().signal(part, signal.SIGSTOP)

    def resume(self, part: str) -> None:
        """Let a paused part go on."""
        self._processes().signal(part, signal.SIGCONT)

    def kill(self, part: str) -> None:
        """Kill a part (SIGKILL) and return when it is gone."""
        self._processes().kill(part)

    def restart(self, part: str, wait_ready: bool = True) -> None:
        """Start a part again on its port, killing it first if it runs."""
        supervisor = self._processes()
        if part in supervisor.running():
            supervisor.kill(part)
        if part == parts.KWOK:
            self.release_nodes()
        supervisor.start(part, parts.command(part, self._own(), self._signer()))
        if wait_ready:
            self.wait_part(part)

    def running(self) -> dict[str, int]:
        """The parts that run, with their process ids."""
        return self._processes().running()

    def wait_part(self, part: str, timeout: float = 60.0) -> None:
        """Wait until a part is ready; LabError with the end of its log when it exited or does not answer."""
        self._wait_ready(part, lambda: parts.ready(part, self._own()), timeout)

    # Beside the parts

    def port(self) -> int:
        """A port of loopback that stays the lab's own while it lives."""
        self._processes()
        assert self._ports is not None
        return self._ports.take()

    def start_beside(
        self, name: str, argv: Sequence[str], ready: Callable[[], bool], timeout: float = 60.0
    ) -> None:
        """Start another program, which ends with the lab at the latest, and wait until it is ready."""
        self._processes().start(name, argv)
        self._wait_ready(name, ready, timeout)

    def _wait_ready(self, name: str, ready: Callable[[], bool], timeout: float) -> None:
        supervisor, end = self._processes(), time.monotonic() + timeout
        while not ready():
            if name not in supervisor.running():
                raise LabError(f"{name} exited:\n{supervisor.tail(name)}")
            if time.monotonic() > end:
                raise LabError(f"{name} is not ready after {timeout:g} s:\n{supervisor.tail(name)}")
            time.sleep(0.05)

    # Life

    def open_network(self) -> None:
        """Make the network that the layout's command lines enter; before the first part starts."""
        self._real = RealNodes(self._own(), self._processes(), self.api)
        network.open_network(self._own(), self._processes())

    def stop(self) -> None:
        """End every part and remove the lab's files; nothing to do for a cluster that is not ours."""
        if self._supervisor:
            self._supervisor.close()
        if self._ports:
            self._ports.close()
        if self._real:
            self._real.wait_swept()
        self._supervisor = self._ports = self._real = None

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _own(self) -> Layout:
        if self._layout is None:
            raise LabError(_FOREIGN)
        return self._layout

    def _signer(self) -> Authority:
        if self._authority is None:
            raise LabError(_FOREIGN)
        return self._authority

    def _processes(self) -> Supervisor:
        if self._supervisor is None:
            raise LabError("only who started this lab has power over its parts, and only while it runs")
        return self._supervisor

    def _token(self, service_account: str) -> str:
        namespace, _, name = service_account.partition("/")
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        return str(self.api.create(path, body | {"spec": {"expirationSeconds": 86400}})["status"]["token"])
