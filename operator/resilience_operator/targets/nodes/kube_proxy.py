"""What kube-proxy writes on a node, by its ConfigMap in kube-system: kubeadm's kube-proxy, or EKS's kube-proxy-config.

Read for findings that name who wins. Its version is that of the node's kubelet where the node does not say it: the two
differ by three minor releases at most, and what it writes changed with 1.29 last (core/kube_proxy).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from resilience_operator.cluster.objects.workloads import ConfigMap, Node
from resilience_operator.core.kube_proxy import UnreadableConfigError, Version, writes

PLACES = (("kube-system", "kube-proxy", "config.conf"), ("kube-system", "kube-proxy-config", "config"))
"""(namespace, name, key) of its configuration."""

MOST = 64 * 1024
"""Characters of a configuration that is read."""

_VERSION = re.compile(r"v(\d{1,3})\.(\d{1,3})")


@dataclass(frozen=True)
class Configuration:
    """Its section `conntrack`, and where it was found; `problem`: why it cannot be read, "" where it can."""

    place: str
    conntrack: Mapping[str, Any] = field(default_factory=dict, hash=False)
    problem: str = ""

    def writes(self, node: Node, cores: int) -> dict[str, int]:
        """Sysctl -> what it writes at its start on the node; empty where nobody can tell."""
        version = version_of(node)
        if self.problem or version is None or cores < 1:
            return {}
        try:
            return writes(self.conntrack, version, cores)
        except UnreadableConfigError:
            return {}


def version_of(node: Node) -> Version | None:
    """(major, minor) of the node's kube-proxy, else of its kubelet; None where it says neither."""
    info = node.status.node_info
    found = _VERSION.match(info.kube_proxy_version) or _VERSION.match(info.kubelet_version)
    return (int(found[1]), int(found[2])) if found else None


def read(found: ConfigMap | None, key: str) -> Configuration | None:
    """The configuration in a ConfigMap; None where there is none."""
    text = found.data.get(key) if found is not None else None
    if found is None or text is None:
        return None
    place = f"{found.metadata.namespace}/{found.metadata.name}"
    if len(text) > MOST:
        return Configuration(place, problem=f"it has more than {MOST} characters")
    try:
        body = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - safe in both
        section = body.get("conntrack") if isinstance(body, dict) else None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return Configuration(place, problem=f"it is no YAML: {type(error).__name__}")
    if section is not None and not isinstance(section, dict):
        return Configuration(place, problem="conntrack is no object")
    return Configuration(place, section or {})
