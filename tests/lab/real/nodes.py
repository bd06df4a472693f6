"""What the lab does to its real nodes: `lab.real`.

Made by `tests.lab.boot`. A node is one part of the lab, whose first process starts its daemons; to kill it is to power
the node off.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from tests.lab import build, kubeconfig
from tests.lab.api import Api
from tests.lab.errors import LabError
from tests.lab.parts import API_SERVER, Layout
from tests.lab.pki import Authority
from tests.lab.process import Supervisor
from tests.lab.real import addresses, cgroups, config, images, network, packages
from tests.lab.real.traffic import Traffic
from tests.lab.waiting import wait

ProxyMode = Literal["iptables", "nftables"]
_INIT = Path(__file__).with_name("init.py")
_NAMESPACES = ("--net", "--mount", "--pid", "--fork", "--mount-proc", "--uts", "--ipc", "--kill-child=KILL")
_UNCLEAN = ("SYN_SENT", "SYN_RECV", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE")
# A running node with its pods takes no port of the machine, so only memory bounds their number.
MOST = 8


class RealNodes:
    """The nodes of one lab."""

    def __init__(self, layout: Layout, supervisor: Supervisor, api: Api) -> None:
        self._layout = layout
        self._supervisor = supervisor
        self._api = api
        self._authority = Authority(layout.directory / "pki")
        self._images: list[Path] = []
        self._sweeper = self._start_sweeper()

    @property
    def group(self) -> str:
        """The control group of all its nodes, from the root of each hierarchy."""
        return f"resilience-lab-{self._supervisor.pid}"

    def names(self) -> list[str]:
        """The nodes that run."""
        return sorted(name for name in self._supervisor.running() if name.startswith("real-"))

    def power_on(self, name: str, zone: str = "zone-a", proxy: ProxyMode = "iptables") -> None:
        """Start a node, empty but for the images; `wait_ready` tells when it has joined."""
        if not 1 <= addresses.number(name) <= MOST:
            raise LabError(f"a real node is called real-1 to real-{MOST}")
        plan = config.write(self._node(name, zone, proxy), self._access(name))
        cgroups.make(f"{self.group}/{name}")
        process = self._supervisor.start(
            name, ["unshare", *_NAMESPACES, sys.executable, "-IS", str(_INIT), str(plan)]
        )
        network.link(self.network_of(name), process, name)
        network.plug(self._layout, name, process)

    def load(self, archive: Path) -> None:
        """Bring an image to every node, also to those that are powered on later."""
        self._archives().append(archive)
        for name in self.names():
            self.inside(name, *config.IMPORT, str(archive))

    def power_off(self, name: str) -> None:
        """Take the power from a node: its pods and daemons are gone at once, and nobody is told."""
        self._supervisor.kill(name)
        if not cgroups.sweep(f"{self.group}/{name}"):
            raise LabError(f"{name}'s control groups are still in use")
        shutil.rmtree(self._layout.directory / "nodes" / name, ignore_errors=True)

    def set_proxy(self, name: str, **settings: Any) -> None:
        """Let a node's kube-proxy start anew with other settings; in another `mode` it removes its former rules."""
        before = self.process(name, "kube-proxy")
        config.set_proxy(self._layout.directory / "nodes" / name, **settings)
        # It looks after its file, and may have ended by itself.
        with suppress(LabError, ProcessLookupError):
            self.signal(name, "kube-proxy", signal.SIGKILL)
        what = f"kube-proxy on {name} runs again and Services answer"
        wait(lambda: self.process(name, "kube-proxy") not in (0, before) and self.resolves(name), 30, what)

    def wait_ready(self, name: str, timeout: float = 60.0) -> None:
        """Wait until the control plane sees the node Ready; its daemons' last words where it does not."""
        try:
            wait(lambda: self._is_ready(name), timeout, f"node {name} is Ready")
        except AssertionError as error:
            raise LabError(f"{error}\n{self.tail(name)}") from error

    def tail(self, name: str, lines: int = 12) -> str:
        """The end of the logs of a node."""
        files = [self._supervisor.log(name), *sorted((self._layout.logs / name).glob("*.log"))]
        found = [
            (file.name, file.read_text(errors="replace").splitlines()[-lines:])
            for file in files
            if file.exists()
        ]
        return "\n".join(f"--- {title}\n" + "\n".join(text) for title, text in found)

    def network_of(self, name: str) -> Path:
        """The network namespace of a node, for `nsenter --net=`."""
        return self._layout.directory / f"{name}.{network.NETWORK}"

    def command(self, name: str, *argv: str) -> list[str]:
        """A command line that runs a program in a node's network, and ends with whoever starts it."""
        guard = ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net={self.network_of(name)}"]
        return [*guard, "env", *_programs(), *argv]

    def run(self, name: str, *argv: str) -> str:
        """Run a program in a node's network to its end: `conntrack`, `nft`, `ip`; its output."""
        result = subprocess.run(self.command(name, *argv), check=False, capture_output=True, text=True)
        if result.returncode != 0:
            raise LabError(f"{name}: {' '.join(argv)}: {result.stderr.strip()}")
        return result.stdout

    def inside(self, name: str, *argv: str) -> str:
        """Run a program where the node's daemons do, with its mounts and processes, to its end; its output."""
        first = _children(self._supervisor.running()[name])[0]
        result = subprocess.run(
            ["nsenter", f"--target={first}", "--mount", "--pid", "--net", "env", *_programs(), *argv],
            check=False,
            capture_output=True,
            text=True,
        )
        if result.returncode != 0:
            raise LabError(f"{name}: {' '.join(argv)}: {result.stderr.strip()}")
        return result.stdout

    def forget_connections(self) -> None:
        """Let every node forget UDP, and TCP that is no living connection; entries of an unclean rollout lose requests.

        Living connections stay, because those of pods to the API server are among them.
        """
        for name in self.names():
            for what in (["udp"], *(["tcp", "--state", state] for state in _UNCLEAN)):
                # It ends with an error where there was none.
                self.run(name, "sh", "-c", f"conntrack -D -p {' '.join(what)} || true")

    def signal(self, name: str, program: str, number: signal.Signals) -> None:
        """Send a signal to a daemon of a node: SIGSTOP to `kube-proxy`; a killed one is started again."""
        process = self.process(name, program)
        if not process:
            raise LabError(f"no {program} runs on {name}")
        os.kill(process, number)

    def process(self, name: str, program: str) -> int:
        """The id of a node's daemon as the machine sees it, 0 while it is down."""
        named = (each for each in self._processes(name) if _name(each) == program)
        return next(named, 0)

    def resolves(self, name: str) -> bool:
        """Whether cluster DNS answers a node through its Service."""
        question = (f"{addresses.DNS}:53", "kubernetes.default.svc.cluster.local")
        return self.traffic(name, "dns", "-for", "50ms", *question).wait().lost == 0

    def traffic(self, name: str, *arguments: str) -> Traffic:
        """Start a client in a node's network: `http` or `dns` with its flags, see modules/traffic."""
        return Traffic(self.command(name, str(build.binaries(build.REAL_NODES) / "traffic"), *arguments))

    def wait_swept(self) -> None:
        """Wait until nothing of the nodes is left on the machine; called when the lab has stopped."""
        if self._sweeper.wait(timeout=60) != 0:
            raise LabError(f"control groups are left: {[str(path) for path in cgroups.left(self.group)]}")

    def _start_sweeper(self) -> subprocess.Popen[bytes]:
        # Not a part of the lab: it outlives the reaper, whatever ends that, and cleans up behind it.
        argv = [sys.executable, "-IS", cgroups.__file__, str(self._supervisor.pid), self.group]
        return subprocess.Popen(
            [*argv, str(self._layout.directory)], stdin=subprocess.DEVNULL, start_new_session=True
        )

    def _processes(self, name: str) -> Sequence[int]:
        # The daemons are children of the node's first process, and that of the part.
        part = self._supervisor.running()[name]
        return [child for first in _children(part) for child in _children(first)]

    def _is_ready(self, name: str) -> bool:
        if name not in self._supervisor.running():
            raise LabError(f"{name} went down:\n{self.tail(name)}")
        for node in self._api.get("/api/v1/nodes")["items"]:
            if node["metadata"]["name"] == name:
                conditions = {one["type"]: one["status"] for one in node["status"].get("conditions", ())}
                return conditions.get("Ready") == "True" and not node["spec"].get("taints")
        return False

    def _node(self, name: str, zone: str, proxy: ProxyMode) -> config.Node:
        found = packages.unpacked()
        assert found is not None
        logs = self._layout.logs / name
        logs.mkdir(exist_ok=True)
        return config.Node(
            name=name,
            directory=self._layout.directory / "nodes" / name,
            logs=logs,
            binaries=build.binaries(build.REAL_NODES),
            packages=found,
            group=f"{self.group}/{name}",
            authority=self._authority.certificate_file,
            images=self._archives(),
            zone=zone,
            proxy_mode=proxy,
        )

    def _access(self, name: str) -> dict[str, Path]:
        users = {
            "kubelet": (f"system:node:{name}", ("system:nodes",)),
            "kube-proxy": ("system:kube-proxy", ()),
        }
        server = f"https://{addresses.CONTROL_PLANE}:{self._layout.ports[API_SERVER]}"
        return {
            daemon: kubeconfig.write(
                self._layout.directory / f"{name}.{daemon}.kubeconfig",
                server,
                self._authority.certificate_file,
                user,
                kubeconfig.certificate(*self._authority.client(user, (*groups, "resilience-lab:parts"))),
            )
            for daemon, (user, groups) in users.items()
        }

    def _archives(self) -> list[Path]:
        if not self._images:
            folder, programs = self._layout.directory / "images", build.binaries(build.REAL_NODES)
            folder.mkdir()
            self._images = [
                images.write(image, folder / f"{number}.tar") for number, image in enumerate(_made(programs))
            ]
        return self._images


def _made(programs: Path) -> tuple[images.Image, ...]:
    traffic, coredns = programs / "traffic", programs / "coredns"
    return (
        images.Image("pause:lab", {"/traffic": traffic}, ("/traffic", "pause")),
        images.Image("traffic:lab", {"/traffic": traffic}, ("/traffic",), ("serve", ":8080")),
        images.Image("coredns:lab", {"/coredns": coredns}, ("/coredns",)),
    )


def _programs() -> list[str]:
    """What a program needs to find the unpacked ones, as arguments of `env`."""
    found = packages.unpacked()
    assert found is not None
    return [f"{key}={value}" for key, value in packages.environment(found).items()]


def _name(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return ""


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
