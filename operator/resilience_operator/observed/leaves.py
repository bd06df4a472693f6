"""The published leaves of a Deployment: the only paths that the operator ever writes, and their observed values.

manifests/enforce repeats the list as a ValidatingAdmissionPolicy on the operator's own user.
"""

from functools import lru_cache
from typing import Final

import msgspec

from resilience_operator.core.paths import ABSENT, JSON, Path
from resilience_operator.observed.objects import (
    Deployment,
    MatchExpression,
    Selector,
    TopologySpreadConstraint,
)

POD_SPEC: Final = "spec.template.spec"
GRACE: Final = Path.parse(f"{POD_SPEC}.terminationGracePeriodSeconds")
DNS_OPTIONS: Final = Path.parse(f"{POD_SPEC}.dnsConfig.options")

API_DEFAULTS: Final[dict[Path, JSON]] = {GRACE: 30}
"""Leaves that the API server fills in when nobody says anything (k8s.io/kubernetes/pkg/apis/core/v1/defaults.go)."""


def constraint_path(topology_key: str, when_unsatisfiable: str) -> Path:
    """The path of one topologySpreadConstraints entry: the list is merged by these two keys."""
    keys = f"topologyKey={topology_key},whenUnsatisfiable={when_unsatisfiable}"
    return Path.parse(f"{POD_SPEC}.topologySpreadConstraints[{keys}]")


def pre_stop_path(container: str) -> Path:
    """The path of a container's preStop handler."""
    return Path.parse(f"{POD_SPEC}.containers[name={container}].lifecycle.preStop")


@lru_cache(maxsize=4096)
def slot(path: Path) -> str:
    """What only one value can rightly fill: the path itself, but for constraints all entries of one topologyKey.

    whenUnsatisfiable is a key of the list, and two entries that differ in it alone would both be in force.
    """
    step = path.steps[3] if len(path.steps) > 3 else path.steps[0]
    if step.field != "topologySpreadConstraints":
        return str(path)
    return f"{POD_SPEC}.topologySpreadConstraints[topologyKey={dict(step.keys).get('topologyKey', '')}]"


def is_published(path: Path) -> bool:
    """True where the path is one of those that the operator writes: a state that names another is not ours."""
    step = path.steps[3] if len(path.steps) > 3 else path.steps[0]
    values = [value for _, value in step.keys]
    known = [GRACE, DNS_OPTIONS]
    known += [pre_stop_path(values[0])] if len(values) == 1 else []
    known += [constraint_path(*values)] if len(values) == 2 else []
    return path in known


def observed_value(deployment: Deployment, path: Path) -> JSON:
    """The value at a published leaf, in the API's form, or ABSENT. Raises ValueError for any other path."""
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
        case "containers" if step is not None:
            name = dict(step.keys).get("name")
            found = next((container for container in spec.containers if container.name == name), None)
            handler = found.lifecycle.pre_stop if found is not None and found.lifecycle is not None else None
            return ABSENT if handler is None else handler
    raise ValueError(f"not a published leaf: {path}")


def home_exists(deployment: Deployment, path: Path) -> bool:
    """True where the leaf could be written: the container that it belongs to is still there."""
    step = path.steps[3]
    if step.field != "containers":
        return True
    name = dict(step.keys).get("name")
    return any(container.name == name for container in deployment.spec.template.spec.containers)


def depth_present(deployment: Deployment, path: Path) -> int:
    """How many leading steps of a published leaf lead to something: what a withdrawal may not remove."""
    if observed_value(deployment, path) is not ABSENT:
        return len(path.steps)
    spec = deployment.spec.template.spec
    match path.steps[3].field:
        case "dnsConfig":
            return 4 if spec.dns_config is not None else 3
        case "containers":
            name = dict(path.steps[3].keys).get("name")
            found = next((container for container in spec.containers if container.name == name), None)
            return 5 if found is not None and found.lifecycle is not None else 4
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
