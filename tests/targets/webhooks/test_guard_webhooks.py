"""The API server's guard over webhook configurations: an operator with every right changes three leaves, one way.

The operator's ServiceAccount is made administrator of the whole cluster here, and so is one with a prefix in another
namespace, so that what is refused is refused by the guard and not for want of a right.
"""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from resilience_operator.cluster.declared import MAX_ENTRIES
from resilience_operator.core.state import ANNOTATION, Held, ObjectState, encode
from resilience_operator.engine.change import Change, Verb
from resilience_operator.engine.withdrawal import let_go, withdraw
from resilience_operator.targets import KIND_BY_NAME, project_dict
from tests.e2e.process import OperatorProcess
from tests.lab import Lab
from tests.support.guarding import (
    ACCOUNT,
    APPLY,
    IGNORE,
    JSON_PATCH,
    Api,
    Object,
    accepted,
    client,
    denial,
    guarding,
)
from tests.targets.webhooks.configurations import EVERYTHING, OWN, Case, rule, where
from tests.targets.webhooks.passes import STEPS, Server

pytestmark = pytest.mark.lab

GUARD, STAY = "resilience-operator-webhooks", "resilience-operator-webhooks-stay"
VERSION = "admissionregistration.k8s.io/v1"
PLURALS = {
    "ValidatingWebhookConfiguration": "validatingwebhookconfigurations",
    "MutatingWebhookConfiguration": "mutatingwebhookconfigurations",
}
RENAMED = "acme/acme-resilience-operator"
NAME = "kubernetes.io/metadata.name"
NOTED = "webhooks[name=guard.example.dev]"

META = "of metadata, the operator may change its own annotation alone"
NOTES = "of the annotations, the operator may change resilience.dev/state alone"
LIST = "the operator may not add, remove, rename or reorder webhooks"
LEAVES = "of a webhook, the operator may change timeoutSeconds, namespaceSelector and failurePolicy alone"
TIMEOUT = "the operator may shorten timeoutSeconds, and not set it above what it was before it shortened it"
POLICY = (
    "the operator may set failurePolicy Ignore where it remembers that it was Fail, and give that back; it makes no "
    "other webhook fail closed"
)
SELECTOR = (
    "of a namespaceSelector, the operator may add a requirement that leaves out Namespaces by name, and take its own "
    "away"
)
REMEMBERED = "of {}, the operator may remember what it was and nothing else"
ONE = "of a leaf, the operator remembers one value"
MANY = "of a configuration of more than 256 webhooks, the operator may not change a webhook"
LONG = "what the operator remembers has at most 32768 characters"
OPTED_OUT = "the configuration is opted out (resilience.dev/ignore)"
GROWN = "in managedFields, the entry of another manager may not grow, appear or change"
LOST = "in managedFields, the entry of another manager may lose published leaves alone"
ENDS = "the operator may neither create nor delete webhook configurations"


def noted(leaf: str, new: Any, was: Any) -> Object:
    """Our annotation that says of one leaf what was set, and what it was."""
    held = Held("webhook-reach", new, was, 0, ("p-1",), temporary=leaf == "failurePolicy")
    return {ANNOTATION: encode(ObjectState("w-1", {f"{NOTED}.{leaf}": held}, names={"p-1": "safe"}))}


def leaves_out(*names: str) -> Object:
    """A requirement that takes Namespaces out by their names."""
    return {"key": NAME, "operator": "NotIn", "values": list(names)}


OWNERS = [{"key": "team", "operator": "NotIn", "values": ["platform"]}, leaves_out("guard")]
OURS = leaves_out("kube-system", "kube-node-lease")
LABELS = {"guarded": "true"}


def selector(*requirements: Object) -> Object:
    """The owner's labels, and these requirements."""
    return {"matchLabels": LABELS, "matchExpressions": list(requirements)}


def configuration(kind: str, **fields: Any) -> Object:
    """What an owner wrote: closed on everything, with a selector, two webhooks and a timeout that is too long."""
    case = Case(
        "x", EVERYTHING, "", 0, fields={"namespaceSelector": selector(*OWNERS), "timeoutSeconds": 20} | fields
    )
    found = replace(case, mutating=kind.startswith("Mutating")).configuration()
    found["webhooks"][0]["clientConfig"]["caBundle"] = "bm8="
    second = copy.deepcopy(found["webhooks"][0]) | {"name": "second.example.dev", "failurePolicy": "Ignore"}
    found["webhooks"].append(second | {"rules": [rule("services", "CREATE", "core", "v1")]})
    meta = {"labels": {"team": "guard"}, "annotations": {"team": "guard", "empty": ""}}
    found["metadata"] |= meta
    return found


def op(verb: str, path: str, value: Any = None) -> Object:
    return {"op": verb, "path": path} | ({} if verb == "remove" else {"value": value})


def note(annotations: Object) -> Object:
    (value,) = annotations.values()
    return op("add", "/metadata/annotations/resilience.dev~1state", value)


def at(leaf: str, number: int = 0) -> str:
    return f"/webhooks/{number}/{leaf}"


DESTINATION = {"namespace": "thief", "name": "thief"}
FORBIDDEN: dict[str, tuple[list[Object], str]] = {
    # What it is called with, what it sees, what it is
    "url": ([op("replace", at("clientConfig"), {"url": "https://thief.example.dev/"})], LEAVES),
    "service": ([op("replace", at("clientConfig/service"), DESTINATION)], LEAVES),
    "port": ([op("add", at("clientConfig/service/port"), 8443)], LEAVES),
    "path": ([op("add", at("clientConfig/service/path"), "/thief")], LEAVES),
    "certificate": ([op("replace", at("clientConfig/caBundle"), "bWluZQ==")], LEAVES),
    "no-certificate": ([op("remove", at("clientConfig/caBundle"))], LEAVES),
    "no-rules": ([op("replace", at("rules"), [])], LEAVES),
    "other-rules": ([op("replace", at("rules"), [rule("secrets")])], LEAVES),
    "rules-more": ([op("add", at("rules/-"), rule("secrets"))], LEAVES),
    "rules-wider": ([op("replace", at("rules/0/resources", 1), ["*/*"])], LEAVES),
    "operations": ([op("replace", at("rules/0/operations"), ["CONNECT"])], LEAVES),
    "scope": ([op("replace", at("rules/0/scope"), "Cluster")], LEAVES),
    "exact": ([op("replace", at("matchPolicy"), "Exact")], LEAVES),
    "objects": ([op("replace", at("objectSelector"), {"matchLabels": {"no": "thing"}})], LEAVES),
    "conditions": ([op("add", at("matchConditions"), [{"name": "never", "expression": "false"}])], LEAVES),
    "side-effects": ([op("replace", at("sideEffects"), "NoneOnDryRun")], LEAVES),
    "versions": ([op("add", at("admissionReviewVersions/-"), "v1beta1")], LEAVES),
    "renamed": ([op("replace", at("name"), "mine.example.dev")], LIST),
    "one-less": ([op("remove", "/webhooks/1")], LIST),
    "none": ([op("replace", "/webhooks", [])], LIST),
    "one-more": (
        [op("copy", "/webhooks/-") | {"from": "/webhooks/0"}, op("replace", at("name", 2), "a.b.c")],
        LIST,
    ),
    "reordered": ([op("move", "/webhooks/0") | {"from": "/webhooks/1"}], LIST),
    "label": ([op("add", "/metadata/labels/new", "x")], META),
    "label-gone": ([op("remove", "/metadata/labels/team")], META),
    "finalizer": ([op("add", "/metadata/finalizers", ["x.dev/stay"])], META),
    "owner": (
        [
            op(
                "add",
                "/metadata/ownerReferences",
                [{"apiVersion": "v1", "kind": "Node", "name": "a", "uid": "u"}],
            )
        ],
        META,
    ),
    "opt-out-by-label": ([op("add", "/metadata/labels/resilience.dev~1ignore", "all")], META),
    "annotation": ([op("add", "/metadata/annotations/new", "")], NOTES),
    "annotation-changed": ([op("replace", "/metadata/annotations/team", "mine")], NOTES),
    "annotation-gone": ([op("remove", "/metadata/annotations/empty")], NOTES),
    "last-applied": (
        [op("add", "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration", "{}")],
        NOTES,
    ),
    "long-state": ([op("add", "/metadata/annotations/resilience.dev~1state", "x" * 32769)], LONG),
    # Its leaves, against their direction
    "longer": ([op("replace", at("timeoutSeconds"), 30)], TIMEOUT),
    "longer-with-a-record": (
        [op("replace", at("timeoutSeconds"), 30), note(noted("timeoutSeconds", 30, 20))],
        TIMEOUT,
    ),
    "longer-with-a-forged-record": (
        [op("replace", at("timeoutSeconds"), 30), note(noted("timeoutSeconds", 10, 30))],
        TIMEOUT,
    ),
    "default-timeout": ([op("replace", at("timeoutSeconds", 1), 21)], TIMEOUT),
    "closed": ([op("replace", at("failurePolicy", 1), "Fail")], POLICY),
    "closed-by-default": ([op("remove", at("failurePolicy", 1))], POLICY),
    "closed-with-a-record": (
        [
            op("replace", at("failurePolicy", 1), "Fail"),
            note(
                {
                    ANNOTATION: noted("failurePolicy", "Ignore", "Fail")[ANNOTATION].replace(
                        "guard.e", "second.e"
                    )
                }
            ),
        ],
        POLICY,
    ),
    "open-without-a-record": ([op("replace", at("failurePolicy"), "Ignore")], POLICY),
    "open-with-the-record-of-another": (
        [op("replace", at("failurePolicy"), "Ignore"), note(noted("timeoutSeconds", 10, 20))],
        POLICY,
    ),
    "selector-gone": ([op("remove", at("namespaceSelector"))], SELECTOR),
    "selector-of-everything": ([op("replace", at("namespaceSelector"), {})], SELECTOR),
    "selector-without-labels": (
        [op("replace", at("namespaceSelector"), {"matchExpressions": OWNERS})],
        SELECTOR,
    ),
    "selector-of-other-labels": (
        [op("replace", at("namespaceSelector/matchLabels/guarded"), "false")],
        SELECTOR,
    ),
    "selector-more-labels": ([op("add", at("namespaceSelector/matchLabels/no"), "thing")], SELECTOR),
    "requirement-gone": ([op("remove", at("namespaceSelector/matchExpressions/0"))], SELECTOR),
    "own-namespace-back-in": ([op("remove", at("namespaceSelector/matchExpressions/1"))], SELECTOR),
    "own-namespace-back-in-with-a-record": (
        [
            op("remove", at("namespaceSelector/matchExpressions/1")),
            note(noted("namespaceSelector", selector(*OWNERS), selector(OWNERS[0]))),
        ],
        SELECTOR,
    ),
    "requirement-changed": (
        [op("replace", at("namespaceSelector/matchExpressions/0/values"), ["other"])],
        SELECTOR,
    ),
    "only-one-namespace": (
        [
            op(
                "add",
                at("namespaceSelector/matchExpressions/-"),
                where(NAME, "In", "x")["matchExpressions"][0],
            )
        ],
        SELECTOR,
    ),
    "by-a-label-of-its-own": (
        [
            op(
                "add",
                at("namespaceSelector/matchExpressions/-"),
                {"key": "exempt", "operator": "DoesNotExist"},
            )
        ],
        SELECTOR,
    ),
    "very-many": (
        [op("add", at("namespaceSelector/matchExpressions/-"), leaves_out(*(f"n-{n}" for n in range(33))))],
        SELECTOR,
    ),
    # What it remembers
    "forged-timeout": ([note(noted("timeoutSeconds", 20, 30))], REMEMBERED.format("timeoutSeconds")),
    "timeout-of-no-number": ([note(noted("timeoutSeconds", 20, "30"))], REMEMBERED.format("timeoutSeconds")),
    "forged-policy": (
        [
            note(
                {
                    ANNOTATION: noted("failurePolicy", "Ignore", "Fail")[ANNOTATION].replace(
                        "guard.e", "second.e"
                    )
                }
            )
        ],
        REMEMBERED.format("failurePolicy"),
    ),
    "forged-selector": (
        [note(noted("namespaceSelector", selector(*OWNERS), selector(OWNERS[0])))],
        REMEMBERED.format("a namespaceSelector"),
    ),
    "forged-empty-selector": (
        [note(noted("namespaceSelector", selector(*OWNERS), {}))],
        REMEMBERED.format("a namespaceSelector"),
    ),
    "two-records": (
        [note({ANNOTATION: noted("timeoutSeconds", 10, 20)[ANNOTATION].replace("{", "", 1) * 2})],
        ONE,
    ),
    # Who owns what
    "owners-gone": ([op("replace", "/metadata/managedFields", [{}])], LOST),
    "owners-changed": ([op("replace", "/metadata/managedFields/0/manager", "argocd-controller")], GROWN),
}

GIVEN_BACK: dict[str, tuple[Object, Object, Object]] = {
    "timeout": ({"timeoutSeconds": 5}, noted("timeoutSeconds", 5, 20), {"timeoutSeconds": 20}),
    "policy": (
        {"failurePolicy": "Ignore"},
        noted("failurePolicy", "Ignore", "Fail"),
        {"failurePolicy": "Fail"},
    ),
    "selector": (
        {"namespaceSelector": selector(*OWNERS, OURS)},
        noted("namespaceSelector", selector(*OWNERS, OURS), selector(*OWNERS)),
        {"namespaceSelector": selector(*OWNERS)},
    ),
}
"""What stands there by our own record, and what may be given back."""

TOO_MUCH_BACK: dict[str, tuple[str, str, Any, str]] = {
    "more-than-it-was": ("timeout", "timeoutSeconds", 21, TIMEOUT),
    "of-another-leaf": ("timeout", "failurePolicy", "Ignore", POLICY),
    "the-owners-requirement": ("selector", "namespaceSelector", selector(OWNERS[0], OURS), SELECTOR),
    "theirs-and-ours": ("selector", "namespaceSelector", selector(), SELECTOR),
    "everything": ("selector", "namespaceSelector", {}, SELECTOR),
    "by-the-record-of-another": ("policy", "timeoutSeconds", 30, TIMEOUT),
}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Lab]:
    with guarding() as lab:
        namespace, _, name = RENAMED.partition("/")
        lab.kubectl("create", "namespace", namespace)
        lab.kubectl("create", "serviceaccount", name, "-n", namespace)
        account = RENAMED.replace("/", ":")
        lab.kubectl(
            *("create", "clusterrolebinding", "renamed", "--clusterrole=cluster-admin"),
            f"--serviceaccount={account}",
        )
        for kind in PLURALS:
            lab.kubectl("create", "-f", "-", input=json.dumps(named("guard", configuration(kind))))
        probe = [op("add", "/metadata/labels/probe", "x")]
        lab.wait(
            lambda: all(
                api(lab, kind).patch(probe, JSON_PATCH, name="guard").status_code == 422 for kind in PLURALS
            ),
            what="the guard",
        )
        yield lab


def named(name: str, body: Object) -> Object:
    # Selected by nothing: a configuration of a test blocks nobody.
    body["metadata"]["name"] = name
    for webhook in body["webhooks"]:
        webhook["objectSelector"] = {"matchLabels": {"nobody": "has-this"}}
    return body


def api(lab: Lab, kind: str, user: str = ACCOUNT) -> Api:
    """The operator's requests for configurations."""
    return Api(client(lab, service_account=user), "", VERSION, PLURALS[kind])


KINDS = pytest.mark.parametrize("kind", PLURALS)


@pytest.fixture(scope="module")
def users(guarded: Lab) -> dict[tuple[str, str], Api]:
    """(kind, account) -> its requests."""
    return {(kind, user): api(guarded, kind, user) for kind in PLURALS for user in (ACCOUNT, RENAMED)}


@KINDS
@pytest.mark.parametrize(("patch", "says"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_the_operator_cannot_and_somebody_else_can(
    guarded: Lab, users: dict[tuple[str, str], Api], kind: str, patch: list[Object], says: str
) -> None:
    """Under its own name, and under one with a prefix in another namespace."""
    answers = [
        denial(users[kind, user].patch(patch, JSON_PATCH, name="guard"), GUARD) for user in (ACCOUNT, RENAMED)
    ]
    assert answers == [says, says]
    admin = Api(client(guarded), "", VERSION, PLURALS[kind])
    assert "ValidatingAdmissionPolicy" not in admin.patch(patch, JSON_PATCH, name="guard").text


@KINDS
def test_it_creates_and_deletes_none(guarded: Lab, users: dict[tuple[str, str], Api], kind: str) -> None:
    new = named("new", configuration(kind))
    mine = users[kind, ACCOUNT]
    answers = {
        "create": mine.create(new),
        "apply": mine.patch(new, APPLY, name="new"),
        "delete": mine.delete("guard"),
        "delete-all": mine.delete(""),
    }
    assert {what: denial(answer, STAY) for what, answer in answers.items()} == dict.fromkeys(answers, ENDS)


@KINDS
@pytest.mark.parametrize("optout", ["all", "webhook-reach", "other, webhook-reach", "x" * 1025])
def test_what_is_opted_out_is_left_alone(
    guarded: Lab, users: dict[tuple[str, str], Api], kind: str, optout: str
) -> None:
    name = f"optout-{abs(hash((kind, optout)))}"
    body = named(name, configuration(kind))
    body["metadata"]["annotations"][IGNORE] = optout
    guarded.kubectl("create", "-f", "-", input=json.dumps(body))
    shorter = [op("replace", at("timeoutSeconds"), 5)]
    assert denial(users[kind, ACCOUNT].patch(shorter, JSON_PATCH, name=name), GUARD) == OPTED_OUT


@KINDS
@pytest.mark.parametrize("leaf", GIVEN_BACK)
def test_what_it_set_it_gives_back_and_no_more(
    guarded: Lab, users: dict[tuple[str, str], Api], kind: str, leaf: str
) -> None:
    """By the record that lies on the object; the record may go with it, and may not change."""
    fields, annotations, before = GIVEN_BACK[leaf]
    name = f"held-{leaf}"
    body = named(name, configuration(kind, **fields))
    body["metadata"]["annotations"] |= annotations
    guarded.kubectl("create", "-f", "-", input=json.dumps(body))
    mine = users[kind, ACCOUNT]
    ((field, value),) = before.items()
    back = [op("replace", at(field), value)]
    assert accepted(mine.patch(back, JSON_PATCH, name=name))
    assert accepted(
        mine.patch(
            [*back, op("remove", "/metadata/annotations/resilience.dev~1state")], JSON_PATCH, name=name
        )
    )
    for what, (held, other, more, says) in TOO_MUCH_BACK.items():
        if held == leaf:
            answer = mine.patch([op("replace", at(other), more)], JSON_PATCH, name=name)
            assert (what, denial(answer, GUARD)) == (what, says)


class Written:
    """A real configuration that the engine decides about, and the operator's account writes."""

    def __init__(self, mine: Api, name: str, kind: str, remediation: list[str]) -> None:
        case = replace(Case("x", EVERYTHING, "", 0), mutating=kind.startswith("Mutating"))
        self._mine, self._name, self._kind = mine, name, KIND_BY_NAME[kind]
        reach = {"maxTimeoutSeconds": 5}
        self.server = Server(case, remediation=remediation, conflicts="TakeOver", reach=reach)
        self.server.name = name

    def webhooks(self) -> list[Object]:
        """As they are."""
        found: list[Object] = self._mine.read(self._name)["webhooks"]
        return found

    def passes(self) -> list[str]:
        """Pass after pass until nothing is to be written; the reasons of what was."""
        written = []
        while (change := self._decided()) is not None:
            if change.verb is Verb.APPLY:
                ops = change.patch(self.server.now)
            else:
                ops = list(withdraw(self._mine.read(self._name), change.given_back, change.state).ops)
            self._send(ops)
            self._send(list(let_go(self._mine.read(self._name))))
            written.append(change.reason)
        return written

    def _decided(self) -> Change | None:
        body = self._mine.read(self._name)
        body["webhooks"][0]["objectSelector"] = {}  # The real one has a selector, so that it blocks nobody.
        self.server.store.put(self._kind, project_dict(self._kind, body))
        found = self.server.decision()
        return found.change if found is not None else None

    def _send(self, ops: list[Object]) -> None:
        params = {"fieldManager": "resilience-operator"}
        assert accepted(self._mine.patch(ops, JSON_PATCH, params=params, name=self._name))


@KINDS
@pytest.mark.parametrize("remediation", [[one] for one in STEPS] + [STEPS], ids=lambda one: "-".join(one))
def test_all_that_the_operator_writes_it_may(
    guarded: Lab, users: dict[tuple[str, str], Api], kind: str, remediation: list[str]
) -> None:
    """Its own patches, to and fro, as the engine makes them, each followed by the one that lets go."""
    name = f"written-{'-'.join(remediation).lower()}"
    body = configuration(kind, namespaceSelector={"matchExpressions": OWNERS})
    guarded.kubectl("apply", "-f", "-", input=json.dumps(named(name, body)))
    real = Written(users[kind, ACCOUNT], name, kind, remediation)
    before, server = real.webhooks(), real.server
    server.ready(0)
    written = real.passes()
    server.wait(120)
    written += real.passes()
    assert written
    assert real.webhooks() != before
    server.ready(1)
    server.obey(webhooks={}, onRelease="Revert")
    assert real.passes()
    assert real.webhooks() == before


@KINDS
def test_the_guard_can_afford_the_longest_configuration_that_is_judged(
    guarded: Lab, users: dict[tuple[str, str], Api], kind: str
) -> None:
    """What it may cost is bounded by the API server: beyond 256 webhooks, the guard does not begin."""
    for count, says in ((MAX_ENTRIES, ""), (MAX_ENTRIES + 1, MANY)):
        body = named(f"long-{count}", configuration(kind))
        first = body["webhooks"][0]
        body["webhooks"] += [first | {"name": f"w{number}.example.dev"} for number in range(count - 2)]
        guarded.kubectl("create", "-f", "-", input=json.dumps(body))
        ops = [op("replace", at("timeoutSeconds", number), 5) for number in range(0, count, 9)]
        held = {f"webhooks[name=w{number}.example.dev].timeoutSeconds": 20 for number in range(29)}
        leaves = {path: Held("webhook-reach", 5, was, 0, ("p-1",)) for path, was in held.items()}
        ops.append(note({ANNOTATION: encode(ObjectState("w-1", leaves, names={"p-1": "safe"}))}))
        answer = users[kind, ACCOUNT].patch(ops, JSON_PATCH, name=f"long-{count}")
        assert denial(answer, GUARD) == says if says else accepted(answer)


def test_an_operator_that_starts_beside_a_dead_mutating_webhook_frees_it(
    guarded: Lab, tmp_path: Path
) -> None:
    """It never leads, and can prove of the guard what no webhook is asked about: enough for the one write."""
    body = configuration("MutatingWebhookConfiguration", namespaceSelector={}, timeoutSeconds=1)
    body["metadata"]["name"] = "dead"
    del body["webhooks"][1]
    policy = {
        "apiVersion": "resilience.dev/v1alpha1",
        "kind": "ResiliencePolicy",
        "metadata": {"name": "safe"},
    }
    reach = {"remediation": ["FailOpenWhileDown"], "downAfterSeconds": 10}
    spec = {"mode": "Enforce", "webhooks": {"reach": reach}}
    guarded.kubectl("create", "-f", "-", input=json.dumps(policy | {"spec": spec}))
    guarded.kubectl("create", "namespace", OWN)
    empty = {"metadata": {"name": "guard-1", "labels": {"kubernetes.io/service-name": "guard"}}}
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{OWN}/endpointslices"
    guarded.api.create(slices, empty | {"addressType": "IPv4", "endpoints": []})
    kubeconfig = guarded.kubeconfig(
        service_account=ACCOUNT
    )  # Its token is a write that would be refused as well.
    guarded.kubectl("create", "-f", "-", input=json.dumps(body))
    operator = OperatorProcess(
        kubeconfig,
        tmp_path / "operator.log",
        "--lease-duration=3",
        guarded=True,
    )
    path = f"/apis/{VERSION}/mutatingwebhookconfigurations/dead"
    try:
        operator.start(wait=False)
        guarded.wait(
            lambda: guarded.api.get(path)["webhooks"][0]["failurePolicy"] == "Ignore",
            90,
            "it to be failed open",
        )
        guarded.wait(
            lambda: operator.metric("resilience_guarded").get("") == 1, 60, "all of the guard to be proved"
        )
    finally:
        guarded.api.delete(path)
        operator.stop()
