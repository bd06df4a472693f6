"""The cluster-proportional-autoscaler (CPA) as its own command line describes it: what it scales, and by what.

Used by observed (index, views), rules (floors) and adapters (whose arguments are kept). CPA is no API kind: a
Deployment whose container bears its flags is one (cmd/cluster-proportional-autoscaler/options of its source).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from resilience_operator.observed.objects import Deployment

BINARY = "cluster-proportional-autoscaler"
MODES = frozenset({"linear", "ladder"})
"""The keys of its ConfigMap."""


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """One CPA: `targets` are (kind in lower case, name); `namespace` is theirs and the ConfigMap's.

    `container`: which container runs it; `default_params`: the parameters of which it makes the ConfigMap anew.
    """

    namespace: str
    targets: tuple[tuple[str, str], ...]
    config_map: str
    default_params: str
    container: str = ""

    def scales(self, namespace: str, name: str) -> bool:
        """True where it scales that Deployment."""
        return namespace == self.namespace and ("deployment", name) in self.targets


def looks_like(argv: Sequence[str]) -> bool:
    """True where a command line is CPA's: its binary, or both of the flags that only it has together."""
    names = {token.lstrip("-").partition("=")[0] for token in argv if token.startswith("-")}
    return any(token.rpartition("/")[2] == BINARY for token in argv) or {"target", "configmap"} <= names


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


@lru_cache(maxsize=256)
def parse(argv: tuple[str, ...], namespace: str, container: str = "") -> Autoscaler | None:
    """The CPA of a command line; `namespace`: where it runs, which holds unless a flag says otherwise."""
    if not looks_like(argv):
        return None
    flags = dict(_flags(argv))
    targets = tuple(_target(text) for text in flags.get("target", "").split(",") if text.strip())
    return Autoscaler(
        flags.get("namespace") or namespace,
        targets,
        flags.get("configmap", ""),
        flags.get("default-params", ""),
        container,
    )


def _target(text: str) -> tuple[str, str]:
    kind, _, name = text.strip().partition("/")
    return kind.lower().removesuffix("s"), name


def _flags(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(name, value) of `--name=value`, `--name value` and their forms with one dash."""
    tokens = iter(argv)
    for token in tokens:
        if not token.startswith("-"):
            continue
        name, sign, value = token.lstrip("-").partition("=")
        yield name, value if sign else next(tokens, "")
