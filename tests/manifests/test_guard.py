"""The API server's guard over the operator's user: what a stolen token, whatever its rights, cannot do.

The operator's ServiceAccount is made administrator of the whole cluster here, so that what is refused is refused
by the guard and not for want of a right.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from requests import Response

from resilience_operator.api.guard import GuardProof
from resilience_operator.api.session import Session
from resilience_operator.core.kinds import DEPLOYMENT
from resilience_operator.core.paths import ABSENT
from resilience_operator.core.state import Held, ObjectState, encode
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
    assert changed["metadata"]["annotations"]["resilience.dev/state"] == STATE
    guarded.wait(withdraw, what="the withdrawal to pass")
    after = operator.read()
    assert after["spec"] == before["spec"]
    assert without_revision(after) == without_revision(before)


def held(path: str, value: object, was: object) -> dict[str, Held]:
    return {path: Held("rule", value, was, policies=("p-1",))}


TEMPLATE = "spec.template.spec"
STATE = encode(
    ObjectState(
        "u",
        held("spec.replicas", 5, 2)
        | held(f"{TEMPLATE}.terminationGracePeriodSeconds", 45, 30)
        | held(f"{TEMPLATE}.containers[name=web].lifecycle.preStop", {"sleep": {"seconds": 15}}, ABSENT)
        | held(f"{TEMPLATE}.dnsConfig.options", [], [{"name": "edns0"}])
        | held(
            f"{TEMPLATE}.topologySpreadConstraints"
            "[topologyKey=kubernetes.io/hostname,whenUnsatisfiable=ScheduleAnyway]",
            {},
            ABSENT,
        ),
    )
)
"""What the operator remembers of the leaves of web."""


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
        "metadata": identity | {"annotations": {"resilience.dev/state": STATE}},
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
        "resilience-operator-events",
        "resilience-operator-floors",
        "resilience-operator-leaves",
        "resilience-operator-node-condition",
        "resilience-operator-nodestates",
        "resilience-operator-only-updates",
        "resilience-operator-own-kind",
        "resilience-operator-webhooks",
        "resilience-operator-webhooks-stay",
    }
    assert all(verdict == {} for verdict in verdicts.values()), verdicts


def fields_of(deployment: Object) -> tuple[int, Object]:
    """Where the owner's entry of managedFields stands, and that entry."""
    entries = deployment["metadata"]["managedFields"]
    at = next(index for index, one in enumerate(entries) if not one.get("subresource"))
    return at, entries[at]


GROWS = "in managedFields, the entry of another manager may not grow, appear or change"
LOSES = "in managedFields, the entry of another manager may lose published leaves alone"
CLAIMS: dict[str, tuple[str, str, object, str]] = {
    "another-manager": ("replace", "/AT/manager", "argocd-controller", GROWS),
    "another-operation": ("replace", "/AT/operation", "Apply", GROWS),
    "another-time": ("replace", "/AT/time", "2020-01-01T00:00:00Z", GROWS),
    "a-status-entry": ("add", "/AT/subresource", "status", GROWS),
    "one-field-more": ("add", "/AT/fieldsV1/f:spec/f:paused", {}, GROWS),
    "a-root-more": ("add", "/AT/fieldsV1/f:status", {}, GROWS),
    "a-label-more": ("add", "/AT/fieldsV1/f:metadata/f:labels/f:new", {}, GROWS),
    "security": ("add", "/AT/fieldsV1/f:spec/f:template/f:spec/f:hostIPC", {}, GROWS),
    "a-container-more": (
        "add",
        '/AT/fieldsV1/f:spec/f:template/f:spec/f:containers/k:{"name":"x"}',
        {},
        GROWS,
    ),
    "all-claims": ("replace", "", [], LOSES),
    "reset": ("replace", "", [{}], LOSES),
    "an-entry": ("remove", "/AT", None, LOSES),
    "all-of-spec": ("remove", "/AT/fieldsV1/f:spec", None, LOSES),
    "the-template": ("remove", "/AT/fieldsV1/f:spec/f:template", None, LOSES),
    "the-strategy": ("remove", "/AT/fieldsV1/f:spec/f:strategy", None, LOSES),
    "containers": ("remove", "/AT/fieldsV1/f:spec/f:template/f:spec/f:containers", None, LOSES),
    "volumes": ("remove", "/AT/fieldsV1/f:spec/f:template/f:spec/f:volumes", None, LOSES),
    "metadata": ("remove", "/AT/fieldsV1/f:metadata", None, LOSES),
}


@pytest.mark.parametrize("what", CLAIMS)
def test_nobody_elses_claims_are_the_operators_to_give_or_take(operator: Api, what: str) -> None:
    op, path, value, says = CLAIMS[what]
    at, _ = fields_of(operator.read())
    # Beside an allowed change: another time alone the API server takes back by itself, mostly, and asks nobody.
    allowed = {"op": "replace", "path": "/spec/replicas", "value": 3}
    taken = {"op": op, "path": "/metadata/managedFields" + path.replace("AT", str(at)), "value": value}
    assert operator.patch([allowed], JSON_PATCH).ok
    assert denial(operator.patch([taken, allowed], JSON_PATCH), "resilience-operator-leaves") == says


def test_a_claim_cannot_be_given_to_another_manager(operator: Api) -> None:
    _, entry = fields_of(operator.read())
    for name, operation in (("argocd-controller", "Apply"), ("kubectl-client-side-apply", "Apply")):
        stolen = entry | {"manager": name, "operation": operation}
        ops = [{"op": "add", "path": "/metadata/managedFields/-", "value": stolen}]
        assert denial(operator.patch(ops, JSON_PATCH), "resilience-operator-leaves") == GROWS
    under_another_name = operator.patch(
        {"spec": {"replicas": 3}}, params=DRY | {"fieldManager": "argocd-controller"}
    )
    assert denial(under_another_name, "resilience-operator-leaves") == GROWS


def test_a_json_patch_of_all_leaves_and_one_that_leaves_no_claim_pass(guarded: Lab) -> None:
    operator = deployed(guarded)
    manager = {"fieldManager": "resilience-operator"}
    template = "/spec/template/spec"

    def change() -> bool:
        before = operator.read()
        constraints = LEAVES["topologySpreadConstraints"]["patch"]["spec"]["template"]["spec"]
        sleep = {"preStop": {"sleep": {"seconds": 15}}}
        ops = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": before["metadata"]["resourceVersion"]},
            {"op": "add", "path": "/spec/replicas", "value": 5},
            {"op": "add", "path": f"{template}/terminationGracePeriodSeconds", "value": 45},
            {"op": "add", "path": f"{template}/topologySpreadConstraints",
             "value": constraints["topologySpreadConstraints"]},
            {"op": "add", "path": f"{template}/dnsConfig/options/-", "value": {"name": "single-request-reopen"}},
            {"op": "add", "path": f"{template}/containers/0/lifecycle/preStop", "value": sleep["preStop"]},
            {"op": "add", "path": "/metadata/annotations/resilience.dev~1state", "value": STATE},
        ]  # fmt: skip
        return operator.patch(ops, JSON_PATCH, manager).ok

    def forget() -> bool:
        entries = operator.read()["metadata"]["managedFields"]
        at = next(index for index, one in enumerate(entries) if one["manager"] == manager["fieldManager"])
        path = f"/metadata/managedFields/{at}"
        ops = [{"op": "test", "path": f"{path}/manager", "value": manager["fieldManager"]}]
        return operator.patch([*ops, {"op": "remove", "path": path}], JSON_PATCH, manager).ok

    guarded.wait(change, what="the leaves to be set")
    guarded.wait(forget, what="our claim to be removed")
    changed = operator.read()
    assert "resilience-operator" not in {one["manager"] for one in changed["metadata"]["managedFields"]}
    assert changed["spec"]["replicas"] == 5


def test_what_nobody_reads_costs_nothing(guarded: Lab) -> None:
    operator = deployed(guarded, {"annotations": {IGNORE: "," * 100_000}})

    def seconds() -> float:
        start = time.perf_counter()
        answer = operator.patch({"spec": {"replicas": 3}})
        assert denial(answer, "resilience-operator-leaves") == opted_out_of(["everything"])
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.5


@pytest.mark.parametrize("controller", ["kubelet", "resilience.dev/operator"])
def test_the_operator_speaks_for_itself_alone(guarded: Lab, controller: str) -> None:
    events = Api(client(guarded, service_account=ACCOUNT), "default", "events.k8s.io/v1", "events")
    body = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "told"},
        "eventTime": "2026-11-22T08:00:00.000000Z",
        "reportingController": controller,
        "reportingInstance": "x",
        "action": "Evaluate",
        "reason": "Told",
        "type": "Normal",
        "regarding": {"kind": "Namespace", "name": "default", "namespace": "default"},
    }
    answer = events.create(body)
    if controller == "resilience.dev/operator":
        assert accepted(answer)
    else:
        says = "the operator tells and changes Events of its own alone"
        assert denial(answer, "resilience-operator-events") == says


@pytest.mark.parametrize("policy", ["leaves", "budgets"])
async def test_the_proof_fails_as_soon_as_a_binding_is_gone(guarded: Lab, policy: str) -> None:
    operator = deployed(guarded)
    config = str(guarded.kubeconfig(service_account=ACCOUNT))
    session = await Session.connect(config, None, qps=50, burst=50, user_agent="guard-proof")
    binding = f"resilience-operator-{policy}"
    async with session:
        places = [(DEPLOYMENT, operator.namespace, "web")]
        proof = GuardProof(session, "resilience-system", lambda: places, lambda: None)
        await proof.look()
        assert proof.unguarded() == ""
        guarded.kubectl("delete", "validatingadmissionpolicybinding", binding)
        try:
            for _ in range(100):
                await proof.look()
                if proof.unguarded():
                    break
                await asyncio.sleep(0.2)
            what = {
                "leaves": f"label Deployment {operator.namespace}/web",
                "budgets": "make a PodDisruptionBudget that stops every eviction",
            }[policy]
            assert proof.unguarded().startswith(f"unguarded: the API server lets this user {what};")
        finally:
            guarded.kubectl("apply", "-f", "manifests/enforce/guard.yaml")
        for _ in range(100):
            await proof.look()
            if not proof.unguarded():
                break
            await asyncio.sleep(0.2)
        assert proof.unguarded() == ""
