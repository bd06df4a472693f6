"""The API server's guard over the operator's user: what a stolen token, whatever its rights, cannot do.

The operator's ServiceAccount is made administrator of the whole cluster here, so that what is refused is refused
by the guard and not for want of a right.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from requests import Response

from tests.lab import Lab
from tests.support.guarding import (
    ACCOUNT,
    APPLY,
    DRY,
    IGNORE,
    JSON_PATCH,
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

TABLE = yaml.safe_load(Path(__file__).with_name("guarded.yaml").read_text(encoding="utf-8"))
FORBIDDEN = [
    pytest.param(name, patch, says, id=f"{name}-{what}")
    for name, deployment in TABLE["deployments"].items()
    for says, patches in deployment["forbidden"].items()
    for what, patch in patches.items()
]
LEAVES = TABLE["leaves"]
CLOSED = {name: leaf for name, leaf in LEAVES.items() if "rules" in leaf}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Lab]:
    with guarding() as lab:
        yield lab


def deployed(lab: Lab, metadata: Object | None = None, name: str = "web") -> Api:
    """A Deployment of the table in a new Namespace, and the operator's access to it."""
    namespace = lab.namespace()
    deployment = manifest(name)
    lab.kubectl(
        *("apply", "-n", namespace, "-f", "-"),
        input=json.dumps(deployment | {"metadata": deployment["metadata"] | (metadata or {})}),
    )
    return Api(client(lab, service_account=ACCOUNT), namespace)


def manifest(name: str) -> Object:
    found: Object = TABLE["deployments"][name]["manifest"]
    return found


@pytest.fixture(scope="module")
def operator(guarded: Lab) -> Api:
    operator = deployed(guarded)
    for name in TABLE["deployments"]:
        guarded.kubectl("apply", "-n", operator.namespace, "-f", "-", input=json.dumps(manifest(name)))
    return operator


@pytest.fixture(scope="module")
def person(guarded: Lab, operator: Api) -> Api:
    return Api(client(guarded), operator.namespace)


@pytest.mark.parametrize(("name", "patch", "says"), FORBIDDEN)
def test_the_operator_cannot(operator: Api, name: str, patch: Object, says: str) -> None:
    assert says in denial(operator.patch(patch, name=name), "resilience-operator-leaves")


@pytest.mark.parametrize(("name", "patch", "says"), FORBIDDEN)
def test_somebody_else_can(person: Api, name: str, patch: Object, says: str) -> None:
    answer = person.patch(patch, name=name)
    assert "ValidatingAdmissionPolicy" not in answer.text, says


def test_the_operator_cannot_create_delete_or_scale(operator: Api) -> None:
    answers = (
        operator.create(manifest("web") | {"metadata": {"name": "new"}}),
        operator.delete(),
        operator.delete(""),
        operator.subresource("scale", {"spec": {"replicas": 0}}),
        operator.subresource("status", {"status": {"replicas": 9}}),
    )
    for answer in answers:
        assert denial(answer, "resilience-operator-only-updates") == NOT_ITS_OWN


def test_an_apply_to_what_is_gone_creates_nothing(operator: Api) -> None:
    body = manifest("web") | {"metadata": {"name": "gone"}}
    answer = operator.patch(body, APPLY, DRY | {"fieldManager": "resilience-operator"}, name="gone")
    assert denial(answer, "resilience-operator-only-updates") == NOT_ITS_OWN


@pytest.mark.parametrize("leaf", LEAVES)
def test_the_operator_can_change_a_published_leaf(operator: Api, leaf: str) -> None:
    assert accepted(operator.patch(LEAVES[leaf]["patch"], name=LEAVES[leaf]["of"]))


def test_an_apply_of_all_leaves_and_their_withdrawal_pass(guarded: Lab) -> None:
    operator = deployed(guarded)
    before = operator.read()
    manager = {"fieldManager": "resilience-operator"}

    def apply() -> bool:
        return operator.patch(apply_body(operator.read()), APPLY, manager | {"force": "true"}).ok

    def withdraw() -> bool:
        return operator.patch(withdrawal(before, operator.read()), JSON_PATCH, manager).ok

    # status moves on beside us, and with it the resourceVersion that both requests bear
    guarded.wait(apply, what="the apply to pass")
    changed = operator.read()
    assert changed["spec"]["template"]["spec"]["containers"][0]["lifecycle"] == {
        "postStart": {"exec": {"command": ["warm-up"]}},
        "preStop": {"sleep": {"seconds": 15}},
    }
    assert changed["spec"]["replicas"] == 5
    assert changed["metadata"]["annotations"]["resilience.dev/state"] == "{}"
    guarded.wait(withdraw, what="the withdrawal to pass")
    after = operator.read()
    assert after["spec"] == before["spec"]
    assert without_revision(after) == without_revision(before)


def apply_body(before: Object) -> Object:
    """A server-side apply of every leaf of the Deployment, with the state annotation."""
    template: Object = {}
    for leaf in LEAVES.values():
        if leaf["of"] == "web":
            template |= leaf["patch"].get("spec", {}).get("template", {}).get("spec", {})
    identity = {name: before["metadata"][name] for name in ("name", "uid", "resourceVersion")}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": identity | {"annotations": {"resilience.dev/state": "{}"}},
        "spec": {"replicas": 5, "template": {"spec": template}},
    }


def withdrawal(before: Object, changed: Object) -> list[Object]:
    """A JSON patch that gives everything back, our entry in managedFields included."""
    managers = changed["metadata"]["managedFields"]
    ours = next(index for index, entry in enumerate(managers) if entry["manager"] == "resilience-operator")
    template = "/spec/template/spec"
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": changed["metadata"]["resourceVersion"]},
        {"op": "replace", "path": "/spec/replicas", "value": before["spec"]["replicas"]},
        {"op": "replace", "path": template, "value": before["spec"]["template"]["spec"]},
        {"op": "remove", "path": "/metadata/annotations/resilience.dev~1state"},
        {"op": "remove", "path": f"/metadata/managedFields/{ours}"},
    ]


def without_revision(deployment: Object) -> Object:
    annotations: Object = deployment["metadata"]["annotations"]
    return {
        key: value for key, value in annotations.items() if not key.startswith("deployment.kubernetes.io/")
    }


@pytest.mark.parametrize("leaf", CLOSED)
@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {IGNORE: "all"}},
        {"annotations": {IGNORE: "probes, all"}},
        {"labels": {IGNORE: "RULE"}},
        {"annotations": {IGNORE: "probes, RULE"}},
        {"annotations": {IGNORE: "RULE", UNTIL: "next week"}},
    ],
    ids=["label-all", "annotation-all", "label", "annotation", "unreadable-end"],
)
@pytest.mark.parametrize("on_namespace", [False, True], ids=["object", "namespace"])
def test_an_opt_out_closes_the_leaves_of_its_rule(
    guarded: Lab, leaf: str, metadata: Object, on_namespace: bool
) -> None:
    of, rules = CLOSED[leaf]["of"], CLOSED[leaf]["rules"]
    said = json.loads(json.dumps(metadata).replace("RULE", rules[0]))
    operator = opted_out(guarded, said, on_namespace, of)
    refusal = denial(operator.patch(LEAVES[leaf]["patch"], name=of), "resilience-operator-leaves")
    everything = "all" in json.dumps(said)
    assert refusal == opted_out_of(["everything"] if everything else rules)
    other = next(each["patch"] for each in CLOSED.values() if each["of"] == "web" and each["rules"] != rules)
    assert operator.patch(other, name=of).status_code == (422 if everything else 200)


def opted_out_of(rules: list[str]) -> str:
    what, more = rules[0], f" (or {rules[1]})" if len(rules) > 1 else ""
    more = " (resilience.dev/ignore)" if what == "everything" else more
    return f"the object or its Namespace is opted out of {what}{more}"


@pytest.mark.parametrize("leaf", [name for name, leaf in CLOSED.items() if len(leaf["rules"]) > 1])
def test_of_rules_that_write_one_leaf_the_opt_out_of_either_closes_it(guarded: Lab, leaf: str) -> None:
    of, rules = CLOSED[leaf]["of"], CLOSED[leaf]["rules"]
    operator = opted_out(guarded, {"labels": {IGNORE: rules[1]}}, False, of)
    refusal = denial(operator.patch(LEAVES[leaf]["patch"], name=of), "resilience-operator-leaves")
    assert refusal == opted_out_of(rules)


@pytest.mark.parametrize("end", ["2020-01-31", "2999-12-31T18:00:00Z"])
@pytest.mark.parametrize("on_namespace", [False, True], ids=["object", "namespace"])
def test_an_opt_out_that_ends_is_left_to_the_operator(guarded: Lab, end: str, on_namespace: bool) -> None:
    operator = opted_out(guarded, {"annotations": {IGNORE: "all"}}, on_namespace)
    leaf = LEAVES["preStop"]["patch"]
    assert operator.patch(leaf).status_code == 422
    what = ["namespace", operator.namespace] if on_namespace else ["deployment", "web"]
    guarded.kubectl("annotate", "-n", operator.namespace, *what, f"{UNTIL}={end}")
    guarded.wait(lambda: operator.patch(leaf).status_code == 200, what="the guard to see the end")
    assert operator.patch({"metadata": {"annotations": {UNTIL: "2000-01-01"}}}).status_code == 422


def opted_out(lab: Lab, metadata: Object, on_namespace: bool, name: str = "web") -> Api:
    """A Deployment that is opted out by its own metadata or by that of its Namespace."""
    if not on_namespace:
        own = manifest(name)["metadata"]
        both = {key: own.get(key, {}) | metadata.get(key, {}) for key in ("labels", "annotations")}
        return deployed(lab, both, name)
    api = deployed(lab, name=name)
    lab.kubectl("patch", "namespace", api.namespace, "-p", json.dumps({"metadata": metadata}))
    # the API server's admission reads Namespaces from a cache that follows within moments
    leaves = [leaf["patch"] for leaf in LEAVES.values() if leaf["of"] == name]
    lab.wait(
        lambda: any(api.patch(leaf, name=name).status_code == 422 for leaf in leaves),
        what="the guard to see the Namespace",
    )
    return api


def test_of_a_policy_the_operator_can_change_the_finalizer_alone(guarded: Lab) -> None:
    policy = {"apiVersion": "resilience.dev/v1alpha1", "kind": "ResiliencePolicy"}
    guarded.kubectl("apply", "-f", "-", input=json.dumps(policy | {"metadata": {"name": "p"}, "spec": {}}))
    api = client(guarded, service_account=ACCOUNT)

    def patch(body: Object, subresource: str = "") -> int:
        where = {"version": "resilience.dev/v1alpha1", "url": f"resiliencepolicies/p{subresource}"}
        merge = {"Content-Type": "application/merge-patch+json"}
        answer: Response = api.patch(**where, data=json.dumps(body), headers=merge, params=DRY)
        return answer.status_code

    assert patch({"metadata": {"finalizers": ["resilience.dev/release"]}}) == 200
    assert patch({"status": {"observedGeneration": 1}}, "/status") == 200
    assert patch({"spec": {"mode": "Enforce"}}) == 422
    assert patch({"spec": {"suspend": True}}) == 422
    assert patch({"metadata": {"labels": {"new": "label"}}}) == 422
    assert patch({"metadata": {"annotations": {"new": "annotation"}}}) == 422


def test_the_operators_own_pods_come_up_under_its_own_manifests(guarded: Lab) -> None:
    pods = ("get", "pods", "-n", "resilience-system", "-o", "name")
    guarded.wait(lambda: len(guarded.kubectl(*pods).split()) == 2, what="both replicas to be admitted")


def test_the_api_server_doubts_no_expression_of_the_guard(guarded: Lab) -> None:
    def checked() -> dict[str, Object]:
        found = json.loads(guarded.kubectl("get", "validatingadmissionpolicies", "-o", "json"))["items"]
        assert all("typeChecking" in one.get("status", {}) for one in found)
        return {one["metadata"]["name"]: one["status"]["typeChecking"] for one in found}

    verdicts = guarded.wait(checked, what="all policies to be checked")
    assert set(verdicts) == {
        "resilience-operator-budgets",
        "resilience-operator-floors",
        "resilience-operator-leaves",
        "resilience-operator-only-updates",
        "resilience-operator-own-kind",
    }
    assert all(verdict == {} for verdict in verdicts.values()), verdicts
