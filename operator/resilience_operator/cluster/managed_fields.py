"""Who owns the leaves that we publish: managedFields, reduced.

Used by cluster/keep and, for what they have in common, cluster/last_applied. Only what the published leaves need is
decoded; the rest is skipped in the decoder, which is why a Deployment costs microseconds and not the 80 that its
managedFields cost as dicts.
Format: managedFields' FieldsV1 (structured-merge-diff: `f:` a field, `k:` the keys of a list entry).
"""

import re
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from resilience_operator.cluster.interning import share_text, shared_set
from resilience_operator.cluster.objects.workloads import (
    EVICTION_POLICY,
    MAX_UNAVAILABLE,
    MIN_AVAILABLE,
    SELECTOR,
    Claim,
)
from resilience_operator.core.caching import kept

REPLICAS = "spec.replicas"
MIN_REPLICAS = "spec.minReplicas"
MIN_REPLICA_COUNT = "spec.minReplicaCount"
CPA_MODES = ("linear", "ladder")
GRACE_PERIOD = "spec.template.spec.terminationGracePeriodSeconds"
DNS_OPTIONS = "spec.template.spec.dnsConfig.options"


@kept(4096)
def pre_stop(container: str) -> str:
    """The written path of a container's preStop hook."""
    return f"spec.template.spec.containers[name={container}].lifecycle.preStop"


@kept(4096)
def argv(container: str, field: str) -> str:
    """The written path of a container's `command` or `args`."""
    return f"spec.template.spec.containers[name={container}].{field}"


@kept(4096)
def constraint(topology_key: str, when_unsatisfiable: str) -> str:
    """The written path of an entry of topologySpreadConstraints."""
    keys = f"topologyKey={topology_key},whenUnsatisfiable={when_unsatisfiable}"
    return f"spec.template.spec.topologySpreadConstraints[{keys}]"


class Decoded(msgspec.Struct, gc=False):
    """Base of what is decoded and thrown away at once."""


class _Owned(Decoded):
    """The presence of a field; what lies below it does not matter."""


class _OwnedLifecycle(Decoded):
    pre_stop: _Owned | None = msgspec.field(default=None, name="f:preStop")


class _OwnedContainer(Decoded):
    lifecycle: _OwnedLifecycle | None = msgspec.field(default=None, name="f:lifecycle")
    command: _Owned | None = msgspec.field(default=None, name="f:command")
    args: _Owned | None = msgspec.field(default=None, name="f:args")


class _OwnedConstraint(Decoded):
    """Its fields have owners of their own: who was overruled in one still owns the others."""

    max_skew: _Owned | None = msgspec.field(default=None, name="f:maxSkew")
    label_selector: _Owned | None = msgspec.field(default=None, name="f:labelSelector")


class _OwnedDNSConfig(Decoded):
    options: _Owned | None = msgspec.field(default=None, name="f:options")


class _OwnedPodSpec(Decoded):
    grace_period: _Owned | None = msgspec.field(default=None, name="f:terminationGracePeriodSeconds")
    dns_config: _OwnedDNSConfig | None = msgspec.field(default=None, name="f:dnsConfig")
    containers: dict[str, _OwnedContainer] = msgspec.field(default_factory=dict, name="f:containers")
    constraints: dict[str, _OwnedConstraint] = msgspec.field(
        default_factory=dict, name="f:topologySpreadConstraints"
    )


class _OwnedTemplate(Decoded):
    spec: _OwnedPodSpec | None = msgspec.field(default=None, name="f:spec")


class Numbers(Protocol):
    """What has numbers of replicas, in managedFields or in a manifest; None: it is silent."""

    replicas: Any
    min_replicas: Any
    min_replica_count: Any


class _OwnedSpec(Decoded):
    replicas: _Owned | None = msgspec.field(default=None, name="f:replicas")
    min_replicas: _Owned | None = msgspec.field(default=None, name="f:minReplicas")
    min_replica_count: _Owned | None = msgspec.field(default=None, name="f:minReplicaCount")
    template: _OwnedTemplate | None = msgspec.field(default=None, name="f:template")


class _OwnedAnnotations(Decoded):
    state: _Owned | None = msgspec.field(default=None, name="f:resilience.dev/state")
    addon_state: _Owned | None = msgspec.field(default=None, name="f:resilience.dev/addon-state")


class _OwnedMeta(Decoded):
    annotations: _OwnedAnnotations | None = msgspec.field(default=None, name="f:annotations")


class _Fields(Decoded):
    metadata: _OwnedMeta | None = msgspec.field(default=None, name="f:metadata")
    spec: _OwnedSpec | None = msgspec.field(default=None, name="f:spec")
    data: dict[str, _Owned] = msgspec.field(default_factory=dict, name="f:data")


class ManagedFields(Decoded):
    """One entry of metadata.managedFields."""

    manager: str = ""
    operation: str = ""
    subresource: str = ""
    time: str = ""
    fields: _Fields | None = msgspec.field(default=None, name="fieldsV1")


class _OwnedBudget(Decoded):
    min_available: _Owned | None = msgspec.field(default=None, name="f:minAvailable")
    max_unavailable: _Owned | None = msgspec.field(default=None, name="f:maxUnavailable")
    selector: _Owned | None = msgspec.field(default=None, name="f:selector")
    eviction_policy: _Owned | None = msgspec.field(default=None, name="f:unhealthyPodEvictionPolicy")


class _BudgetFields(Decoded):
    spec: _OwnedBudget | None = msgspec.field(default=None, name="f:spec")


class BudgetFields(Decoded):
    """One entry of a PodDisruptionBudget's metadata.managedFields."""

    manager: str = ""
    operation: str = ""
    subresource: str = ""
    time: str = ""
    fields: _BudgetFields | None = msgspec.field(default=None, name="fieldsV1")


NOTHING: frozenset[str] = frozenset()
_KEY = re.compile(r"[A-Za-z0-9._/-]{0,317}")
"""Names of containers, keys of labels, words of an enum."""

_decode_keys = msgspec.json.Decoder(dict[str, str]).decode


def budget_claims(entries: tuple[BudgetFields, ...]) -> tuple[Claim, ...]:
    """The claims of the managers that own a field of a budget's spec; of whoever owns none nothing is kept."""
    made = []
    for entry in entries:
        spec = entry.fields.spec if entry.fields is not None else None
        owned = {
            MIN_AVAILABLE: spec and spec.min_available,
            MAX_UNAVAILABLE: spec and spec.max_unavailable,
            SELECTOR: spec and spec.selector,
            EVICTION_POLICY: spec and spec.eviction_policy,
        }
        leaves = shared_set(tuple(leaf for leaf, there in owned.items() if there is not None))
        if leaves:
            named = (share_text(entry.manager), share_text(entry.operation), share_text(entry.subresource))
            made.append(Claim(*named, entry.time, leaves))
    return tuple(made)


def claims(entries: tuple[ManagedFields, ...]) -> tuple[Claim, ...]:
    """The claim of every manager of the object itself, in the server's order; of a subresource's only with leaves.

    Also a manager that owns none of our leaves matters: it may be the one that removed them.
    """
    made = [claim for entry in entries if (claim := _claim(entry)) is not None]
    return tuple(made)


def _claim(entry: ManagedFields) -> Claim | None:
    fields = entry.fields
    if fields is None:
        return None
    owned = _owned_leaves(fields.spec) if fields.spec is not None else []
    owned += _modes(f"f:{mode}" in fields.data for mode in CPA_MODES) if fields.data else []
    leaves = shared_set(tuple(owned))
    noted = fields.metadata.annotations if fields.metadata is not None else None
    state = noted is not None and noted.state is not None
    addon_state = noted is not None and noted.addon_state is not None
    if not leaves and not state and entry.subresource:
        return None
    manager, operation, subresource = (
        share_text(entry.manager),
        share_text(entry.operation),
        share_text(entry.subresource),
    )
    template = fields.spec is not None and fields.spec.template is not None
    return Claim(manager, operation, subresource, entry.time, leaves, state, addon_state, template)


def _modes(present: Iterable[bool]) -> list[str]:
    return [f"data.{mode}" for mode, there in zip(CPA_MODES, present, strict=True) if there]


def _owned_leaves(spec: _OwnedSpec) -> list[str]:
    leaves = numbers(spec)
    pod = spec.template.spec if spec.template is not None else None
    if pod is None:
        return leaves
    if pod.grace_period is not None:
        leaves.append(GRACE_PERIOD)
    if pod.dns_config is not None and pod.dns_config.options is not None:
        leaves.append(DNS_OPTIONS)
    for key, container in pod.containers.items():
        name = _keys(key).get("name", "")
        if container.lifecycle is not None and container.lifecycle.pre_stop is not None:
            leaves.append(pre_stop(name))
        leaves += [argv(name, "command")] if container.command is not None else []
        leaves += [argv(name, "args")] if container.args is not None else []
    for key, entry in pod.constraints.items():
        if keys := _keys(key):
            path = constraint(keys.get("topologyKey", ""), keys.get("whenUnsatisfiable", ""))
            leaves += [path, *_fields_of(path, entry)]
    return leaves


def _fields_of(path: str, entry: _OwnedConstraint) -> list[str]:
    owned = {"maxSkew": entry.max_skew, "labelSelector": entry.label_selector}
    return [f"{path}.{name}" for name, there in owned.items() if there is not None]


@kept(4096)
def _keys(element: str) -> dict[str, str]:
    """The keys of a list entry from `k:{...}`; none for the list itself (`.`). Raises ValueError on any other text."""
    if not element.startswith("k:"):
        return {}
    keys = _decode_keys(element[2:])
    if not all(map(_KEY.fullmatch, keys.values())):
        raise ValueError("managedFields name a list entry by a text that no name is")
    return keys


def numbers(spec: Numbers) -> list[str]:
    """The written paths of the numbers of replicas that are there."""
    leaves = [REPLICAS] if spec.replicas is not None else []
    leaves += [MIN_REPLICAS] if spec.min_replicas is not None else []
    leaves += [MIN_REPLICA_COUNT] if spec.min_replica_count is not None else []
    return leaves
