"""The JSON patch that sets our leaves: nothing else of an object is another afterwards, not even an order."""

import copy
from collections.abc import Mapping
from typing import Any

import jsonpatch
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience_operator.cluster.leaves import (
    DNS_OPTIONS,
    GRACE,
    REPLICAS,
    constraint_path,
    outline,
    pre_stop_path,
)
from resilience_operator.cluster.objects.workloads import Deployment
from resilience_operator.core.paths import ABSENT, Path
from resilience_operator.engine.patch import annotate, patch, preconditions
from tests.sim.leaves import PUBLISHED, changed

Body = dict[str, Any]

HOST, ZONE, RACK = (
    constraint_path(key, "ScheduleAnyway")
    for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone", "example.com/rack")
)
names = st.lists(
    st.sampled_from(
        [
            "web",
            "web-1",
            "web-10",
            "web-1-0",
            "1",
            "10",
            "0",
            "a",
            "a-a",
            "a-a-a",
            "rabbitmq",
            "rabbitmq-exporter",
        ]
    ),
    min_size=1,
    max_size=6,
    unique=True,
)
"""Names of containers, some the beginning of others, some that a list's index could be taken for."""

lifecycles: st.SearchStrategy[Body] = st.sampled_from(
    [
        {},
        {"lifecycle": {}},
        {"lifecycle": {"postStart": {"exec": {"command": ["x"]}}}},
        {"lifecycle": {"preStop": {"sleep": {"seconds": 2}}}},
    ]
)
constraints = st.lists(
    st.sampled_from(["kubernetes.io/hostname", "example.com/rack", "topology.kubernetes.io/zone"]),
    unique=True,
)
rest = st.fixed_dictionaries(
    {},
    optional={
        "terminationGracePeriodSeconds": st.just(30),
        "dnsConfig": st.sampled_from(
            [
                {},
                {"nameservers": ["10.0.0.10"]},
                {"options": [{"name": "ndots", "value": "2"}], "searches": ["a"]},
            ]
        ),
        "initContainers": st.just([{"name": "web", "image": "init:1"}]),
    },
)


def constraint(key: str, skew: int) -> Body:
    return {"topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": "ScheduleAnyway"}


@st.composite
def deployments(draw: st.DrawFn) -> Body:
    """A Deployment as the API server gives it."""
    containers = [{"name": name, "image": f"{name}:1", **draw(lifecycles)} for name in draw(names)]
    keys = draw(constraints)
    spread = {"topologySpreadConstraints": [constraint(key, 5) for key in keys]} if keys else {}
    pod = {**draw(rest), **spread, "containers": containers}
    return {
        "metadata": {"name": "web", "uid": "d-1", "resourceVersion": "7"},
        "spec": {"replicas": 1, "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod}},
    }


def leaves_of(body: Body) -> dict[Path, Any]:
    """Every leaf that we may set on it."""
    hooks = {
        pre_stop_path(one["name"]): {"sleep": {"seconds": 15}}
        for one in body["spec"]["template"]["spec"]["containers"]
    }
    return {
        GRACE: 45,
        REPLICAS: 2,
        DNS_OPTIONS: [{"name": "single-request-reopen"}],
        HOST: constraint("kubernetes.io/hostname", 1),
        ZONE: constraint("topology.kubernetes.io/zone", 1),
        **hooks,
    }


def patched(body: Body, leaves: Mapping[Path, Any], *removed: Path) -> Body:
    """The object after the patch, which is decided on what we keep of it alone."""
    known = msgspec.convert(body, Deployment)
    ops = [*preconditions("d-1", "7"), *patch(outline(known), leaves, removed)]
    found: Body = jsonpatch.apply_patch(body, ops)
    return found


@settings(max_examples=500)
@given(deployments(), st.data())
def test_each_leaf_is_as_set_and_nothing_else_is_another_nor_at_another_place(
    body: Body, data: st.DataObject
) -> None:
    every = leaves_of(body)
    leaves = {path: every[path] for path in data.draw(st.sets(st.sampled_from(sorted(every)), min_size=1))}
    after = patched(body, leaves)
    assert {path: path.read(after) for path in leaves} == leaves
    assert changed(body, after) <= {*PUBLISHED, "spec.replicas"}
    before_pod, pod = (one["spec"]["template"]["spec"] for one in (body, after))
    assert [one["name"] for one in pod["containers"]] == [one["name"] for one in before_pod["containers"]]
    assert [{**one, "lifecycle": {}} for one in pod["containers"]] == [
        {**one, "lifecycle": {}} for one in before_pod["containers"]
    ]
    theirs = [one["topologyKey"] for one in before_pod.get("topologySpreadConstraints", [])]
    assert [one["topologyKey"] for one in pod.get("topologySpreadConstraints", [])][: len(theirs)] == theirs


@settings(max_examples=200)
@given(deployments(), constraints)
def test_a_leaf_that_is_replaced_by_another_goes_with_the_same_patch(body: Body, keys: list[str]) -> None:
    there = body["spec"]["template"]["spec"].get("topologySpreadConstraints", [])
    removed = [constraint_path(key, "ScheduleAnyway") for key in keys]
    after = patched(body, {GRACE: 45}, *removed)
    left = [one for one in there if one["topologyKey"] not in keys]
    assert after["spec"]["template"]["spec"].get("topologySpreadConstraints", []) == left
    assert GRACE.read(after) == 45
    assert all(path.read(after) is ABSENT for path in removed)


def test_what_is_missing_on_the_way_comes_with_the_leaf_and_every_operation_is_one_leaf() -> None:
    pod = {"containers": [{"name": "a", "image": "a:1"}, {"name": "web", "image": "web:1"}]}
    body = {"metadata": {"name": "web"}, "spec": {"replicas": 1, "template": {"spec": pod}}}
    every = leaves_of(body)
    del every[pre_stop_path("a")]
    assert patch(outline(msgspec.convert(body, Deployment)), every) == [
        {"op": "add", "path": "/spec/replicas", "value": 2},
        {
            "op": "add",
            "path": "/spec/template/spec/containers/1/lifecycle",
            "value": {"preStop": {"sleep": {"seconds": 15}}},
        },
        {
            "op": "add",
            "path": "/spec/template/spec/dnsConfig",
            "value": {"options": [{"name": "single-request-reopen"}]},
        },
        {"op": "add", "path": "/spec/template/spec/terminationGracePeriodSeconds", "value": 45},
        {
            "op": "add",
            "path": "/spec/template/spec/topologySpreadConstraints",
            "value": [constraint("kubernetes.io/hostname", 1)],
        },
        {
            "op": "add",
            "path": "/spec/template/spec/topologySpreadConstraints/-",
            "value": constraint("topology.kubernetes.io/zone", 1),
        },
    ]


def test_of_an_entry_that_the_owner_has_only_that_one_is_replaced() -> None:
    spread = [constraint(key, 5) for key in ("example.com/rack", "kubernetes.io/hostname")]
    pod = {"containers": [], "topologySpreadConstraints": spread}
    body = {"metadata": {"name": "web"}, "spec": {"template": {"spec": copy.deepcopy(pod)}}}
    leaves = {HOST: constraint("kubernetes.io/hostname", 1)}
    assert patch(outline(msgspec.convert(body, Deployment)), leaves) == [
        {
            "op": "replace",
            "path": "/spec/template/spec/topologySpreadConstraints/1",
            "value": constraint("kubernetes.io/hostname", 1),
        }
    ]


@pytest.mark.parametrize(
    ("known", "there"),
    [
        (None, None),
        ({}, {"team": "shop"}),
        ({"resilience.dev/ignore": "probes"}, {"resilience.dev/ignore": "probes", "team": "shop"}),
        ({"resilience.dev/state": "old"}, {"resilience.dev/state": "old"}),
    ],
    ids=["none-at-all", "none-that-we-keep", "some", "ours"],
)
@pytest.mark.parametrize("name", ["resilience.dev/state", "a~b/c~1d"])
def test_our_annotation_is_set_beside_all_others(name: str, known: Body | None, there: Body | None) -> None:
    body = {"metadata": {"name": "web", **({} if there is None else {"annotations": there})}}
    after = jsonpatch.apply_patch(body, annotate(known, name, "text"))
    assert after["metadata"]["annotations"] == {**(there or {}), name: "text"}
