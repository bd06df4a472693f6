"""The recommended launch settings, each value with its source; docs/bottlerocket.md is printed from here.

Pure. Used by placing, and by cli/explain for the page.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

from resilience_operator.targets.bottlerocket.document import Tree

_KUBELET = "the kubelet's own default (also what Amazon Linux 2023 runs with)"
_FIELD = "field report of the incident"
_OWN = "this project's choice"


@dataclass(frozen=True, slots=True)
class Value:
    """One recommended setting: its path below [settings], its value, where that comes from, and why it is there."""

    path: tuple[str, ...]
    value: Any
    source: str
    why: str


def _at(table: str, key: str) -> tuple[str, ...]:
    return ("kubernetes", *table.split(), key)


EVICTION: Final = (
    Value(
        _at("eviction-hard", "memory.available"),
        "100Mi",
        _KUBELET,
        "the node ends pods before the kernel does",
    ),
    Value(
        _at("eviction-hard", "nodefs.available"),
        "10%",
        _KUBELET,
        "the data volume, with images, logs and emptyDir",
    ),
    Value(
        _at("eviction-hard", "nodefs.inodesFree"), "5%", _KUBELET, "many small files fill a volume as well"
    ),
    Value(
        _at("eviction-hard", "imagefs.available"),
        "10%",
        f"{_OWN}: the kubelet's is 15%",
        "images share the data volume: at 15% pods are evicted at the moment at which images begin to be collected",
    ),
    Value(
        _at("eviction-hard", "imagefs.inodesFree"), "5%", "the kubelet's own default", "as nodefs.inodesFree"
    ),
    Value(
        _at("eviction-hard", "pid.available"),
        "10%",
        f"{_OWN}: the kubelet has none",
        "a pod that forks without end leaves no process for the node's own work",
    ),
    Value(
        _at("eviction-soft", "memory.available"),
        "250Mi",
        f"{_OWN}: above the hard threshold",
        "pods that grow slowly end with their grace period, not without",
    ),
    Value(
        _at("eviction-soft-grace-period", "memory.available"),
        "1m30s",
        "example of the Kubernetes documentation (Node-pressure Eviction)",
        "how long memory must be short; without it the kubelet does not start",
    ),
    Value(
        ("kubernetes", "eviction-max-pod-grace-period"),
        60,
        _OWN,
        "the most that a pod gets to end after a soft threshold",
    ),
    Value(
        ("kubernetes", "image-gc-high-threshold-percent"),
        "85",
        f"the kubelet's own default; {_FIELD} node-eats-itself",
        "unused images go before pods do; a string, because Karpenter fails on the number",
    ),
    Value(
        ("kubernetes", "image-gc-low-threshold-percent"),
        "80",
        f"the kubelet's own default; {_FIELD} node-eats-itself",
        "where collecting images ends",
    ),
)
LOG_ROTATION: Final = (
    Value(
        ("kubernetes", "container-log-max-size"),
        "100Mi",
        f"{_FIELD} node-eats-itself",
        "the kubelet's 10Mi are minutes of a busy service",
    ),
    Value(
        ("kubernetes", "container-log-max-files"),
        50,
        f"{_FIELD} node-eats-itself",
        "up to 5 GiB of one container: logs outlive hours without a collector; size the data volume for it",
    ),
)
PRESETS: Final = {"Eviction": EVICTION, "LogRotation": LOG_ROTATION}
"""Name -> its values, as `launchSettings.presets` names them."""


def tree(*values: Value) -> Tree:
    """The values as a tree with its root table: {"settings": {...}}."""
    root: Tree = {}
    for one in values:
        place = root.setdefault("settings", {})
        for part in one.path[:-1]:
            place = place.setdefault(part, {})
        place[one.path[-1]] = one.value
    return root


@dataclass(frozen=True, slots=True)
class Instance:
    """The size of an instance: cores, memory in MiB, and how many pods it may run."""

    cores: int
    memory: int
    max_pods: int


def reservations(size: Instance) -> tuple[Value, ...]:
    """What is kept from pods on an instance of that size. Raises ValueError for a size that there is not."""
    if min(size.cores, size.memory, size.max_pods) < 1:
        raise ValueError("an instance has at least a core, a MiB of memory and room for a pod")
    formula = "Bottlerocket's own formula (core-kit, schnauzer helpers)"
    system = min(max(size.memory // 50, 100), 1024)
    return (
        Value(
            _at("kube-reserved", "cpu"),
            f"{kube_cpu(size.cores)}m",
            formula,
            "the kubelet and containerd, by cores",
        ),
        Value(
            _at("kube-reserved", "memory"),
            f"{11 * size.max_pods + 255}Mi",
            formula,
            "11 MiB for each pod that may run, and 255 MiB",
        ),
        Value(_at("kube-reserved", "ephemeral-storage"), "1Gi", formula, "a fixed part of the data volume"),
        Value(
            _at("system-reserved", "cpu"),
            "100m",
            f"{_OWN}: Bottlerocket reserves none",
            "systemd, host containers",
        ),
        Value(
            _at("system-reserved", "memory"),
            f"{system}Mi",
            f"{_OWN}: 2% of the memory, from 100 MiB to 1 GiB",
            "the kernel, systemd and host containers: what pods may not take from them",
        ),
    )


def kube_cpu(cores: int) -> int:
    """Thousandths of a core for Kubernetes: 60, 70, 75, 80 for the first four cores, then 2.5 for each."""
    steps = (60, 70, 75, 80)
    return steps[cores - 1] if cores <= len(steps) else math.floor(80 + 2.5 * (cores - 4))
