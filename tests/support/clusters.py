"""A cluster as the commands read it, made of objects in the API's own words; what is not said is ordinary."""

from collections.abc import Iterable
from typing import Any

from resilience_operator.cli.cluster import Cluster
from resilience_operator.core.state import ANNOTATION, FIELD_MANAGER, Held, ObjectState, encode
from resilience_operator.policy.policy import Policy
from resilience_operator.targets import KIND_BY_NAME, new_store, parse, project_dict
from resilience_operator.targets.workloads.budgets import MANAGED_BY, POLICY_LABEL
from tests.support.views import NOW

Body = dict[str, Any]


def cluster(policies: Iterable[Body], objects: Iterable[Body]) -> Cluster:
    """A cluster that holds these, and is served by the newest API server."""
    store = new_store()
    for body in objects:
        kind = KIND_BY_NAME[body["kind"]]
        store.put(kind, project_dict(kind, body))
    parsed = [_parsed(body) for body in policies]
    uids = {one.name: one.uid for one in parsed}
    return Cluster(store, {one.name: one for one in parsed}, {}, (1, 36), NOW, uids)


def _parsed(body: Body) -> Policy:
    policy, problems = parse(body)
    if problems:
        raise ValueError(f"not a policy: {problems}")
    return policy


def policy(name: str, **spec: Any) -> Body:
    """A policy that enforces, its uid made of its name."""
    meta = {"name": name, "uid": f"uid-{name}", "generation": 1}
    return {
        "apiVersion": "resilience.dev/v1alpha1",
        "kind": "ResiliencePolicy",
        "metadata": meta,
        "spec": {"mode": "Enforce", **spec},
    }


def thing(kind: str, name: str, namespace: str = "shop", meta: Body | None = None, **fields: Any) -> Body:
    """An object of a kind that the operator watches."""
    known = {"name": name, "namespace": namespace, "uid": f"{kind[0].lower()}-{name}", "resourceVersion": "7"}
    return {
        "apiVersion": KIND_BY_NAME[kind].api_version,
        "kind": kind,
        "metadata": known | (meta or {}),
        **fields,
    }


def workload(
    name: str,
    replicas: int = 3,
    namespace: str = "shop",
    *,
    meta: Body | None = None,
    container: Body | None = None,
    **pod: Any,
) -> Body:
    """A Deployment, all of it rolled out."""
    labels = {"app": name}
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas)
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "app", "image": "app:1"} | (container or {})], **pod},
        },
    }
    status = {"observedGeneration": 2, **counts}
    return thing("Deployment", name, namespace, {"generation": 2} | (meta or {}), spec=spec, status=status)


def hpa(name: str, minimum: int = 1, maximum: int = 9, meta: Body | None = None) -> Body:
    """An HPA of the Deployment of that name."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    spec = {"scaleTargetRef": target, "minReplicas": minimum, "maxReplicas": maximum}
    return thing("HorizontalPodAutoscaler", name, meta=meta, spec=spec)


def budget(name: str, app: str, meta: Body | None = None) -> Body:
    """A PodDisruptionBudget of the pods of that Deployment."""
    spec = {
        "maxUnavailable": 1,
        "selector": {"matchLabels": {"app": app}},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return thing("PodDisruptionBudget", name, meta=meta, spec=spec)


def held(body: Body, *leaves: tuple[str, str, Any, Any], policy: str = "p") -> Body:
    """The object with leaves (rule, path, set, was) that a policy holds; they stand in the object already."""
    state = ObjectState(
        uid=body["metadata"]["uid"],
        leaves={path: Held(rule, value, was, 0, (f"uid-{policy}",)) for rule, path, value, was in leaves},
        names={f"uid-{policy}": policy},
    )
    fields: Body = {"f:metadata": {"f:annotations": {f"f:{ANNOTATION}": {}}}}
    entry = {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": fields}
    known = {"annotations": {ANNOTATION: encode(state)}, "managedFields": [entry]}
    return body | {"metadata": body["metadata"] | known}


def ours(name: str, app: str, policy: str = "p") -> Body:
    """A budget that we made for a Deployment, by a policy."""
    labels = {MANAGED_BY[0]: MANAGED_BY[1], POLICY_LABEL: f"uid-{policy}"}
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": app, "uid": f"d-{app}"}
    return budget(name, app, {"labels": labels, "ownerReferences": [owner]})
