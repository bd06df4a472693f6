"""The cluster-proportional-autoscaler (CPA) as its own command line describes it: what it scales, and by what.

Used by observed (index, views), rules (floors) and adapters (whose arguments are kept). CPA is no API kind: a
Deployment whose container bears its flags is one (cmd/cluster-proportional-autoscaler/options of its source).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resilience_operator.cluster.leaves import REPLICAS
from resilience_operator.cluster.objects.workloads import Deployment
from resilience_operator.cluster.state import believe
from resilience_operator.core.caching import kept
from resilience_operator.core.refs import Key

BINARY = "cluster-proportional-autoscaler"
DEFAULT_PARAMS = "default-params"
_FLAG = re.compile(r"--?(namespace|target|configmap|default[-_]params)(?:(=).*)?", re.DOTALL)
_KINDS = ("deployment", "replicaset", "statefulset", "replicationcontroller")
SYSTEM = "kube-system"
MODES = frozenset({"linear", "ladder"})
"""The keys of its ConfigMap."""


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """One CPA: `targets` are (kind in lower case, name), several from CPA 1.10 on.

    `namespace`: theirs, and the ConfigMap's. `container`: which container runs it; `default_params`: the parameters
    of which it makes the ConfigMap anew. "" where a flag is not given.
    """

    namespace: str
    targets: tuple[tuple[str, str], ...]
    config_map: str
    default_params: str
    container: str = ""
    home: str = ""
    """The namespace in which it runs itself."""

    @property
    def claimed(self) -> list[Key]:
        """The keys of the Deployments that it says it scales."""
        return [(self.namespace, name) for kind, name in self.targets if kind == "deployment"]

    @property
    def deployments(self) -> list[Key]:
        """The keys of the Deployments that it scales.

        A command line is no proof, and anybody may write one: it is believed beside its target, where whoever wrote it
        may change the target as well, and in kube-system, where tenants write nothing. A file may leave it open.
        """
        return self.claimed if self.home in {"", self.namespace, SYSTEM} else []


def looks_like(argv: Sequence[str]) -> bool:
    """True where a command line is CPA's: its program, or both of the flags that only it has together."""
    program = argv[0].rpartition("/")[2] if argv else ""
    return program == BINARY or {"target", "configmap"} <= flags(argv).keys()


def may_be_parameters(name: str, data: Mapping[str, Any]) -> bool:
    """True where a ConfigMap of that name and data may be CPA's; nothing is kept of any other."""
    return "autoscaler" in name or not MODES.isdisjoint(data)


def autoscaler_of(deployment: Deployment) -> Autoscaler | None:
    """The CPA that a Deployment runs, or None."""
    for container in deployment.spec.template.spec.containers:
        if container.command or container.args:
            found = parse(container.argv, deployment.metadata.namespace, container.name)
            if found is not None:
                return found
    return None


def scales(autoscaler: Deployment, key: Key) -> bool:
    """True where the CPA that this Deployment runs scales the Deployment with that key, and may be believed."""
    found = autoscaler_of(autoscaler)
    return found is not None and key in found.deployments


def stands_still(autoscaler: Deployment) -> bool:
    """True where its owner keeps a CPA's Deployment at 0 replicas: it scales nobody. One that we stopped will again."""
    return autoscaler.replicas == 0 and str(REPLICAS) not in believe(autoscaler)[0].leaves


@kept(256, longest=4096)
def parse(argv: tuple[str, ...], namespace: str, container: str = "") -> Autoscaler | None:
    """The CPA of a command line; `namespace`: where it runs, which holds unless a flag says otherwise."""
    if not looks_like(argv):
        return None
    said = {name: value for name, (_, _, value) in flags(argv).items()}
    targets = tuple(_target(one.strip()) for one in said.get("target", "").split(",") if one.strip())
    return Autoscaler(
        said.get("namespace") or namespace,
        targets,
        said.get("configmap", ""),
        said.get(DEFAULT_PARAMS, ""),
        container,
        namespace,
    )


def flags(argv: Sequence[str]) -> dict[str, tuple[int, str, str]]:
    """By name: which word has the value, what stands before it there, and the value; the last of equal flags wins."""
    found, at = {}, 0
    while at < len(argv):
        flag = _FLAG.fullmatch(argv[at])
        prefix = argv[at][: flag.end(2)] if flag and flag[2] else ""
        at += flag is not None and not prefix
        if flag and at < len(argv):
            found[flag[1].replace("_", "-")] = (at, prefix, argv[at][len(prefix) :])
        at += 1
    return found


def _target(written: str) -> tuple[str, str]:
    """Such as deployment/coredns or deployments.apps/coredns; the autoscaler reads both words in lower case."""
    resource, _, name = written.lower().partition("/")
    kind, _, group = resource.partition(".")
    singular = kind.removesuffix("s")
    known = singular in _KINDS and group in {"", "apps", "v1.apps"}
    return (singular if known else resource), name
