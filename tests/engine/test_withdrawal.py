"""What is applied and given back leaves the object JSON-equal to what it was, whatever its owner had there."""

import copy
from collections.abc import Mapping
from typing import Any

import jsonpatch
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from resilience_operator.cluster.leaves import DNS_OPTIONS, GRACE, constraint_path, pre_stop_path
from resilience_operator.core.paths import ABSENT, Path
from resilience_operator.core.state import ANNOTATION, Held, ObjectState, encode
from resilience_operator.engine.withdrawal import Withdrawal, let_go, withdraw

Body = dict[str, Any]
HOST = constraint_path("kubernetes.io/hostname", "ScheduleAnyway")
ZONE = constraint_path("topology.kubernetes.io/zone", "DoNotSchedule")
WEB, DB = pre_stop_path("web"), pre_stop_path("db")
OURS = {"manager": "resilience-operator", "operation": "Apply", "fieldsV1": {}}
THEIRS = {"manager": "kubectl", "operation": "Update", "fieldsV1": {}}


def constraint(path: Path, skew: int) -> Body:
    return {**dict(path.steps[-1].keys), "maxSkew": skew}


SET: dict[Path, Any] = {
    GRACE: 45,
    DNS_OPTIONS: [{"name": "single-request-reopen"}],
    HOST: constraint(HOST, 1),
    ZONE: constraint(ZONE, 1),
    WEB: {"sleep": {"seconds": 15}},
    DB: {"sleep": {"seconds": 16}},
}
RACK = {"topologyKey": "rack", "whenUnsatisfiable": "ScheduleAnyway", "maxSkew": 3}
lifecycles = st.sampled_from(
    [None, {}, {"postStart": {"exec": {"command": ["x"]}}}, {"preStop": {"exec": {"command": ["y"]}}}]
)
entries = st.lists(
    st.sampled_from([RACK, constraint(HOST, 7), constraint(ZONE, 8)]),
    max_size=3,
    unique_by=lambda one: one["topologyKey"],
)
pods = st.fixed_dictionaries(
    {"restartPolicy": st.just("Always")},
    optional={
        "terminationGracePeriodSeconds": st.sampled_from([0, 30, 600]),
        "dnsConfig": st.sampled_from(
            [
                {},
                {"nameservers": ["10.0.0.10"]},
                {"options": [{"name": "ndots", "value": "2"}]},
                {"options": []},
            ]
        ),
        "topologySpreadConstraints": entries.filter(bool),
    },
)


def deployment(pod: Body, web: Body | None = None, db: Body | None = None, **annotations: str) -> Body:
    containers = [
        {"name": name, "image": f"{name}:1"}
        | ({} if lifecycle is None else {"lifecycle": copy.deepcopy(lifecycle)})
        for name, lifecycle in (("web", web), ("db", db))
    ]
    return {
        "metadata": {
            "name": "web",
            "resourceVersion": "7",
            **({"annotations": annotations} if annotations else {}),
            "managedFields": [THEIRS],
        },
        "spec": {"replicas": 3, "template": {"spec": {**copy.deepcopy(pod), "containers": containers}}},
    }


def applied(original: Body, leaves: Mapping[Path, Any]) -> tuple[Body, dict[str, Held]]:
    """The object after a server-side apply of these leaves, and what is remembered of it."""
    raw, held = copy.deepcopy(original), {}
    for path, value in leaves.items():
        was = path.read(original)
        depth = next(
            (n for n in range(len(path.steps)) if Path(path.steps[: n + 1]).read(original) is ABSENT), 0
        )
        held[str(path)] = Held("rule", value, was, depth if was is ABSENT else 0)
        _write(raw, path, value)
    raw["metadata"].setdefault("annotations", {})[ANNOTATION] = encode(ObjectState("d-1", held))
    raw["metadata"]["managedFields"] = [THEIRS, OURS]
    return raw, held


def _write(raw: Body, path: Path, value: Any) -> None:
    at: Any = raw
    for step in path.steps[:-1]:
        at = at.setdefault(step.field, {})
        if step.keys:
            (at,) = [entry for entry in at if entry["name"] == dict(step.keys)["name"]]
    last = path.steps[-1]
    if not last.keys:
        at[last.field] = copy.deepcopy(value)
        return
    entries = at.setdefault(last.field, [])
    for entry in entries:
        if all(entry[key] == wanted for key, wanted in last.keys):
            entry.clear()
            entry.update(value)
            return
    entries.append(copy.deepcopy(value))


def patched(raw: Body, plan: Withdrawal) -> Body:
    """The object after both patches, without the empty annotations that a server drops."""
    result: Body = jsonpatch.apply_patch(raw, list(plan.ops))
    result = jsonpatch.apply_patch(result, list(let_go(result)))
    if result["metadata"].get("annotations") == {}:
        del result["metadata"]["annotations"]
    return result


subsets = st.sets(st.sampled_from(sorted(SET)), min_size=1).map(
    lambda paths: {path: SET[path] for path in paths}
)


@given(pods, lifecycles, lifecycles, st.sampled_from([{}, {"team": "shop"}]), subsets)
def test_what_was_applied_and_is_given_back_was_never_there(
    pod: Body, web: Body | None, db: Body | None, annotations: Body, leaves: Mapping[Path, Any]
) -> None:
    original = deployment(pod, web, db, **annotations)
    raw, held = applied(original, leaves)
    plan = withdraw(raw, held, ObjectState())
    assert patched(raw, plan) == original
    assert (plan.given_back, plan.left_alone) == (tuple(sorted(held)), ())


def _valid(raw: Body) -> bool:
    """False where the API server refuses it: a native sleep longer than the grace period."""
    spec = raw["spec"]["template"]["spec"]
    hooks = [one.get("lifecycle", {}).get("preStop", {}) for one in spec["containers"]]
    sleeps = [hook["sleep"]["seconds"] for hook in hooks if "sleep" in hook]
    return bool(max(sleeps, default=0) <= spec.get("terminationGracePeriodSeconds", 30))


@given(pods, lifecycles, lifecycles, subsets, st.data())
def test_a_part_is_given_back_and_the_rest_stays_ours(
    pod: Body, web: Body | None, db: Body | None, leaves: Mapping[Path, Any], data: st.DataObject
) -> None:
    original = deployment(pod, web, db)
    raw, held = applied(original, leaves)
    part = data.draw(st.sets(st.sampled_from(sorted(held))))
    kept = {path: value for path, value in leaves.items() if str(path) not in part}
    after = ObjectState("d-1", {text: one for text, one in held.items() if text not in part}, contests=1)
    result = patched(raw, withdraw(raw, {text: held[text] for text in part}, after))
    expected, _ = applied(original, kept)
    assume(_valid(expected))
    assert _leaves(result) == _leaves(expected)
    if after:
        assert result["metadata"]["annotations"] == {ANNOTATION: encode(after)}
        assert result["metadata"]["managedFields"] == [THEIRS]


def _leaves(raw: Body) -> Any:
    """The pod spec, constraints in the order of their keys: the server keeps ours where they were appended."""
    spec = copy.deepcopy(raw["spec"]["template"]["spec"])
    if "topologySpreadConstraints" in spec:
        spec["topologySpreadConstraints"].sort(key=lambda one: one["topologyKey"])
    return spec


@pytest.mark.parametrize(
    ("theirs", "left"),
    [({"terminationGracePeriodSeconds": 90}, [GRACE]), ({"dnsConfig": {"options": []}}, [DNS_OPTIONS])],
)
def test_what_somebody_changed_after_us_is_left_alone(theirs: Body, left: list[Path]) -> None:
    original = deployment({"terminationGracePeriodSeconds": 30})
    raw, held = applied(original, {GRACE: 45, DNS_OPTIONS: SET[DNS_OPTIONS]})
    raw["spec"]["template"]["spec"] |= theirs
    plan = withdraw(raw, held, ObjectState())
    original["spec"]["template"]["spec"] |= theirs
    assert patched(raw, plan) == original
    assert plan.left_alone == tuple(str(path) for path in left)


def test_what_somebody_removed_after_us_is_left_alone_too() -> None:
    original = deployment({})
    raw, held = applied(original, {WEB: SET[WEB], HOST: SET[HOST]})
    raw["spec"]["template"]["spec"]["containers"].pop(0)
    del raw["spec"]["template"]["spec"]["topologySpreadConstraints"]
    plan = withdraw(raw, held, ObjectState())
    assert (plan.given_back, plan.left_alone) == ((), tuple(sorted(held)))
    assert [op["path"] for op in plan.ops] == [
        "/metadata/resourceVersion",
        "/metadata/annotations/resilience.dev~1state",
    ]


def test_the_whole_patch_for_one_leaf() -> None:
    raw, held = applied(deployment({"terminationGracePeriodSeconds": 30}), {GRACE: 45})
    assert withdraw(raw, held, ObjectState()).ops == (
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "replace", "path": "/spec/template/spec/terminationGracePeriodSeconds", "value": 30},
        {"op": "remove", "path": "/metadata/annotations/resilience.dev~1state"},
    )


def test_a_quarantine_without_annotations_makes_them() -> None:
    raw = deployment({})
    after = ObjectState("d-1", contests=1, applies=())
    held = ObjectState("d-1", {str(GRACE): Held("r", 1)})
    assert withdraw(raw, {}, after).ops == (
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
    )
    assert withdraw(raw, {}, held).ops[1] == {
        "op": "add",
        "path": "/metadata/annotations",
        "value": {ANNOTATION: encode(held)},
    }


def test_the_last_patch_removes_every_entry_of_ours_the_last_index_first() -> None:
    raw = deployment({})
    status = {**OURS, "operation": "Update", "subresource": "status"}
    raw["metadata"]["managedFields"] = [OURS, THEIRS, {**OURS, "operation": "Update"}, status]
    ours = "resilience-operator"
    assert let_go(raw) == (
        {"op": "test", "path": "/metadata/managedFields/2/manager", "value": ours},
        {"op": "remove", "path": "/metadata/managedFields/2"},
        {"op": "test", "path": "/metadata/managedFields/0/manager", "value": ours},
        {"op": "remove", "path": "/metadata/managedFields/0"},
    )
    raw["metadata"]["managedFields"] = [THEIRS, status]
    assert let_go(raw) == ()
