"""Where the pods of a Deployment may run and do run: eligible nodes, anti-affinity, live skew.

Used by deployments/spread and workloads/eligibility. Unreadable affinity (files are not validated) matches nothing.
"""

from collections import Counter
from collections.abc import Callable, Mapping
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
    TopologySpreadConstraint,
)
from resilience_operator.cluster.selection import selects as matches
from resilience_operator.core.paths import JSON
from resilience_operator.core.selectors import Requirement
from resilience_operator.targets.workloads.sizes import replicas_of
from resilience_operator.targets.workloads.view import DeploymentView

HOSTNAME = "kubernetes.io/hostname"
TEMPLATE_HASH = "pod-template-hash"
DO_NOT_SCHEDULE = "DoNotSchedule"


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
    return node.ready and not node.spec.unschedulable and _chosen(node, pod) and _endured(node, pod)


def _chosen(node: Node, pod: PodSpec) -> bool:
    labels = node.metadata.labels
    wanted = all(labels.get(key) == value for key, value in pod.node_selector.items())
    return wanted and _affine(node, pod.affinity)


def _endured(node: Node, pod: PodSpec) -> bool:
    return all(_tolerated(taint, pod.tolerations) for taint in node.spec.taints)


def room_for_surge(view: DeploymentView) -> str:
    """Why a pod beside all present ones may find no place, by what the pods themselves demand; "" where it does."""
    replicas = replicas_of(view)
    keys = [_dig(term, "topologyKey") for term in _repelling(view) if not _same_revision(term)]
    for key in (key for key in keys if isinstance(key, str) and key):
        if not view.known.nodes:
            return (
                f"required podAntiAffinity on {key}: how many domains there are is not known, and a new pod may find"
                " no place"
            )
        found = eligible(view, key).domains[key]
        # Nodes without the label keep nobody away.
        if 0 < found <= replicas:
            why = f"required podAntiAffinity on {key} with {replicas} replicas in {found} eligible domains"
            return f"{why} leaves a new pod no place"
    for constraint in view.deployment.spec.template.spec.topology_spread_constraints:
        places = _places(view, constraint) if view.known.nodes and view.nodes else None
        if places is not None and replicas >= places:
            return (
                f"{DO_NOT_SCHEDULE} on {constraint.topology_key} with {replicas} replicas and room for {places},"
                " because a domain that counts takes none leaves a new pod no place"
            )
    return ""


def _places(view: DeploymentView, constraint: TopologySpreadConstraint) -> int | None:
    """How many pods a constraint admits at all; None where there is always one more place.

    The emptiest domain that counts is the measure, and a node that takes no pod counts all the same (taints do, unless
    nodeTaintsPolicy is Honor): it stays empty, and all others are full at maxSkew.
    """
    template, key = view.deployment.spec.template, constraint.topology_key
    counts_itself = matches(constraint.label_selector, template.metadata.labels)
    if constraint.when_unsatisfiable != DO_NOT_SCHEDULE or not counts_itself:
        return None
    if TEMPLATE_HASH in constraint.match_label_keys:
        return None
    counted = {
        domain(node, key)
        for node in view.nodes
        if (constraint.node_affinity_policy == "Ignore" or _chosen(node, template.spec))
        and (constraint.node_taints_policy != "Honor" or _endured(node, template.spec))
    } - {""}
    usable = eligible(view, key).domains[key]
    few = constraint.min_domains is not None and len(counted) < constraint.min_domains
    return usable * constraint.max_skew if few or usable < len(counted) else None


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


def only_on(affinity: JSON, asks: Callable[[MatchExpression], bool]) -> bool:
    """True where every term of a required nodeAffinity asks that of the labels: no other node will do."""
    terms = _dig(
        affinity, "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"
    )
    if not isinstance(terms, list) or not terms:
        return False
    try:
        every = [msgspec.convert(_dig(one, "matchExpressions") or [], list[MatchExpression]) for one in terms]
    except msgspec.ValidationError:
        return False
    return all(any(asks(item) for item in expressions) for expressions in every)


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


def repelled(view: DeploymentView, topology_key: str, *, soft: bool = False) -> bool:
    """True where podAntiAffinity keeps the Deployment's own pods out of each other's domain.

    `soft`: one that is only preferred is enough. It must be over its own pods alone: it would flee those of others as
    well, and on to one node.
    """
    return any(_dig(term, "topologyKey") == topology_key for term in _repelling(view)) or (
        soft
        and any(
            _dig(term, "topologyKey") == topology_key and not _counted_by(term, view)
            for term in _preferred(view)
            if _repels(term, view)
        )
    )


def _repelling(view: DeploymentView) -> list[JSON]:
    """The terms of required podAntiAffinity by which its pods keep each other away."""
    affinity = view.deployment.spec.template.spec.affinity
    terms = _dig(affinity, "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    return [term for term in terms if _repels(term, view)] if isinstance(terms, list) else []


def _preferred(view: DeploymentView) -> list[JSON]:
    affinity = view.deployment.spec.template.spec.affinity
    terms = _dig(affinity, "podAntiAffinity", "preferredDuringSchedulingIgnoredDuringExecution")
    return [_dig(term, "podAffinityTerm") for term in terms] if isinstance(terms, list) else []


def _repels(term: JSON, view: DeploymentView) -> bool:
    labels = view.deployment.spec.template.metadata.labels
    return (
        _in_namespace(term, view.deployment.metadata.namespace)
        and matches(_selector(_dig(term, "labelSelector")), labels)
        and not _dig(term, "mismatchLabelKeys")
    )


def _same_revision(term: JSON) -> bool:
    """True where a term is over the pods of one template alone."""
    keys = _dig(term, "matchLabelKeys")
    return isinstance(keys, list) and TEMPLATE_HASH in keys


def _counted_by(term: JSON, view: DeploymentView) -> tuple[str, ...]:
    keys = _dig(term, "matchLabelKeys")
    kept = tuple(key for key in keys if isinstance(key, str)) if isinstance(keys, list) else ()
    return counted_too(_selector(_dig(term, "labelSelector")), kept, view)


def counted_too(
    selector: Selector | None, match_label_keys: tuple[str, ...], view: DeploymentView
) -> tuple[str, ...]:
    """Names of the other Deployments whose pods are counted with its own by that selector."""
    if selector is None or TEMPLATE_HASH in match_label_keys or selector == view.deployment.spec.selector:
        return ()
    labels = view.deployment.spec.template.metadata.labels
    same = {key: labels[key] for key in match_label_keys if key in labels}
    return tuple(
        name
        for name, theirs in view.neighbours
        if matches(selector, theirs) and all(theirs.get(key) == value for key, value in same.items())
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
