"""Where the pods of a Deployment may run and do run: eligible nodes, anti-affinity, live skew.

Used by deployments/spread and workloads/eligibility. Unreadable affinity (files are not validated) matches nothing.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from resilience_operator.cluster.nodes import Nodes
from resilience_operator.cluster.objects.workloads import (
    MatchExpression,
    Node,
    Pod,
    PodSpec,
    Selector,
    Taint,
    Toleration,
)
from resilience_operator.cluster.selection import selects as matches
from resilience_operator.core.paths import JSON
from resilience_operator.core.selectors import Requirement
from resilience_operator.targets.workloads.view import DeploymentView

HOSTNAME = "kubernetes.io/hostname"
TEMPLATE_HASH = "pod-template-hash"


@dataclass(frozen=True, slots=True)
class Pile:
    """The fullest node, how many of the ready replicas run there, and the skew to the emptiest one."""

    node: str
    count: int
    ready: int
    skew: int


@dataclass(frozen=True, slots=True)
class Eligible:
    """Where pods of one kind may run: names of nodes, and topology key -> how many domains those are."""

    names: frozenset[str]
    domains: Mapping[str, int]


def eligible(view: DeploymentView, *topology_keys: str) -> Eligible:
    """The nodes that accept the Deployment's pods, and their domains."""
    pod, nodes = view.deployment.spec.template.spec, view.nodes
    question = (*sorted(pod.node_selector.items()), repr(pod.affinity), pod.tolerations, topology_keys)

    def find() -> Eligible:
        found = [node for node in nodes if accepts(node, pod)]
        domains = {key: len({domain(node, key) for node in found} - {""}) for key in topology_keys}
        return Eligible(frozenset(node.metadata.name for node in found), domains)

    return nodes.answer(question, find) if isinstance(nodes, Nodes) else find()


def accepts(node: Node, pod: PodSpec) -> bool:
    """True where the node is Ready and schedulable, selected by the pod, and without a taint in its way."""
    labels = node.metadata.labels
    return (
        node.ready
        and not node.spec.unschedulable
        and all(labels.get(key) == value for key, value in pod.node_selector.items())
        and _affine(node, pod.affinity)
        and all(_tolerated(taint, pod.tolerations) for taint in node.spec.taints)
    )


def _tolerated(taint: Taint, tolerations: tuple[Toleration, ...]) -> bool:
    if taint.effect not in {"NoSchedule", "NoExecute"}:
        return True
    return any(
        toleration.effect in {"", taint.effect}
        and toleration.key in {"", taint.key}
        and (toleration.operator == "Exists" or (toleration.key and toleration.value == taint.value))
        for toleration in tolerations
    )


def _dig(value: JSON, *fields: str) -> JSON:
    for field in fields:
        value = value.get(field) if isinstance(value, Mapping) else None
    return value


def _affine(node: Node, affinity: JSON) -> bool:
    required = _dig(affinity, "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    terms = _dig(required, "nodeSelectorTerms")
    return isinstance(terms, list) and any(_term_matches(node, term) for term in terms)


def _term_matches(node: Node, term: JSON) -> bool:
    expressions, fields = _dig(term, "matchExpressions") or [], _dig(term, "matchFields") or []
    try:
        asked = [
            *((item, node.metadata.labels) for item in msgspec.convert(expressions, list[MatchExpression])),
            *(
                (item, {"metadata.name": node.metadata.name})
                for item in msgspec.convert(fields, list[MatchExpression])
            ),
        ]
        # An empty term selects no node, as in the scheduler.
        return bool(asked) and all(_holds(item, labels) for item, labels in asked)
    except (msgspec.ValidationError, ValueError):
        return False


def _holds(item: MatchExpression, labels: Mapping[str, str]) -> bool:
    if item.operator not in {"Gt", "Lt"}:
        return Requirement(item.key, item.operator, item.values).matches(labels)
    if item.key not in labels or len(item.values) != 1:
        return False
    have, bound = _integer(labels[item.key]), _integer(item.values[0])
    return have > bound if item.operator == "Gt" else have < bound


_LONGEST_INTEGER = 20
"""Characters of an int64 with its sign: the scheduler reads no other (strconv.ParseInt)."""


def _integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise ValueError(f"no whole number of 64 bits: {text[:_LONGEST_INTEGER]!r}...")
    return int(text)


def domain(node: Node, topology_key: str) -> str:
    """The topology domain of a node, "" where it has none; its name stands in for a hostname label."""
    return node.metadata.labels.get(topology_key, node.metadata.name if topology_key == HOSTNAME else "")


def repelled(view: DeploymentView, topology_key: str) -> bool:
    """True where a required podAntiAffinity keeps the Deployment's own pods out of each other's domain."""
    template = view.deployment.spec.template
    terms = _dig(template.spec.affinity, "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    return isinstance(terms, list) and any(
        _dig(term, "topologyKey") == topology_key
        and _in_namespace(term, view.deployment.metadata.namespace)
        and matches(_selector(_dig(term, "labelSelector")), template.metadata.labels)
        for term in terms
    )


def _in_namespace(term: JSON, namespace: str) -> bool:
    names, selector = _dig(term, "namespaces"), _dig(term, "namespaceSelector")
    if selector == {}:
        return True
    return namespace in names if isinstance(names, list) and names else selector is None


def _selector(value: JSON) -> Selector | None:
    try:
        return msgspec.convert(value, Selector) if value is not None else None
    except msgspec.ValidationError:
        return None


def pile(view: DeploymentView) -> Pile | None:
    """The fullest eligible node; None while a rollout runs, where none holds a pod, or where they are not known."""
    if not (view.known.pods and view.known.nodes and _settled(view)):
        return None
    pods, names = _newest_ready(view), eligible(view).names
    counts = Counter(pod.spec.node_name for pod in pods if pod.spec.node_name in names)
    if not counts:
        return None
    count, node = min((-count, node) for node, count in counts.items())
    least = min(counts.values()) if len(counts) == len(names) else 0
    return Pile(node, -count, len(pods), -count - least)


def _settled(view: DeploymentView) -> bool:
    meta, status = view.deployment.metadata, view.deployment.status
    want = view.deployment.replicas
    return (
        status.observed_generation == meta.generation
        and status.replicas == status.updated_replicas == status.available_replicas == want
    )


def _newest_ready(view: DeploymentView) -> tuple[Pod, ...]:
    newest = view.newest_replica_set
    if newest is None:
        return ()
    return tuple(
        pod
        for pod in view.pods
        if pod.ready and pod.metadata.labels.get(TEMPLATE_HASH, "") == newest.template_hash != ""
    )
