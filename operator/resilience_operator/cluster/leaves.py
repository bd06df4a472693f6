"""The published leaves of each kind: the only paths that the operator ever writes, and their observed values.

manifests/enforce repeats the list as a ValidatingAdmissionPolicy on the operator's own user.
"""

from typing import Final

import msgspec

from resilience_operator.cluster.objects.workloads import (
    Addon,
    ConfigMap,
    Container,
    Declared,
    Deployment,
    HorizontalPodAutoscaler,
    MatchExpression,
    ScaledObject,
    Selector,
    Target,
    TopologySpreadConstraint,
)
from resilience_operator.core.caching import kept
from resilience_operator.core.paths import ABSENT, JSON, Path

POD_SPEC: Final = "spec.template.spec"
GRACE: Final = Path.parse(f"{POD_SPEC}.terminationGracePeriodSeconds")
DNS_OPTIONS: Final = Path.parse(f"{POD_SPEC}.dnsConfig.options")
REPLICAS: Final = Path.parse("spec.replicas")
MIN_REPLICAS: Final = Path.parse("spec.minReplicas")
MIN_REPLICA_COUNT: Final = Path.parse("spec.minReplicaCount")
CPA_MODES: Final = {mode: Path.parse(f"data.{mode}") for mode in ("linear", "ladder")}
"""Mode -> the key of CPA's ConfigMap that holds its parameters."""

CONFIGURATION: Final = Path.parse("configurationValues")
"""Of an EKS add-on: its configuration, one text. It is never absent, but empty."""

API_DEFAULTS: Final[dict[Path, JSON]] = {GRACE: 30, REPLICAS: 1, MIN_REPLICAS: 1, CONFIGURATION: ""}
"""Leaves that the API server fills in when nobody says anything (k8s.io/kubernetes/pkg/apis/*/*/defaults.go)."""


def api_default(target: Target, path: Path) -> JSON:
    """What the API server fills in at a published leaf when nobody says anything; ABSENT where it fills in nothing."""
    if not isinstance(target, Declared):
        return API_DEFAULTS.get(path, ABSENT)
    leaf = target.leaf(path)
    return leaf.default if leaf is not None else ABSENT


@kept(4096)
def constraint_path(topology_key: str, when_unsatisfiable: str) -> Path:
    """The path of one topologySpreadConstraints entry: the list is merged by these two keys."""
    keys = f"topologyKey={topology_key},whenUnsatisfiable={when_unsatisfiable}"
    return Path.parse(f"{POD_SPEC}.topologySpreadConstraints[{keys}]")


@kept(4096)
def pre_stop_path(container: str) -> Path:
    """The path of a container's preStop handler."""
    return Path.parse(f"{POD_SPEC}.containers[name={container}].lifecycle.preStop")


@kept(4096)
def argv_path(container: str, field: str) -> Path:
    """The path of a container's `command` or `args`: held where an earlier version wrote it, and written no more."""
    return Path.parse(f"{POD_SPEC}.containers[name={container}].{field}")


@kept(4096)
def whole(path: Path) -> frozenset[str]:
    """What a manager owns, as written paths, who owns all that we set at a leaf.

    A constraint is merged field by field: an owner whose maxSkew we took still owns its labelSelector.
    """
    step = path.steps[3] if len(path.steps) > 3 else path.steps[0]
    fields = ("maxSkew", "labelSelector") if step.field == "topologySpreadConstraints" else ()
    return frozenset({str(path), *(f"{path}.{name}" for name in fields)})


@kept(4096)
def slot(path: Path) -> str:
    """What only one value can rightly fill: the path itself, but for constraints all entries of one topologyKey.

    whenUnsatisfiable is a key of the list, and two entries that differ in it alone would both be in force.
    """
    step = path.steps[3] if len(path.steps) > 3 else path.steps[0]
    if step.field != "topologySpreadConstraints":
        return str(path)
    return f"{POD_SPEC}.topologySpreadConstraints[topologyKey={dict(step.keys).get('topologyKey', '')}]"


def is_published(path: Path, target: Target) -> bool:
    """True where the path is one of those that the operator writes or wrote: a state that names another is not ours."""
    match target:
        case Declared():
            return target.leaf(path) is not None
        case HorizontalPodAutoscaler():
            return path == MIN_REPLICAS
        case ScaledObject():
            return path == MIN_REPLICA_COUNT
        case ConfigMap():
            return path in CPA_MODES.values()
        case Addon():
            return path == CONFIGURATION
    return _of_deployment(path)


@kept(4096)
def _of_deployment(path: Path) -> bool:
    """True where the path is one that the operator writes on a Deployment."""
    step = path.steps[3] if len(path.steps) > 3 else path.steps[0]
    values = [value for _, value in step.keys]
    known = [GRACE, DNS_OPTIONS, REPLICAS]
    if len(values) == 1:
        known += [pre_stop_path(values[0]), argv_path(values[0], "command"), argv_path(values[0], "args")]
    known += [constraint_path(*values)] if len(values) == 2 else []
    return path in known


def observed_value(target: Target, path: Path) -> JSON:
    """The value at a published leaf, in the API's form, or ABSENT. Raises ValueError for any other path."""
    if not is_published(path, target):
        raise ValueError(f"not a published leaf: {path}")
    match target:
        case Declared():
            return path.read(target.tree)
        case HorizontalPodAutoscaler():
            return _or_absent(target.spec.min_replicas)
        case ScaledObject():
            return _or_absent(target.spec.min_replica_count)
        case ConfigMap():
            return target.data.get(path.steps[1].field, ABSENT)
        case Addon():
            return target.reading.configuration
    return _or_absent(target.spec.replicas) if path == REPLICAS else _in_template(target, path)


def outline(target: Target) -> dict[str, JSON]:
    """Of the object, in the API's form, what lies on the way to any published leaf: enough to place a JSON patch."""
    match target:
        case Declared():
            return target.tree
        case HorizontalPodAutoscaler():
            return {"spec": _present(minReplicas=target.spec.min_replicas)}
        case ScaledObject():
            return {"spec": _present(minReplicaCount=target.spec.min_replica_count)}
        case ConfigMap():
            return {"data": dict(target.data)} if target.data else {}
        case Addon():
            return {}
    spec = target.spec.template.spec
    options = observed_value(target, DNS_OPTIONS)
    pod = _present(
        terminationGracePeriodSeconds=spec.termination_grace_period_seconds,
        dnsConfig=None if spec.dns_config is None else {} if options is ABSENT else {"options": options},
        topologySpreadConstraints=[constraint_object(one) for one in spec.topology_spread_constraints]
        or None,
    )
    pod["containers"] = [
        {
            "name": one.name,
            **({"lifecycle": _present(preStop=one.lifecycle.pre_stop)} if one.lifecycle else {}),
        }
        for one in spec.containers
    ]
    return {"spec": {**_present(replicas=target.spec.replicas), "template": {"spec": pod}}}


def _present(**fields: JSON) -> dict[str, JSON]:
    return {name: value for name, value in fields.items() if value is not None}


def other_mode(path: Path, target: Target) -> Path | None:
    """Of CPA's two keys the one beside which `path` stands; None where it stands alone, or is no such key."""
    if not isinstance(target, ConfigMap) or path not in CPA_MODES.values():
        return None
    return next((one for mode, one in CPA_MODES.items() if one != path and mode in target.data), None)


def _or_absent(value: JSON) -> JSON:
    return ABSENT if value is None else value


def _in_template(deployment: Deployment, path: Path) -> JSON:
    spec = deployment.spec.template.spec
    step = path.steps[3] if len(path.steps) > 3 else None
    match step.field if step is not None else "":
        case "terminationGracePeriodSeconds":
            grace = spec.termination_grace_period_seconds
            return ABSENT if grace is None else grace
        case "dnsConfig":
            options = spec.dns_config.options if spec.dns_config is not None else None
            return (
                ABSENT
                if options is None
                else [_without_none(msgspec.to_builtins(option)) for option in options]
            )
        case "topologySpreadConstraints" if step is not None:
            wanted = dict(step.keys)
            for entry in spec.topology_spread_constraints:
                if (entry.topology_key, entry.when_unsatisfiable) == tuple(wanted.values()):
                    return constraint_object(entry)
            return ABSENT
        case "containers":
            found = _container(deployment, path)
            return _or_absent(_of_container(found, path)) if found is not None else ABSENT
    raise ValueError(f"not a published leaf: {path}")


def _of_container(container: Container, path: Path) -> JSON:
    match path.steps[4].field:
        case "lifecycle":
            return container.lifecycle.pre_stop if container.lifecycle is not None else None
        case "command":
            return None if container.command is None else list(container.command)
    return None if container.args is None else list(container.args)


def _container(target: Target, path: Path) -> Container | None:
    """The container that a path leads through, or None."""
    if not isinstance(target, Deployment):
        return None
    name = dict(path.steps[3].keys).get("name")
    return next((each for each in target.spec.template.spec.containers if each.name == name), None)


def home_exists(target: Target, path: Path) -> bool:
    """True where the leaf could be written: the container that it belongs to is still there."""
    if isinstance(target, Declared):
        return target.placed(path)
    if len(path.steps) < 4 or path.steps[3].field != "containers":
        return True
    return _container(target, path) is not None


def depth_present(target: Target, path: Path) -> int:
    """How many leading steps of a published leaf lead to something: what a withdrawal may not remove."""
    if observed_value(target, path) is not ABSENT:
        return len(path.steps)
    if isinstance(target, Declared):
        return target.depth(path)
    if not isinstance(target, Deployment) or not path.in_template:
        return 1
    match path.steps[3].field:
        case "dnsConfig":
            return 4 if target.spec.template.spec.dns_config is not None else 3
        case "containers":
            found = _container(target, path)
            hooked = found is not None and found.lifecycle is not None
            return 5 if hooked and path.steps[4].field == "lifecycle" else 4
    return 3


def constraint_object(entry: TopologySpreadConstraint) -> dict[str, JSON]:
    """A constraint in the API's form, only with what is set."""
    body: dict[str, JSON] = {
        "topologyKey": entry.topology_key,
        "maxSkew": entry.max_skew,
        "whenUnsatisfiable": entry.when_unsatisfiable,
    }
    if entry.label_selector is not None:
        body["labelSelector"] = selector_object(entry.label_selector)
    if entry.match_label_keys:
        body["matchLabelKeys"] = list(entry.match_label_keys)
    if entry.min_domains is not None:
        body["minDomains"] = entry.min_domains
    if entry.node_affinity_policy:
        body["nodeAffinityPolicy"] = entry.node_affinity_policy
    if entry.node_taints_policy:
        body["nodeTaintsPolicy"] = entry.node_taints_policy
    return body


def selector_object(selector: Selector) -> dict[str, JSON]:
    """A LabelSelector in the API's form, only with what is set."""
    body: dict[str, JSON] = {}
    if selector.match_labels:
        body["matchLabels"] = dict(selector.match_labels)
    if selector.match_expressions:
        body["matchExpressions"] = [_expression(expression) for expression in selector.match_expressions]
    return body


def _expression(expression: MatchExpression) -> dict[str, JSON]:
    body: dict[str, JSON] = {"key": expression.key, "operator": expression.operator}
    return body | ({"values": list(expression.values)} if expression.values else {})


def _without_none(body: dict[str, JSON]) -> dict[str, JSON]:
    return {key: value for key, value in body.items() if value is not None}
