"""The configuration files of a real node's daemons, and the plan of its first process.

Called by `nodes`. What each setting is for stands beside it; the rest is as the programs have it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.real import addresses, packages

_RUN, _LIB = "/run/containerd", "/var/lib/containerd"
SOCKET = f"{_RUN}/containerd.sock"
IMPORT = ("ctr", "--address", SOCKET, "--namespace", "k8s.io", "images", "import")
# What belongs to the whole machine: in the node a plain file lies over each, with what the kubelet wants, or what is.
# So a node has a limit of connection tracking that its programs may write, and the machine's stays as it is.
_TRACKING = "/proc/sys/net/netfilter/nf_conntrack_"
_KERNEL = {
    "/proc/sys/vm/overcommit_memory": "1\n",
    "/proc/sys/kernel/panic": "10\n",
    "/proc/sys/kernel/panic_on_oops": "1\n",
    f"{_TRACKING}max": "",
    f"{_TRACKING}buckets": "",
    "/sys/module/nf_conntrack/parameters/hashsize": "",
}


@dataclass(frozen=True)
class Node:
    """What one node is made of."""

    name: str
    directory: Path
    """Its own files; they are mounted over the machine's folders of the same use."""
    logs: Path
    binaries: Path
    packages: Path
    group: str
    """Its control group, from the root of each hierarchy."""
    authority: Path
    """The certificate of the lab's authority, which signs the API server's requests to the kubelet."""
    images: Sequence[Path]
    zone: str
    proxy_mode: str

    @property
    def address(self) -> str:
        """Where the others reach it."""
        return addresses.of_node(self.name)


def write(node: Node, access: Mapping[str, Path]) -> Path:
    """Write every file; returns the plan. The access is a kubeconfig for the kubelet and one for kube-proxy."""
    for folder in ("lib", "log", "cni", "sysctls"):
        (node.directory / folder).mkdir(parents=True, exist_ok=True)
    for file, value in _machine_wide().items():
        _over(node, file).write_text(value or Path(file).read_text())
    (node.directory / "containerd.toml").write_text(_containerd(node))
    _write(node.directory / "cni" / "10-lab.conflist", _cni(node))
    _write(node.directory / "kubelet.yaml", _kubelet(node))
    _write(node.directory / "kube-proxy.yaml", _kube_proxy(node, access["kube-proxy"]))
    return _write(node.directory / "plan.json", _plan(node, access["kubelet"]))


def set_proxy(directory: Path, **settings: Any) -> None:
    """Change settings in the configuration of a node's kube-proxy."""
    file = directory / "kube-proxy.yaml"
    _write(file, json.loads(file.read_text()) | settings)


def _plan(node: Node, kubelet_access: Path) -> dict[str, Any]:
    return {
        "name": node.name,
        "environment": packages.environment(node.packages),
        "tmpfs": ["/run"],
        "binds": [
            [str(node.directory / "lib"), "/var/lib"],
            [str(node.directory / "log"), "/var/log"],
            *([str(_over(node, file)), file] for file in _machine_wide()),
        ],
        "interface": "eth0",
        "network": [
            ["ip", "link", "set", "lo", "up"],
            ["ip", "address", "add", f"{node.address}/24", "dev", "eth0"],
            ["ip", "link", "set", "eth0", "up"],
            # What a node sends to a Service needs a way before kube-proxy's rules turn it to a pod.
            *(
                ["ip", "route", "add", target, "via", addresses.CONTROL_PLANE]
                for target in (addresses.PODS, addresses.SERVICES)
            ),
            ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"],
        ],
        "logs": str(node.logs),
        "containerd": ["containerd", "--config", str(node.directory / "containerd.toml")],
        "socket": SOCKET,
        "import": list(IMPORT),
        "images": [str(image) for image in node.images],
        "services": {
            "kubelet": [
                str(node.binaries / "kubelet"),
                f"--config={node.directory / 'kubelet.yaml'}",
                f"--kubeconfig={kubelet_access}",
                f"--hostname-override={node.name}",
                f"--node-ip={node.address}",
                f"--node-labels=topology.kubernetes.io/zone={node.zone}",
            ],
            "kube-proxy": [
                str(node.binaries / "kube-proxy"),
                f"--config={node.directory / 'kube-proxy.yaml'}",
            ],
        },
    }


def _containerd(node: Node) -> str:
    return f"""version = 2
root = "{_LIB}"
state = "{_RUN}"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = "{SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
path = "{_LIB}/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "resilience.lab/pause:lab"
restrict_oom_score_adj = true
disable_apparmor = true
tolerate_missing_hugetlb_controller = true
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{node.packages}/usr/lib/cni"
conf_dir = "{node.directory}/cni"
"""


def _cni(node: Node) -> dict[str, Any]:
    # Routed, not bridged: the node sees every packet between its own pods as well.
    ranges = {"type": "host-local", "ranges": [[{"subnet": addresses.of_pods(node.name)}]]}
    plugin = {"type": "ptp", "mtu": 1500, "ipam": ranges | {"routes": [{"dst": "0.0.0.0/0"}]}}
    return {"cniVersion": "0.4.0", "name": "lab", "plugins": [plugin]}


def _kubelet(node: Node) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(node.authority)},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "clusterDNS": [addresses.DNS],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.group}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "oomScoreAdj": 0,
        "protectKernelDefaults": True,
        "volumePluginDir": "/var/lib/kubelet/volumeplugins",
        # The lab's images are on the node from the start, and must stay on a disk that is nearly full.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "1%"},
        # A silent node is known within seconds.
        "nodeStatusUpdateFrequency": "2s",
        "nodeLeaseDurationSeconds": 4,
    }


def _kube_proxy(node: Node, access: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(access)},
        "hostnameOverride": node.name,
        "mode": node.proxy_mode,
        "clusterCIDR": addresses.PODS,
        # As on a node that leaves these to others.
        "conntrack": {"maxPerCore": 0, "min": 0},
    }


def _machine_wide() -> dict[str, str]:
    return {file: value for file, value in _KERNEL.items() if Path(file).exists()}


def _over(node: Node, file: str) -> Path:
    """What lies over a file of the machine."""
    return node.directory / "sysctls" / file.strip("/").replace("/", ".")


def _write(file: Path, content: Any) -> Path:
    file.write_text(json.dumps(content, indent=2))
    return file
