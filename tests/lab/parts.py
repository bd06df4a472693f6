"""The command line of each part of the control plane, and how to tell that it is ready.

Called by `cluster` when it starts or restarts a part. Every port listens on 127.0.0.1.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import kubeconfig
from tests.lab.pki import Authority

ETCD, API_SERVER = "etcd", "kube-apiserver"
CONTROLLER_MANAGER, SCHEDULER, KWOK = "kube-controller-manager", "kube-scheduler", "kwok"
PARTS = (ETCD, API_SERVER, CONTROLLER_MANAGER, SCHEDULER, KWOK)

_FILES = Path(__file__).with_name("files")
_LISTENERS = ("etcd", "etcd-peer", API_SERVER, CONTROLLER_MANAGER, SCHEDULER, KWOK)
# The parts are an audience of their own in the audit policy, and kwok has no built-in role.
_USERS = {
    CONTROLLER_MANAGER: ("system:kube-controller-manager", ("resilience-lab:parts",)),
    SCHEDULER: ("system:kube-scheduler", ("resilience-lab:parts",)),
    KWOK: ("kwok", ("system:masters", "resilience-lab:parts")),
}


@dataclass(frozen=True)
class Layout:
    """Where one lab keeps its files, and which ports are its own."""

    directory: Path
    binaries: Path
    ports: Mapping[str, int]
    flags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    enter: Sequence[str] = ()
    """What goes before every command line: into the lab's own network, where it has one."""

    @property
    def server(self) -> str:
        """The address of the API server."""
        return f"https://127.0.0.1:{self.ports[API_SERVER]}"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log."""
        return self.directory / "audit.log"

    @property
    def logs(self) -> Path:
        """The directory of the parts' logs."""
        return self.directory / "logs"


def ports(take: Callable[[], int]) -> dict[str, int]:
    """A port for each listener."""
    return {listener: take() for listener in _LISTENERS}


def command(part: str, layout: Layout, authority: Authority) -> list[str]:
    """The command line of a part, with its certificates and configuration written."""
    flags = {
        ETCD: _etcd,
        API_SERVER: _api_server,
        CONTROLLER_MANAGER: _controller_manager,
        SCHEDULER: _scheduler,
        KWOK: _kwok,
    }[part](layout, authority)
    return [*layout.enter, str(layout.binaries / part), *flags, *layout.flags.get(part, ())]


def ready(part: str, layout: Layout) -> bool:
    """Whether a part answers its health check."""
    scheme, path = {
        ETCD: ("http", "/health"),
        API_SERVER: ("https", "/readyz"),
        CONTROLLER_MANAGER: ("https", "/healthz"),
        SCHEDULER: ("https", "/healthz"),
        KWOK: ("http", "/healthz"),
    }[part]
    return answers(scheme, layout.ports[part], path)


def _etcd(layout: Layout, authority: Authority) -> list[str]:
    client = f"http://127.0.0.1:{layout.ports['etcd']}"
    peer = f"http://127.0.0.1:{layout.ports['etcd-peer']}"
    return [
        "--name=lab",
        f"--data-dir={layout.directory / 'etcd'}",
        "--unsafe-no-fsync",
        "--log-level=warn",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=lab={peer}",
    ]


def _api_server(layout: Layout, authority: Authority) -> list[str]:
    certificate, key = authority.server(API_SERVER)
    signer = authority.service_account_key()
    return [
        f"--etcd-servers=http://127.0.0.1:{layout.ports['etcd']}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={layout.ports[API_SERVER]}",
        "--endpoint-reconciler-type=none",
        "--service-cluster-ip-range=10.96.0.0/16",
        f"--tls-cert-file={certificate}",
        f"--tls-private-key-file={key}",
        f"--client-ca-file={authority.certificate_file}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={signer}",
        f"--service-account-signing-key-file={signer}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged",
        f"--audit-policy-file={_FILES / 'audit.yaml'}",
        f"--audit-log-path={layout.audit_log}",
        # A write is in the log before its client has the answer; the log is one file, however long it grows.
        "--audit-log-mode=blocking",
        "--audit-log-maxsize=100000",
    ]


def _controller_manager(layout: Layout, authority: Authority) -> list[str]:
    return [
        f"--kubeconfig={_kubeconfig(CONTROLLER_MANAGER, layout, authority)}",
        "--bind-address=127.0.0.1",
        f"--secure-port={layout.ports[CONTROLLER_MANAGER]}",
        "--leader-elect=false",
        "--use-service-account-credentials",
        f"--root-ca-file={authority.certificate_file}",
        f"--service-account-private-key-file={authority.service_account_key()}",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        # How soon a NotReady node is tainted; how long silence is forgiven stays as in a real cluster.
        "--node-monitor-period=1s",
    ]


def _scheduler(layout: Layout, authority: Authority) -> list[str]:
    # The kubeconfig flag is ignored beside a configuration file, which therefore names it.
    access = _kubeconfig(SCHEDULER, layout, authority)
    configuration = layout.directory / "scheduler.yaml"
    text = (_FILES / "scheduler.yaml").read_text()
    configuration.write_text(
        text.replace("clientConnection:\n", f"clientConnection:\n  kubeconfig: {access}\n")
    )
    return [
        f"--config={configuration}",
        "--bind-address=127.0.0.1",
        f"--secure-port={layout.ports[SCHEDULER]}",
    ]


def _kwok(layout: Layout, authority: Authority) -> list[str]:
    return [
        f"--kubeconfig={_kubeconfig(KWOK, layout, authority)}",
        f"--config={_FILES / 'stages.yaml'}",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        "--node-lease-duration-seconds=40",
        "--cidr=10.244.0.0/16",
        "--node-ip=10.128.255.254",
        f"--server-address=127.0.0.1:{layout.ports[KWOK]}",
    ]


def _kubeconfig(part: str, layout: Layout, authority: Authority) -> Path:
    user, groups = _USERS[part]
    entry = kubeconfig.certificate(*authority.client(user, groups))
    file = layout.directory / f"{part}.kubeconfig"
    return kubeconfig.write(file, layout.server, authority.certificate_file, user, entry)


def answers(scheme: str, port: int, path: str) -> bool:
    """Whether a health check on loopback says yes."""
    connection: http.client.HTTPConnection
    if scheme == "http":
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    else:
        # Health alone is asked, and two of the parts serve a certificate that they signed themselves.
        tls = ssl._create_unverified_context()  # noqa: S323
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=2, context=tls)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
