"""Clusters in which a Service leads somewhere or nowhere, in the API's own words, and the view of that Service."""

from datetime import datetime, timedelta
from typing import Any

from resilience_operator.cluster.store import Store
from resilience_operator.core.findings import Finding, Skipped, Verdict
from resilience_operator.core.refs import ObjectRef
from resilience_operator.targets import KIND_BY_NAME, new_store, project_dict
from resilience_operator.targets.services.empty import UNKNOWN_SINCE, check
from resilience_operator.targets.services.settings import EmptyService
from resilience_operator.targets.services.texts import NEVER_CHANGED
from resilience_operator.targets.services.view import ServiceView
from tests.support.clusters import Body, thing
from tests.support.clusters import workload as deployment
from tests.support.views import NOW

KEY = ("shop", "web", "Service")
LONG_AGO = NOW - timedelta(hours=3)
JUST_NOW = NOW - timedelta(seconds=90)
NONE_OF_KUBERNETES = {"clusterIP": "None"}


def moment(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def service(name: str = "web", selector: Body | None = None, meta: Body | None = None, **spec: Any) -> Body:
    """A Service with the selector app=web."""
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    chosen = {"app": "web"} if selector is None else selector
    known = {"uid": f"service-{name}", **(meta or {})}
    return thing(
        "Service",
        name,
        meta=known,
        spec={"selector": chosen, "ports": ports, "clusterIP": "10.0.0.1", **spec},
    )


def webhooks(kind: str, name: str) -> Body:
    """A webhook configuration that is called through the Service of that name, and one that is called at a URL."""
    called = ({"service": {"namespace": "shop", "name": name}}, {"url": "https://a.test/"})
    entries = [{"name": f"w{number}.a.test", "clientConfig": one} for number, one in enumerate(called)]
    return thing(kind, "guard", "", webhooks=entries)


def endpoints(
    ready: int = 0,
    *,
    unready: int = 0,
    ports: list[str] | None = None,
    of: str = "web",
    at: datetime | None = LONG_AGO,
    keeper: str = "endpointslice-controller.k8s.io",
    name: str = "",
) -> Body:
    """An EndpointSlice as its controller writes it: where it is empty, both lists are null."""
    found = [
        {"addresses": ["10.1.0.1"], "conditions": {"ready": one < ready}} for one in range(ready + unready)
    ]
    served = [
        {"name": one, "port": 8080, "protocol": "TCP"} for one in (["http"] if ports is None else ports)
    ]
    entry = {"manager": "kube-controller-manager", "operation": "Update"}
    labels = {"kubernetes.io/service-name": of, "endpointslice.kubernetes.io/managed-by": keeper}
    meta = {"labels": labels, "managedFields": [entry | ({"time": moment(at)} if at else {})]}
    return thing(
        "EndpointSlice", name or f"{of}-x7k2p", meta=meta, endpoints=found or None, ports=served or None
    )


def pod(
    name: str = "web-1",
    *,
    labels: Body | None = None,
    owner: str = "ReplicaSet",
    phase: str = "Running",
    ready: bool = False,
    why: Body | None = None,
    conditions: list[Body] | None = None,
    containers: list[Body] | None = None,
    meta: Body | None = None,
) -> Body:
    """A pod of one running container `app` that is not ready; `why`: more of its condition Ready."""
    unready = (
        {} if ready else {"reason": "ContainersNotReady", "message": "containers with unready status: [app]"}
    )
    condition = (
        {"type": "Ready", "status": str(ready), "lastTransitionTime": moment(LONG_AGO)}
        | unready
        | (why or {})
    )
    owners = [
        {"apiVersion": "apps/v1", "kind": owner, "name": f"of-{name}", "uid": "o-1", "controller": True}
    ]
    known = {"labels": labels or {"app": "web"}, "ownerReferences": owners, **(meta or {})}
    running = [{"name": "app", "state": {"running": {}}}] if containers is None else containers
    status = {"phase": phase, "conditions": [condition, *(conditions or [])], "containerStatuses": running}
    return thing("Pod", name, meta=known, spec={"nodeName": "node-1"}, status=status)


def waiting(reason: str, **more: Any) -> list[Body]:
    """The status of a container that waits."""
    return [{"name": "app", "state": {"waiting": {"reason": reason}}, **more}]


def rolling(name: str = "web", *, progress: Body, replicas: int = 3, **meta: Any) -> Body:
    """A Deployment with a condition Progressing."""
    body = deployment(name, replicas, meta=meta)
    condition = {"type": "Progressing", "status": "True", "lastUpdateTime": moment(LONG_AGO), **progress}
    return body | {"status": body["status"] | {"conditions": [condition]}}


def store_of(*bodies: Body) -> Store:
    """A store that holds these."""
    store = new_store()
    for number, body in enumerate(bodies, start=1):
        put(store, body, number)
    return store


def put(store: Store, body: Body, version: int) -> None:
    """The object as a watch gives it."""
    kind = KIND_BY_NAME[body["kind"]]
    meta = body["metadata"] | {"resourceVersion": str(version)}
    store.put(kind, project_dict(kind, body | {"metadata": meta}))


def look(store: Store, now: datetime = NOW) -> ServiceView:
    """The view of shop/web."""
    view = store.look(KEY, now)
    assert isinstance(view, ServiceView)
    return view


def verdict(*bodies: Body, grace: int = 120) -> Verdict:
    """What the rule says of shop/web among these objects."""
    return check(EmptyService(grace_seconds=grace), look(store_of(*bodies)))


REF = ObjectRef("v1", "Service", "shop", "web", "service-web")


def finding(reason: str, message: str, ref: ObjectRef = REF) -> Verdict:
    return Verdict((Finding("empty-service", reason, ref, message, report_only=NEVER_CHANGED),))


def skipped(wake_at: datetime | None = None) -> Verdict:
    return Verdict(skipped=(Skipped("empty-service", REF, UNKNOWN_SINCE),), wake_at=wake_at)
