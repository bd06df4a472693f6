"""The views of Services over the cache: what an event touches, and that nothing is missed or kept."""

import time
import tracemalloc
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience_operator.cluster.store import Store
from resilience_operator.core.refs import Key
from resilience_operator.targets import KIND_BY_NAME, TARGETS, project_dict
from resilience_operator.targets.services.empty import check
from resilience_operator.targets.services.settings import EmptyService
from resilience_operator.targets.services.views import ServiceViews
from tests.support.clusters import Body, thing
from tests.support.clusters import workload as deployment
from tests.support.pools import emptied
from tests.support.views import NOW
from tests.targets.services.situations import KEY, endpoints, pod, put, service, store_of, webhooks

API = ("shop", "api", "Service")
READY = [service(), endpoints(2), deployment("web"), pod(ready=True)]
NOWHERE = [service(), endpoints(), deployment("web"), service("api", {"app": "api"}), endpoints(1, of="api")]


def services_only(*bodies: Body) -> Store:
    """A store of the target services alone, with nothing dirty."""
    store = Store(target for target in TARGETS if target.views is ServiceViews)
    for number, body in enumerate(bodies, start=1):
        put(store, body, number)
    store.take_dirty()
    return store


@pytest.mark.parametrize(
    ("bodies", "event", "touched"),
    [
        pytest.param(READY, endpoints(1), set(), id="one ready endpoint fewer of two"),
        pytest.param(READY, endpoints(), {KEY}, id="the last ready endpoint goes"),
        pytest.param(READY, pod(), set(), id="a pod of a Service that leads somewhere"),
        pytest.param(READY, deployment("web", 0), set(), id="a Deployment of a Service that leads somewhere"),
        pytest.param(READY, service(selector={"app": "x"}), {KEY}, id="another selector"),
        pytest.param(READY, service(), set(), id="a Service with nothing new"),
        pytest.param(NOWHERE, pod(), {KEY}, id="a pod that is selected"),
        pytest.param(
            NOWHERE, pod("wbe-1", labels={"app": "wbe"}), {KEY}, id="a pod whose labels may come near"
        ),
        pytest.param(NOWHERE, deployment("web", 0), {KEY}, id="a Deployment that is scaled to zero"),
        pytest.param(NOWHERE, deployment("db"), {KEY}, id="a Deployment whose labels may come near"),
        pytest.param(
            NOWHERE,
            thing("Ingress", "front", spec={"defaultBackend": {"service": {"name": "web"}}}),
            {KEY},
            id="an Ingress that points to it",
        ),
        pytest.param(
            NOWHERE,
            thing("Ingress", "front", spec={"defaultBackend": {"service": {"name": "api"}}}),
            set(),
            id="an Ingress that points to one that leads somewhere",
        ),
        pytest.param(
            NOWHERE,
            thing("Node", "node-1", "", status={"conditions": [{"type": "Ready", "status": "False"}]}),
            {KEY},
            id="a node",
        ),
        pytest.param(
            NOWHERE,
            thing("ScaledObject", "web", spec={"scaleTargetRef": {"name": "web"}}),
            {KEY},
            id="a ScaledObject, which may let a Deployment sleep",
        ),
        pytest.param(
            NOWHERE,
            thing("Namespace", "shop", "", meta={"labels": {"resilience.dev/ignore": "empty-service"}}),
            {KEY, API},
            id="an opt-out of the Namespace",
        ),
    ],
)
def test_an_event_touches_the_services_to_which_it_may_matter(
    bodies: list[Body], event: Body, touched: set[Key]
) -> None:
    store = services_only(*bodies)
    put(store, event, 99)
    assert store.take_dirty() == touched
    assert store.take_dirty() == set()


def test_what_is_known_of_a_service_ends_with_it() -> None:
    store = services_only(service(), endpoints(at=None))
    (views,) = store.views
    assert isinstance(views, ServiceViews)
    assert store.look(KEY, NOW) is not None
    for body in (service(), endpoints()):
        kind, meta = KIND_BY_NAME[body["kind"]], body["metadata"]
        store.delete(kind, "shop", meta["name"], meta["uid"])
    assert store.look(KEY, NOW) is None
    store.take_dirty()
    kept = (views._slices, views._nowhere, views._gathered, views._callers._of)
    assert kept == ({}, {}, {}, {})


SELECTORS = [(name, app) for name in ("web", "api") for app in ("web", "wbe", "db")]
SLICES = [(ready, of, number) for ready in (0, 2) for of in ("web", "api") for number in (1, 2)]
PODS = [(name, ready, app) for name in ("p-1", "p-2") for ready in (True, False) for app in ("web", "db")]
BODIES: list[Body] = [
    *(service(name, {"app": app}) for name, app in SELECTORS),
    *(endpoints(ready, unready=1, of=of, name=f"{of}-{number}", at=None) for ready, of, number in SLICES),
    *(pod(name, ready=ready, labels={"app": app}) for name, ready, app in PODS),
    *(deployment(name, replicas) for name in ("web", "db") for replicas in (0, 2)),
    *(
        thing("Node", "node-1", "", status={"conditions": [{"type": "Ready", "status": status}]})
        for status in ("True", "False")
    ),
    *(
        thing("Ingress", "front", spec={"defaultBackend": {"service": {"name": name}}})
        for name in ("web", "api")
    ),
    thing("ScaledObject", "web", spec={"scaleTargetRef": {"name": "web"}}),
    thing("ScaledObject", "web", spec={"scaleTargetRef": {"name": "web"}, "minReplicaCount": 1}),
]


def judged(store: Store, key: Key) -> object:
    view = store.look(key, NOW + timedelta(hours=1))
    return None if view is None else check(EmptyService(grace_seconds=0), view)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(BODIES), st.sampled_from(["put", "put", "delete"])), max_size=25),
    st.integers(1, 4),
)
def test_to_judge_again_what_was_touched_is_the_same_as_to_judge_everything(
    history: list[tuple[Body, str]], batch: int
) -> None:
    store = services_only()
    known: dict[Key, Any] = {KEY: None, API: None}
    for number, (body, how) in enumerate(history, start=1):
        kind, meta = KIND_BY_NAME[body["kind"]], body["metadata"]
        if how == "put":
            fresh = body | {"metadata": meta | {"uid": f"{meta['uid']}-{number}"}}
            held = store.get(kind, meta["namespace"], meta["name"])
            put(
                store,
                fresh if held is None else body | {"metadata": meta | {"uid": held.metadata.uid}},
                number,
            )
        else:
            store.delete(kind, meta["namespace"], meta["name"], "")
        if number % batch:
            continue
        for key in store.take_dirty():
            known[key] = judged(store, key)
        assert known == {key: judged(store, key) for key in known}


def test_pods_that_are_listed_before_any_endpoint_is_known_cost_no_look_at_every_service() -> None:
    """At a start every Service seems to lead nowhere for a moment; each pod beside it must not cost a walk over all."""
    store = services_only(*(service(f"s-{number}", {"app": f"s-{number}"}) for number in range(2_000)))
    kind = KIND_BY_NAME["Pod"]
    pods = [project_dict(kind, pod(f"p-{number}", labels={"app": f"s-{number}"})) for number in range(2_000)]
    started = time.process_time()
    store.replace(kind, pods, "9")
    touched = store.take_dirty()
    assert (len(touched), time.process_time() - started < 0.5) == (2_000, True)


def test_three_thousand_services_beside_thirty_thousand_pods_stay_cheap() -> None:
    """A slice costs less than 1 KiB, and a full look at every Service less than half a millisecond each.

    All of them in one Namespace, the worst case; one in a hundred leads nowhere.
    """
    store = services_only()
    for number in range(3_000):
        name = f"s-{number}"
        put(store, service(name, {"app": name}), 1)
        for one in range(10):
            put(store, pod(f"{name}-{one}", labels={"app": name, "pod-template-hash": "x"}, ready=True), 1)
    kind = KIND_BY_NAME["EndpointSlice"]
    emptied()
    tracemalloc.start()
    for number in range(3_000):
        body = endpoints(10 if number % 100 else 0, of=f"s-{number}")
        store.put(kind, project_dict(kind, body))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / 3_000 < 1024
    store.take_dirty()
    keys = list(store.subjects())
    started = time.process_time()
    found = [check(EmptyService(), store.look(key, NOW)).findings for key in keys]  # type: ignore[arg-type]
    spent = time.process_time() - started
    assert (len(keys), sum(map(bool, found))) == (3_000, 30)
    assert spent / 3_000 < 0.0005, f"{spent:.2f} s"


def test_a_webhook_that_comes_to_be_called_through_it_is_worth_a_look() -> None:
    store = store_of(*NOWHERE, webhooks("MutatingWebhookConfiguration", "api"))
    store.take_dirty()
    put(store, webhooks("MutatingWebhookConfiguration", "web"), 99)
    assert KEY in store.take_dirty()
