"""Who chose the leaves that we publish: last-applied-configuration, the annotation of `kubectl apply`, reduced.

Used by cluster/keep. Only what the published leaves need is decoded.
"""

from typing import Any

import msgspec

from resilience_operator.cluster.interning import shared_set
from resilience_operator.cluster.managed_fields import (
    CPA_MODES,
    DNS_OPTIONS,
    GRACE_PERIOD,
    MIN_REPLICA_COUNT,
    MIN_REPLICAS,
    NOTHING,
    REPLICAS,
    Decoded,
    argv,
    constraint,
    numbers,
    pre_stop,
)
from resilience_operator.cluster.objects.workloads import Claim

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class _AppliedLifecycle(Decoded, rename="camel"):
    pre_stop: Any = None


class _AppliedContainer(Decoded):
    name: str = ""
    lifecycle: _AppliedLifecycle | None = None
    command: Any = None
    args: Any = None


class _AppliedConstraint(Decoded, rename="camel"):
    topology_key: str = ""
    when_unsatisfiable: str = ""


class _AppliedDNSConfig(Decoded):
    options: Any = None


class _AppliedPodSpec(Decoded, rename="camel"):
    termination_grace_period_seconds: Any = None
    dns_config: _AppliedDNSConfig | None = None
    containers: tuple[_AppliedContainer, ...] | None = None
    topology_spread_constraints: tuple[_AppliedConstraint, ...] | None = None


class _AppliedTemplate(Decoded):
    spec: _AppliedPodSpec | None = None


class _AppliedSpec(Decoded, rename="camel"):
    replicas: Any = None
    min_replicas: Any = None
    min_replica_count: Any = None
    template: _AppliedTemplate | None = None


class _Applied(Decoded):
    spec: _AppliedSpec | None = None
    data: dict[str, Any] | None = None


_decode_applied = msgspec.json.Decoder(_Applied).decode


def chosen(last_applied: str | None, owners: tuple[Claim, ...]) -> frozenset[str]:
    """The published leaves that stand in last-applied-configuration; numbers and parameters also as `path=value`.

    One that cannot be read hides what was chosen: then everything that anybody owns counts as chosen.
    """
    if not last_applied:
        return NOTHING
    try:
        applied = _decode_applied(last_applied)
    except msgspec.DecodeError:
        return NOTHING.union(*(claim.leaves for claim in owners))
    leaves = _applied_leaves(applied.spec) if applied.spec is not None else []
    data = applied.data or {}
    written = [(mode, data[mode]) for mode in CPA_MODES if mode in data]
    leaves += [said for mode, text in written for said in (f"data.{mode}", f"data.{mode}={text}")]
    return shared_set(tuple(leaves))


def _applied_leaves(spec: _AppliedSpec) -> list[str]:
    leaves = numbers(spec)
    said = (
        (REPLICAS, spec.replicas),
        (MIN_REPLICAS, spec.min_replicas),
        (MIN_REPLICA_COUNT, spec.min_replica_count),
    )
    leaves += [f"{path}={number}" for path, number in said if number is not None]
    pod = spec.template.spec if spec.template is not None else None
    if pod is None:
        return leaves
    if pod.termination_grace_period_seconds is not None:
        leaves += [GRACE_PERIOD, f"{GRACE_PERIOD}={pod.termination_grace_period_seconds}"]
    if pod.dns_config is not None and pod.dns_config.options is not None:
        leaves.append(DNS_OPTIONS)
    hooked = [each for each in pod.containers or () if each.lifecycle is not None and each.lifecycle.pre_stop]
    leaves += [pre_stop(container.name) for container in hooked]
    for container in pod.containers or ():
        leaves += [argv(container.name, "command")] if container.command else []
        leaves += [argv(container.name, "args")] if container.args else []
    entries = pod.topology_spread_constraints or ()
    leaves += [constraint(entry.topology_key, entry.when_unsatisfiable) for entry in entries]
    return leaves
