"""One object of one tenant: it is said that it cannot be read, and nothing else is lost for it.

What was proved on a lab (an API server takes every one of these) is repeated here on what decodes, keeps and decides.
"""

import asyncio
import json
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from resilience_operator.api.status import FINALIZER
from resilience_operator.api.watch import beside_the_loop
from resilience_operator.cluster.objects.workloads import Deployment, Object, PodDisruptionBudget, ReplicaSet
from resilience_operator.cluster.store import Store
from resilience_operator.core.errors import UnreadableObjectError
from resilience_operator.core.kinds import BUDGET, DEPLOYMENT, HPA, POD, REPLICA_SET, SERVICE, Kind
from resilience_operator.core.refs import Key
from resilience_operator.engine.decide import Surroundings
from resilience_operator.run.reconcile import Reconciler
from resilience_operator.targets import decode_event, decode_list, judge, new_store, parse
from resilience_operator.targets.workloads.budgets import allows_none
from tests.fuzz_objects import run
from tests.run.test_reconcile import DNS, Desk, RefusingApi, services
from tests.sim.world import World, key, workload
from tests.support import ROOT

OBJECTS = ROOT / "tests" / "objects"
NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
Raw = dict[str, Any]
MARK = "the-place"


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


def annotated(text: str) -> Callable[[Raw], str]:
    """The object with that last-applied-configuration."""

    def spoil(raw: Raw) -> str:
        raw["metadata"].setdefault("annotations", {})[LAST_APPLIED] = text
        return json.dumps(raw)

    return spoil


def owned(fields: str) -> Callable[[Raw], str]:
    """The object with a managedFields entry of that fieldsV1."""

    def spoil(raw: Raw) -> str:
        entry = {"manager": "kubectl", "operation": "Update", "fieldsV1": MARK}
        raw["metadata"]["managedFields"] = [*raw["metadata"].get("managedFields", []), entry]
        return json.dumps(raw).replace(f'"{MARK}"', fields)

    return spoil


def containers(element: str) -> str:
    pod: Raw = {"f:containers": {f"k:{element}": {"f:lifecycle": {"f:preStop": {}}}}}
    return json.dumps({"f:spec": {"f:template": {"f:spec": pod}}})


def constraints(element: str) -> str:
    pod: Raw = {"f:topologySpreadConstraints": {f"k:{element}": {"f:maxSkew": {}}}}
    return json.dumps({"f:spec": {"f:template": {"f:spec": pod}}})


def labelled(raw: Raw) -> str:
    """The object with 6,000 labels."""
    raw["metadata"]["labels"] = {f"l{number}": "x" * 40 for number in range(6000)}
    return json.dumps(raw)


UNREADABLE = [
    pytest.param(annotated(nested(1200)), "it is nested too deep", id="last-applied 1,200 deep"),
    pytest.param(owned(nested(1200)), "it is nested deeper than 64 levels", id="fieldsV1 1,200 deep"),
    pytest.param(owned(nested(9000)), "it is nested deeper than 64 levels", id="fieldsV1 9,000 deep"),
    pytest.param(
        owned(containers('{"name":{"a":1}}')), "Expected `str`, got `object`", id="name is an object"
    ),
    pytest.param(owned(containers(nested(1200))), "Expected `str`, got `object`", id="name is a deep object"),
    pytest.param(owned(containers('{"name":"a]b"}')), "a text that no name is", id="name is no name"),
    pytest.param(
        owned(constraints('{"topologyKey":["x"]}')), "Expected `str`, got `array`", id="key is a list"
    ),
    pytest.param(owned(constraints("{")), "truncated", id="key is no JSON"),
    pytest.param(labelled, "KiB of it would have to be kept", id="6,000 labels"),
]


def object_of(kind: str, name: str, version: int = 7) -> Raw:
    raw: Raw = json.loads((OBJECTS / f"{kind}.json").read_bytes())
    raw["metadata"] |= {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}
    return raw


def listed(*items: str) -> bytes:
    return ('{"metadata":{"resourceVersion":"9"},"items":[' + ",".join(items) + "]}").encode()


def event(item: str, change: str = "MODIFIED") -> bytes:
    return f'{{"type":"{change}","object":{item}}}'.encode()


def why_not(store: Store, where: Key) -> str:
    """Why nothing can be decided about an object; "" where it can."""
    try:
        assert store.look(where, NOW) is not None
    except UnreadableObjectError as error:
        return str(error)
    return ""


def first_namespace(kind: str) -> str:
    found: str = object_of(kind, "x")["metadata"]["namespace"]
    return found


@pytest.mark.parametrize("way", ["list", "watch"])
@pytest.mark.parametrize(("spoil", "says"), UNREADABLE)
def test_a_deployment_that_cannot_be_read_is_known_by_name_and_its_twin_is_decided_about(
    spoil: Callable[[Raw], str], says: str, way: str
) -> None:
    twin, evil = json.dumps(object_of("deployment-web", "twin")), spoil(object_of("deployment-web", "evil"))
    namespace, store = first_namespace("deployment-web"), new_store()
    if way == "list":
        objects, version, more = decode_list(DEPLOYMENT, listed(twin, evil, twin.replace("twin", "third")))
        assert (version, more) == ("9", "")
        store.replace(DEPLOYMENT, objects, version)
    else:
        for line in (event(twin), event(evil), event(twin.replace("twin", "third"))):
            found = decode_event(DEPLOYMENT, line)
            assert (found.type, found.resource_version) == ("MODIFIED", "7")
            assert found.object is not None
            store.put(DEPLOYMENT, found.object)
    keys = [(namespace, name) for name in ("evil", "third", "twin")]
    assert store.take_dirty() == set(keys), "it is told at once, and not after the next resync"
    assert sorted(store.subjects()) == keys
    assert [why_not(store, one) == "" for one in keys] == [False, True, True]
    assert why_not(store, keys[0]).startswith("it cannot be read: ")
    assert says in why_not(store, keys[0])
    assert len(why_not(store, keys[0])) < 200


@pytest.mark.parametrize(
    "text",
    [
        '{"spec":{"replicas":' + "9" * 5000 + "}}",
        '{"spec":{"template":{"spec":{"containers":[{"name":["x"]}]}}}}',
        "{",
    ],
)
def test_of_a_manifest_that_no_server_takes_everything_that_is_owned_counts_as_chosen(text: str) -> None:
    raw = object_of("deployment-web", "evil")
    raw["metadata"]["managedFields"] = [
        {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    ]
    (found,), _, _ = decode_list(DEPLOYMENT, listed(annotated(text)(raw)))
    assert isinstance(found, Deployment)
    assert found.chosen == {"spec.replicas"}


def test_an_object_that_can_be_read_again_or_is_gone_is_unreadable_no_more() -> None:
    namespace, store = first_namespace("deployment-web"), new_store()
    where = (namespace, "evil")

    def put(text: str, change: str = "MODIFIED") -> None:
        found = decode_event(DEPLOYMENT, event(text, change)).object
        assert found is not None
        store.put(DEPLOYMENT, found)

    put(annotated(nested(1200))(object_of("deployment-web", "evil", version=8)))
    put(json.dumps(object_of("deployment-web", "evil", version=7)))
    assert why_not(store, where) != "", "an older one does not count"
    store.take_dirty()
    put(json.dumps(object_of("deployment-web", "evil", version=9)))
    assert (store.take_dirty(), why_not(store, where)) == ({where}, "")
    put(annotated(nested(1200))(object_of("deployment-web", "evil", version=10)))
    store.delete(DEPLOYMENT, *where, "uid-evil")
    assert store.look(where, NOW) is None
    put(labelled(object_of("deployment-web", "other", version=10)))
    store.replace(DEPLOYMENT, [], "11")
    assert (list(store.subjects()), store.look((namespace, "other"), NOW)) == ([], None)


SPOILED_NEIGHBOURS = [
    pytest.param(POD, "pod-ssa", owned(nested(1200)), "", id="pod, deep"),
    pytest.param(REPLICA_SET, "replicaset-helm", owned(nested(1200)), "", id="ReplicaSet, deep"),
    pytest.param(SERVICE, "service-web", annotated(nested(1200)), "", id="Service, deep"),
    pytest.param(
        SERVICE, "service-web", labelled, "Service evil beside it cannot be read: ", id="Service, large"
    ),
    pytest.param(POD, "pod-ssa", labelled, "Pod evil beside it cannot be read: ", id="pod, large"),
]


@pytest.mark.parametrize(("kind", "name", "spoil", "says"), SPOILED_NEIGHBOURS)
def test_what_is_unknown_beside_an_object_stops_decisions_in_its_namespace_alone(
    kind: Kind, name: str, spoil: Callable[[Raw], str], says: str
) -> None:
    store = new_store()
    for namespace in ("shop", "bank"):
        body = object_of("deployment-web", "web")
        body["metadata"] |= {"namespace": namespace, "uid": f"uid-{namespace}"}
        for found in decode_list(DEPLOYMENT, listed(json.dumps(body)))[0]:
            store.put(DEPLOYMENT, found)
    store.take_dirty()
    neighbour = object_of(name, "evil")
    neighbour["metadata"]["namespace"] = "shop"
    objects, version, _ = decode_list(kind, listed(spoil(neighbour)))
    store.replace(kind, objects, version)
    assert why_not(store, ("shop", "web"))[: len(says) or None] == says
    assert why_not(store, ("bank", "web")) == ""
    store.replace(kind, [], "10")
    assert why_not(store, ("shop", "web")) == ""


def test_an_hpa_whose_owners_cannot_be_read_still_scales_what_it_scales() -> None:
    web = object_of("deployment-web", "web")
    web["metadata"]["namespace"] = "shop"
    hpa = {
        "metadata": {"name": "web", "namespace": "shop", "uid": "h-1", "resourceVersion": "5"},
        "spec": {"minReplicas": 2, "maxReplicas": 5, "scaleTargetRef": {"kind": "Deployment", "name": "web"}},
    }
    store = new_store()
    store.replace(DEPLOYMENT, decode_list(DEPLOYMENT, listed(json.dumps(web)))[0], "9")
    store.replace(HPA, decode_list(HPA, listed(owned(nested(1200))(hpa)))[0], "9")
    view = store.look(("shop", "web"), NOW)
    assert view is not None
    assert [one.metadata.name for one in view.scalers] == ["web"]
    assert why_not(store, ("shop", "web")) == ""
    assert why_not(store, ("shop", "web", "HorizontalPodAutoscaler")).startswith("it cannot be read")


async def test_a_pass_names_the_object_that_cannot_be_read_and_repairs_the_others() -> None:
    world = World()
    world.create("evil", "web")
    world.operator.policy(deployments=DNS)
    api, desk = RefusingApi(world), Desk()
    beside = services(world, api, desk)
    texts = []
    for name in ("evil", "web"):
        raw = world.cluster.read(key(name))
        raw["metadata"]["resourceVersion"] = "1000000"
        texts.append(annotated(nested(1200))(raw) if name == "evil" else json.dumps(raw))
    objects, version, _ = decode_list(DEPLOYMENT, listed(*texts))
    beside.store.replace(DEPLOYMENT, objects, version)
    reconciler = Reconciler(beside)
    policy = world.operator.policies["p"]
    policy["metadata"]["finalizers"] = [FINALIZER]
    reconciler.policy_changed(policy, False)
    await reconciler.one_pass()
    (_, status) = desk.statuses[0]
    degraded = next(one for one in status["conditions"] if one["type"] == "Degraded")
    assert degraded["status"] == "True"
    assert "shop/evil" in degraded["message"]
    assert "it is nested too deep" in degraded["message"]
    assert [one["object"]["name"] for one in status["findings"]] == ["web"]
    assert reconciler._cluster.get(("shop", "web")) is not None


async def test_one_large_object_does_not_hold_the_event_loop() -> None:
    raw = object_of("deployment-web", "evil")
    text = owned('{"f:a":[' + "{}," * 450_000 + '1],"f:b":' + nested(1200) + "}")(raw)
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.005)
            beats += 1

    beating = asyncio.create_task(beat())
    await asyncio.sleep(0)
    found = await beside_the_loop(decode_event, DEPLOYMENT, event(text))
    beating.cancel()
    assert found.object is not None
    assert found.object.metadata.name == "evil"
    assert beats >= 3


def test_a_manifest_that_somebody_applied_under_our_name_keeps_its_command_lines() -> None:
    raw: Raw = {
        "metadata": {"name": "web", "namespace": "shop", "uid": "d-1", "resourceVersion": "7"},
        **{key: text for key, text in workload("web").items() if key != "metadata"},
    }
    container = raw["spec"]["template"]["spec"]["containers"][0]
    container |= {"args": ["--verbose"], "command": ["/web"]}
    name = json.dumps({"name": container["name"]})
    entry: Raw = {"f:args": {}, "f:command": {}, "f:lifecycle": {"f:preStop": {}}}
    fields = {"f:spec": {"f:template": {"f:spec": {"f:containers": {f"k:{name}": entry}}}}}
    ours = {"manager": "resilience-operator", "operation": "Apply", "fieldsV1": fields}
    raw["metadata"]["managedFields"] = [ours]
    store = new_store()
    store.replace(DEPLOYMENT, decode_list(DEPLOYMENT, listed(json.dumps(raw)))[0], "9")
    view = store.look(("shop", "web"), NOW)
    assert view is not None
    policy, _ = parse(
        {"metadata": {"name": "p", "uid": "p-1"}, "spec": {"mode": "Enforce", "deployments": DNS}}
    )
    decision = judge(view, [policy], Surroundings({"p-1": policy}))
    assert decision is not None
    assert decision.change is not None
    sent = json.loads(json.dumps(decision.change.patch(NOW)))
    assert [op["path"] for op in sent if op["op"] != "test"] == [
        "/spec/template/spec/dnsConfig",
        "/metadata/annotations",
    ]


@pytest.mark.parametrize("revision", ["²", "9" * 4300, "9" * 31, "1e3", "-1"])
def test_a_revision_that_is_none_counts_as_none(revision: str) -> None:
    raw = object_of("replicaset-helm", "web-1")
    raw["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = revision
    (found,), _, _ = decode_list(REPLICA_SET, listed(json.dumps(raw)))
    assert isinstance(found, ReplicaSet)
    assert found.revision == 0


@pytest.mark.parametrize(
    ("limit", "allows"), [("0" * 5000 + "50%", True), ("9" * 5000 + "%", False), ("²%", False), ("50%", True)]
)
def test_a_budget_of_digits_without_end_is_counted_or_allows_none(limit: str, allows: bool) -> None:
    body = {"metadata": {"name": "b", "namespace": "shop"}, "spec": {"minAvailable": limit}}
    (found,), _, _ = decode_list(BUDGET, listed(json.dumps(body)))
    assert isinstance(found, PodDisruptionBudget)
    assert allows_none(found, 4) is not allows


def test_an_error_about_one_change_loses_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    store = new_store()
    (views,) = store.views
    follow = views.handlers[DEPLOYMENT]

    def stumble(old: Object | None, new: Object | None) -> None:
        if (new or old).metadata.name == "evil":  # type: ignore[union-attr]
            raise KeyError("an event handler")
        follow(old, new)

    monkeypatch.setitem(store._handlers, DEPLOYMENT, (stumble,))
    texts = [json.dumps(object_of("deployment-web", name)) for name in ("evil", "twin")]
    store.replace(DEPLOYMENT, decode_list(DEPLOYMENT, listed(*texts))[0], "9")
    namespace = first_namespace("deployment-web")
    assert store.take_dirty() == {(namespace, "evil"), (namespace, "twin")}
    assert why_not(store, (namespace, "evil")) == "it cannot be read: an error of this operator: KeyError"
    assert why_not(store, (namespace, "twin")) == ""


def test_what_cannot_be_told_of_one_change_makes_everything_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = new_store()
    texts = [json.dumps(object_of("deployment-web", name)) for name in ("evil", "twin")]
    store.replace(DEPLOYMENT, decode_list(DEPLOYMENT, listed(*texts))[0], "9")
    store.take_dirty()

    def fail(*_: Any) -> Any:
        raise ValueError("4300 digits")

    (views,) = store.views
    monkeypatch.setattr(views, "widen", fail)
    found = decode_event(DEPLOYMENT, event(json.dumps(object_of("deployment-web", "evil", 8)))).object
    assert found is not None
    store.put(DEPLOYMENT, found)
    namespace = first_namespace("deployment-web")
    assert store.take_dirty() == {(namespace, "evil"), (namespace, "twin")}


def kept_after(spoil: Callable[[Raw, int], None], times: int) -> int:
    """Bytes that are held after one Deployment was changed so often, and deleted."""
    namespace, store = first_namespace("deployment-web"), new_store()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(times):
            raw = object_of("deployment-web", "evil", version=10 + number)
            spoil(raw, number)
            found = decode_event(DEPLOYMENT, event(json.dumps(raw))).object
            assert found is not None
            store.put(DEPLOYMENT, found)
            store.take_dirty()
        store.delete(DEPLOYMENT, namespace, "evil", "uid-evil")
        store.take_dirty()
        found = None
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def many_labels(raw: Raw, number: int) -> None:
    raw["metadata"]["labels"] = {f"l{number}-{each}": f"{number}" * 10 for each in range(1000)}


def few_labels(raw: Raw, number: int) -> None:
    raw["metadata"]["labels"] = {f"l{number}-{each}": f"{number}-{each}" for each in range(60)}


def long_name(raw: Raw, number: int) -> None:
    fields = json.loads(containers(json.dumps({"name": f"{number}" + "x" * 300})))
    fields["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:" + json.dumps({"name": "y" * 100_000})] = {}
    raw["metadata"]["managedFields"] = [
        {"manager": f"m{number}" * 20, "operation": "Update", "fieldsV1": fields}
    ]


@pytest.mark.parametrize("spoil", [many_labels, few_labels, long_name])
def test_nothing_is_kept_of_an_object_beyond_its_end_but_what_is_bounded(
    spoil: Callable[[Raw, int], None],
) -> None:
    kept_after(spoil, 5)
    kept = kept_after(spoil, 200)
    assert kept < 6_000_000, f"{kept} bytes"


def test_random_objects_of_a_tenant_raise_nothing() -> None:
    seen = run(3000, seed=4).seen
    assert all(seen[what] > 20 for what in ("readable", "unreadable", "believed", "distrusted", "planned"))
