"""The API server's guard over what scales Deployments: the least number of replicas, and nothing else.

KEDA's kind is not there at first: a guard that speaks of it stands all the same (every other test of the guard).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from resilience_operator.core.state import Held, ObjectState, encode
from tests.lab import Lab
from tests.standins.keda import scaled_object_crd
from tests.support.guarding import (
    ACCOUNT,
    APPLY,
    DRY,
    IGNORE,
    JSON_PATCH,
    MERGE,
    NOT_ITS_OWN,
    UNTIL,
    Api,
    Object,
    accepted,
    client,
    denial,
    guarding,
)

pytestmark = pytest.mark.lab

TABLE = yaml.safe_load(Path(__file__).with_name("guarded_floors.yaml").read_text(encoding="utf-8"))
KINDS, COMMON = TABLE["kinds"], TABLE["common"]
GUARD = "resilience-operator-floors"
FORBIDDEN = [
    pytest.param(kind, patch, says, id=f"{kind}-{name}")
    for kind, entry in KINDS.items()
    for says, patches in (COMMON["forbidden"] | entry["forbidden"]).items()
    for name, patch in patches.items()
]
ALLOWED = [
    pytest.param(kind, patch, id=f"{kind}-{name}")
    for kind, entry in KINDS.items()
    for name, patch in (COMMON["allowed"] | entry["allowed"]).items()
]


class Place(NamedTuple):
    """A lab, and the namespace of its autoscalers; ConfigMaps lie in kube-system."""

    lab: Lab
    namespace: str

    def api(self, kind: str, **user: str) -> Api:
        """A user's requests for objects of the kind."""
        namespace = "kube-system" if kind == "configmaps" else self.namespace
        version = KINDS[kind]["manifest"]["apiVersion"]
        return Api(client(self.lab, **user), namespace, version, kind)

    def operator(self, kind: str) -> Api:
        """The operator's."""
        return self.api(kind, service_account=ACCOUNT)

    def made(self, kind: str, name: str, **manifest: object) -> None:
        """An object of the table, with another name and what is given in place of its own."""
        body = KINDS[kind]["manifest"] | manifest
        body["metadata"] = body["metadata"] | {"name": name}
        where = self.api(kind).namespace
        self.lab.kubectl("apply", "-n", where, "-f", "-", input=json.dumps(body))


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with guarding() as lab:
        lab.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(older_keda()))
        lab.wait_established("scaledobjects.keda.sh")
        made = Place(lab, lab.namespace())
        for kind in KINDS:
            made.made(kind, "web")
        yield made


def older_keda() -> Object:
    """KEDA's CustomResourceDefinition without the rules of its newest releases, which compare the two numbers."""
    crd = scaled_object_crd()
    for version in crd["spec"]["versions"]:
        version["schema"]["openAPIV3Schema"]["properties"]["spec"].pop("x-kubernetes-validations", None)
    return crd


@pytest.mark.parametrize(("kind", "patch", "says"), FORBIDDEN)
def test_the_operator_cannot(place: Place, kind: str, patch: Object, says: str) -> None:
    assert denial(place.operator(kind).patch(patch, MERGE), GUARD) == says


@pytest.mark.parametrize(("kind", "patch", "says"), FORBIDDEN)
def test_somebody_else_can(place: Place, kind: str, patch: Object, says: str) -> None:
    assert "ValidatingAdmissionPolicy" not in place.api(kind).patch(patch, MERGE).text, says


@pytest.mark.parametrize(("kind", "patch"), ALLOWED)
def test_the_operator_can(place: Place, kind: str, patch: Object) -> None:
    assert accepted(place.operator(kind).patch(patch, MERGE))


@pytest.mark.parametrize("other", TABLE["others"], ids=lambda other: other["name"])
def test_the_operator_cannot_touch(place: Place, other: Object) -> None:
    body = {key: other[key] for key in ("spec", "data") if key in other}
    place.made(other["kind"], other["name"], **body)
    operator = place.operator(other["kind"])
    assert denial(operator.patch(other["patch"], MERGE, name=other["name"]), GUARD) == other["says"]
    state = {"metadata": {"annotations": {"resilience.dev/state": None}}}
    assert accepted(operator.patch(state, MERGE, name=other["name"]))


def test_of_config_maps_only_those_of_cluster_dns_are_the_operators_to_change(place: Place) -> None:
    operator = place.operator("configmaps")._replace(namespace="resilience-system")
    for patch in (
        {"data": {"pause": "false"}},
        {"metadata": {"annotations": {"resilience.dev/state": "{}"}}},
    ):
        answer = operator.patch(patch, MERGE, name="resilience-operator")
        assert denial(answer, GUARD) == (
            "the operator may change minReplicas, minReplicaCount, linear or ladder alone"
            if "data" in patch
            else "of ConfigMaps, the operator may change those of kube-system alone"
        )


def test_of_two_modes_in_a_config_map_one_may_go(place: Place) -> None:
    place.made("configmaps", "two-modes", data={"linear": "{}", "ladder": "{}"})
    operator = place.operator("configmaps")
    assert accepted(operator.patch({"data": {"linear": None}}, MERGE, name="two-modes"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_operator_cannot_create_delete_scale_or_report(place: Place, kind: str) -> None:
    operator, manifest = place.operator(kind), KINDS[kind]["manifest"]
    status = {"status": {"currentReplicas": 1}}
    answers = [
        operator.create(manifest | {"metadata": {"name": "new"}}),
        operator.patch(
            manifest | {"metadata": {"name": "new"}}, APPLY, DRY | {"fieldManager": "x"}, name="new"
        ),
        operator.delete(),
        operator.delete(""),
        *([operator.subresource("status", status)] if kind != "configmaps" else []),
    ]
    assert {denial(answer, "resilience-operator-only-updates") for answer in answers} == {NOT_ITS_OWN}


@pytest.mark.parametrize("plural", ["replicasets", "statefulsets"])
def test_the_operator_can_scale_nothing_at_all(place: Place, plural: str) -> None:
    labels = {"app": plural}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    kind = {"replicasets": "ReplicaSet", "statefulsets": "StatefulSet"}[plural]
    body = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}, "spec": spec}
    place.lab.kubectl("apply", "-n", place.namespace, "-f", "-", input=json.dumps(body))
    operator = place.operator("horizontalpodautoscalers").of("apps/v1", plural)
    answer = operator.subresource("scale", {"spec": {"replicas": 1}})
    assert denial(answer, "resilience-operator-only-updates") == NOT_ITS_OWN
    person = place.api("horizontalpodautoscalers").of("apps/v1", plural)
    assert accepted(person.subresource("scale", {"spec": {"replicas": 1}}))


@pytest.mark.parametrize("rule", ["replicas", "coredns-floor", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_opt_out_of_the_object_closes_it(place: Place, kind: str, rule: str) -> None:
    metadata = KINDS[kind]["manifest"]["metadata"]
    name, patch = f"opted-out-{rule}", KINDS[kind]["allowed"]["raise"]
    place.made(kind, name, metadata=metadata | {"labels": {IGNORE: rule}})
    operator = place.operator(kind)
    assert denial(operator.patch(patch, MERGE, name=name), GUARD) == opted_out_of(rule)
    annotation = {"annotations": metadata["annotations"] | {IGNORE: f"probes, {rule}"}}
    place.made(kind, name, metadata=metadata | annotation)
    assert denial(operator.patch(patch, MERGE, name=name), GUARD) == opted_out_of(rule)
    annotation["annotations"] |= {UNTIL: "2999-12-31"}
    place.made(kind, name, metadata=metadata | annotation)
    assert accepted(operator.patch(patch, MERGE, name=name))


@pytest.mark.parametrize("rule", ["replicas", "coredns-floor", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_opt_out_of_the_namespace_closes_all_that_is_in_it(place: Place, kind: str, rule: str) -> None:
    operator, patch = place.operator(kind), KINDS[kind]["allowed"]["raise"]
    label = ("label", "namespace", operator.namespace)
    place.lab.kubectl(*label, f"{IGNORE}={rule}")
    place.lab.wait(
        lambda: denial(operator.patch(patch, MERGE), GUARD) == opted_out_of(rule),
        what="the guard to see the opt-out",
    )
    place.lab.kubectl(*label, f"{IGNORE}-")
    place.lab.wait(lambda: operator.patch(patch, MERGE).ok, what="the guard to see that it ended")


def opted_out_of(rule: str) -> str:
    what = "everything (resilience.dev/ignore)" if rule == "all" else "replicas (or coredns-floor)"
    return f"the object or its Namespace is opted out of {what}"


@pytest.mark.parametrize("kind", KINDS)
def test_an_apply_with_its_state_and_the_withdrawal_pass(place: Place, kind: str) -> None:
    place.made(kind, "back")
    operator, manager = place.operator(kind), {"fieldManager": "resilience-operator"}
    before = operator.read("back")
    part = "data" if "data" in before else "spec"
    ((leaf, value),) = KINDS[kind]["allowed"]["raise"][part].items()
    metadata = {name: before["metadata"][name] for name in ("name", "namespace", "uid", "resourceVersion")}
    held = {
        f"{part}.{leaf}": Held("replicas", KINDS[kind]["allowed"]["raise"][part][leaf], before[part][leaf])
    }
    state = encode(ObjectState(before["metadata"]["uid"], held))
    body = {
        "apiVersion": before["apiVersion"],
        "kind": before["kind"],
        "metadata": metadata | {"annotations": {"resilience.dev/state": state}},
        part: {leaf: value},
    }
    assert accepted(operator.patch(body, APPLY, manager | {"force": "true"}, name="back"))
    changed = operator.read("back")
    assert changed[part] == before[part] | {leaf: value}
    entries = changed["metadata"]["managedFields"]
    ours = next(at for at, entry in enumerate(entries) if entry["manager"] == manager["fieldManager"])
    ops = [
        {"op": "replace", "path": f"/{part}/{leaf}", "value": before[part][leaf]},
        {"op": "remove", "path": "/metadata/annotations/resilience.dev~1state"},
        {"op": "remove", "path": f"/metadata/managedFields/{ours}"},
    ]
    assert accepted(operator.patch(ops, JSON_PATCH, manager, name="back"))
    after = operator.read("back")
    assert (after[part], after["metadata"]["annotations"]) == (
        before[part],
        before["metadata"]["annotations"],
    )
