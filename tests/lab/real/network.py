"""The lab's network: a namespace with a bridge and the control plane, a cable to each node, and no way out.

Called by `tests.lab.boot` before the control plane starts, and by `nodes`. The namespaces have no name on the machine:
they live as long as the processes in them, so nothing of them outlives the lab.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.parts import API_SERVER, CONTROLLER_MANAGER, Layout
from tests.lab.pki import Authority
from tests.lab.process import Supervisor
from tests.lab.real import addresses
from tests.lab.waiting import wait

NETWORK, DOOR = "network", "door"
BRIDGE = "lab"
_DOOR = Path(__file__).with_name("door.py")


def inside(layout: Layout, authority: Authority) -> Layout:
    """The same control plane, inside the lab's network, where its nodes reach it."""
    certificate, key = authority.client("kube-apiserver-kubelet-client", ("system:masters",))
    more = {
        API_SERVER: (
            "--bind-address=0.0.0.0",
            f"--advertise-address={addresses.CONTROL_PLANE}",
            # The endpoints of the Service kubernetes, through which pods reach the API.
            "--endpoint-reconciler-type=lease",
            f"--kubelet-client-certificate={certificate}",
            f"--kubelet-client-key={key}",
            "--kubelet-preferred-address-types=InternalIP",
        ),
        # How long a node may be silent: 50 s on a real cluster, too long for a test.
        CONTROLLER_MANAGER: ("--node-monitor-grace-period=8s",),
    }
    flags = {part: (*more.get(part, ()), *layout.flags.get(part, ())) for part in {*more, *layout.flags}}
    return replace(layout, flags=flags, enter=("nsenter", f"--net={layout.directory / NETWORK}"))


def open_network(layout: Layout, supervisor: Supervisor) -> None:
    """Make the namespace of the control plane with its bridge, and the door to it."""
    holder = supervisor.start(NETWORK, ["unshare", "--net", "sleep", "infinity"])
    link(layout.directory / NETWORK, holder, NETWORK)
    for command in (
        ("ip", "link", "set", "lo", "up"),
        ("ip", "link", "add", BRIDGE, "type", "bridge"),
        ("ip", "address", "add", f"{addresses.CONTROL_PLANE}/24", "dev", BRIDGE),
        ("ip", "link", "set", BRIDGE, "up"),
        ("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"),
    ):
        enter(layout.directory / NETWORK, *command)
    argv = [
        sys.executable,
        "-IS",
        str(_DOOR),
        str(layout.directory / NETWORK),
        *map(str, layout.ports.values()),
    ]
    supervisor.start(DOOR, argv)


def plug(layout: Layout, node: str, process: int) -> None:
    """A cable between the bridge and a node, and the way to its pods."""
    hub = layout.directory / NETWORK
    enter(hub, "ip", "link", "add", node, "type", "veth", "peer", "name", "eth0", "netns", str(process))
    enter(hub, "ip", "link", "set", node, "master", BRIDGE, "up")
    enter(hub, "ip", "route", "replace", addresses.of_pods(node), "via", addresses.of_node(node))


def link(file: Path, process: int, kind: str) -> None:
    """Give the network namespace of a process a name in the lab's directory, once it has its own."""
    namespace = Path(f"/proc/{process}/ns/net")
    ours = Path("/proc/self/ns/net").readlink()
    wait(_has_its_own(namespace, ours), 10, f"{kind} to have a network namespace", every=0.01)
    file.unlink(missing_ok=True)
    file.symlink_to(namespace)


def _has_its_own(namespace: Path, ours: Path) -> Callable[[], bool]:
    def probe() -> bool:
        try:
            return namespace.readlink() != ours
        except OSError:
            return False

    return probe


def enter(namespace: Path, *argv: str) -> str:
    """Run a program in a network namespace to its end; its output, or LabError with its words."""
    result = subprocess.run(
        ["nsenter", f"--net={namespace}", *argv], check=False, capture_output=True, text=True
    )
    if result.returncode != 0:
        raise LabError(f"{' '.join(argv)}: {result.stderr.strip() or result.stdout.strip()}")
    return result.stdout
