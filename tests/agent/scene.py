"""An agent in a network namespace, before a real API server of the lab that it reaches by one port."""

import base64
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.agent.namespaces import Namespace
from tests.lab import Lab

ROOT = Path(__file__).resolve().parents[2]
SPACE = "resilience-agent"


def authority(lab: Lab, folder: Path) -> Path:
    """The lab's certificate in a file."""
    data = json.loads(lab.kubeconfig().read_text())["clusters"][0]["cluster"]["certificate-authority-data"]
    path = folder / "ca.crt"
    path.write_bytes(base64.b64decode(data))
    return path


def install(lab: Lab) -> None:
    """The kind and the agents' rights and guard, without the DaemonSet: the test is the kubelet."""
    lab.kubectl("apply", "--server-side", "-f", str(ROOT / "crds/nodestates.yaml"))
    lab.wait_established("nodestates.resilience.dev")
    for name in ("namespace", "rights", "guard"):
        lab.kubectl("apply", "-f", str(ROOT / f"manifests/agent/{name}.yaml"))
    account = ("get", "serviceaccount", "resilience-agent", "-n", SPACE, "--ignore-not-found", "-o", "name")
    lab.wait(lambda: lab.kubectl(*account), what="the agent's account")


def node(lab: Lab, name: str, **spec: Any) -> None:
    """A Node, with its NodeState."""
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    state = {
        "apiVersion": "resilience.dev/v1alpha1",
        "kind": "NodeState",
        "metadata": {"name": name},
        "spec": spec,
    }
    both = {"apiVersion": "v1", "kind": "List", "items": [body, state]}
    lab.kubectl("apply", "-f", "-", input=json.dumps(both))


def token(lab: Lab, name: str) -> str:
    """A token of the agent's account as its pod on a node gets it."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"agent-{name}", "namespace": SPACE},
        "spec": {
            "nodeName": name,
            "serviceAccountName": "resilience-agent",
            "automountServiceAccountToken": False,
            "containers": [{"name": "agent", "image": "resilience-agent"}],
        },
    }
    uid = lab.kubectl("apply", "-f", "-", "-o", "jsonpath={.metadata.uid}", input=json.dumps(pod))
    bound = ("--bound-object-kind", "Pod", "--bound-object-name", f"agent-{name}", "--bound-object-uid", uid)
    return lab.kubectl("create", "token", "resilience-agent", "-n", SPACE, *bound).strip()


def state(lab: Lab, name: str) -> Any:
    """A NodeState as it is."""
    return json.loads(lab.kubectl("get", "nodestate", name, "-o", "json"))


class Bridge:
    """A port of loopback inside a namespace that leads to the API server; closed and opened as the test likes."""

    def __init__(self, ns: Namespace, server: str) -> None:
        parts = urlsplit(server)
        self._to = (parts.hostname or "", parts.port or 443)
        with ns.entered():
            self._door = socket.create_server(("127.0.0.1", 0))
        self.server = f"https://127.0.0.1:{self._door.getsockname()[1]}"
        self._open = True
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        """From now on nobody answers, and what stood is cut."""
        self._open = False
        for end in self._ends:
            end.close()

    def opened(self) -> None:
        """The API server is back."""
        self._open = True

    def close(self) -> None:
        """End."""
        self.shut()
        self._door.close()

    def _accept(self) -> None:
        while True:
            try:
                inside, _ = self._door.accept()
            except OSError:
                return
            if not self._open:
                inside.close()
                continue
            outside = socket.create_connection(self._to)
            self._ends += [inside, outside]
            threading.Thread(target=_carry, args=(inside, outside), daemon=True).start()


def _carry(inside: socket.socket, outside: socket.socket) -> None:
    with selectors.DefaultSelector() as ready, inside, outside:
        try:
            ready.register(inside, selectors.EVENT_READ, outside)
            ready.register(outside, selectors.EVENT_READ, inside)
            while True:
                for key, _ in ready.select(1.0):
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data:
                        return
                    key.data.sendall(data)
        except (OSError, ValueError):
            return


def tree(folder: Path, **values: int) -> Path:
    """A node's sysctls as files."""
    root = folder / "sys/net/netfilter"
    root.mkdir(parents=True)
    known = {"max": 262144, "buckets": 262144, "tcp_timeout_time_wait": 120, "count": 0}
    for name, value in (known | values).items():
        (root / f"nf_conntrack_{name}").write_text(f"{value}\n")
    return folder / "sys"


def command(*arguments: str) -> list[str]:
    """The agent's command, as its image runs it, from the files of the source."""
    _, *start = entrypoint()
    return ["env", f"PYTHONPATH={ROOT / 'operator'}", sys.executable, *start, *arguments]


def entrypoint() -> list[str]:
    """What the agent's image runs."""
    text = (ROOT / "Dockerfile.agent").read_text()
    line = next(one for one in text.splitlines() if one.startswith("ENTRYPOINT "))
    found: list[str] = json.loads(line.removeprefix("ENTRYPOINT "))
    return found


@contextmanager
def running(ns: Namespace, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """An agent that runs in a namespace until the block ends."""
    whole = ["ip", "netns", "exec", ns.name, *command("run", *arguments)]
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    with subprocess.Popen(whole, stderr=subprocess.PIPE, text=True, env=environment) as started:
        try:
            yield started
        finally:
            started.send_signal(signal.SIGTERM)
            _, said = started.communicate(timeout=30)
            sys.stderr.write(said[-4000:])
            assert started.returncode == 0, said
