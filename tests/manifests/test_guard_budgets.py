"""The API server's guard over PodDisruptionBudgets: the operator makes, keeps and removes its own, as its code makes
them, and touches none of others.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from resilience_operator.api.session import Session
from resilience_operator.api.write import Writer
from resilience_operator.cluster.objects.workloads import Deployment, PodDisruptionBudget
from resilience_operator.core.findings import BudgetDemand
from resilience_operator.core.kinds import BUDGET, DEPLOYMENT
from resilience_operator.engine.change import Change
from resilience_operator.run.apply import Done, carry_out
from resilience_operator.targets import parse, project_dict
from resilience_operator.targets.workloads.own_budgets import BudgetAsked, companions_of
from resilience_operator.targets.workloads.view import DeploymentView
from tests.lab import Lab
from tests.support.guarding import (
    ACCOUNT,
    IGNORE,
    MERGE,
    NOT_ITS_OWN,
    Api,
    Object,
    accepted,
    client,
    denial,
    guarding,
)

pytestmark = pytest.mark.lab

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
GUARD = "resilience-operator-budgets"
MANAGED_BY, POLICY = "app.kubernetes.io/managed-by", "resilience.dev/policy"
LABELS = {MANAGED_BY: "resilience-operator", POLICY: "p-1"}

ITS_OWN = "the operator may change and delete budgets of its own alone"
LABELLED = f"a budget of the operator bears the labels {MANAGED_BY} and {POLICY}"
OWNED = "the only owner of a budget of the operator is a Deployment, which it does not hold back"
META = f"of metadata, the operator may change the label {POLICY} alone"
FIELDS = "the operator may set maxUnavailable, selector and unhealthyPodEvictionPolicy alone"
LIMIT = "maxUnavailable of a budget of the operator is 1 or more, or 1% to 100%"
EVICTS = "unhealthyPodEvictionPolicy of a budget of the operator is AlwaysAllow"
SELECTS = "a budget of the operator selects the pods of one Deployment"

NAMED = "a budget of the operator is named after its Deployment, so that there is one of each"

OWNER = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d-1"}
Refused = dict[str, tuple[Object, str]]
SAME: Refused = {  # refused alike when a budget is made and when it is changed
    "without-managed-by": ({"metadata": {"labels": {MANAGED_BY: None}}}, LABELLED),
    "managed-by-others": ({"metadata": {"labels": {MANAGED_BY: "Helm"}}}, LABELLED),
    "without-policy": ({"metadata": {"labels": {POLICY: None}}}, LABELLED),
    "empty-policy": ({"metadata": {"labels": {POLICY: ""}}}, LABELLED),
    "without-owner": ({"metadata": {"ownerReferences": None}}, OWNED),
    "two-owners": ({"metadata": {"ownerReferences": [OWNER, OWNER | {"uid": "d-2"}]}}, OWNED),
    "owner-of-another-kind": ({"metadata": {"ownerReferences": [OWNER | {"kind": "ReplicaSet"}]}}, OWNED),
    "owner-of-another-group": (
        {"metadata": {"ownerReferences": [OWNER | {"apiVersion": "x.dev/v1"}]}},
        OWNED,
    ),
    "controller": ({"metadata": {"ownerReferences": [OWNER | {"controller": True}]}}, OWNED),
    "held-owner": ({"metadata": {"ownerReferences": [OWNER | {"blockOwnerDeletion": True}]}}, OWNED),
    "min-available": ({"spec": {"maxUnavailable": None, "minAvailable": 1}}, FIELDS),
    "without-limit": ({"spec": {"maxUnavailable": None}}, LIMIT),
    "none": ({"spec": {"maxUnavailable": 0}}, LIMIT),
    "none-of-all": ({"spec": {"maxUnavailable": "0%"}}, LIMIT),
    "none-of-all-in-other-words": ({"spec": {"maxUnavailable": "00%"}}, LIMIT),
    "if-healthy": ({"spec": {"unhealthyPodEvictionPolicy": "IfHealthyBudget"}}, EVICTS),
    "default-eviction": ({"spec": {"unhealthyPodEvictionPolicy": None}}, EVICTS),
    "every-pod": ({"spec": {"selector": {"matchLabels": None}}}, SELECTS),
    "no-selector": ({"spec": {"selector": None}}, SELECTS),
}
NEW: Refused = SAME | {
    "finalizer": ({"metadata": {"finalizers": ["x.dev/stay"]}}, "a budget of the operator has no finalizer"),
    "a-second-one": ({"metadata": {"name": "web-resilience-2"}}, NAMED),
    "of-another-name": ({"metadata": {"name": "api-resilience"}}, NAMED),
    "all-but-one": (
        {
            "spec": {
                "selector": {
                    "matchLabels": None,
                    "matchExpressions": [{"key": "x", "operator": "DoesNotExist"}],
                }
            }
        },
        SELECTS,
    ),
}
CHANGED: Refused = SAME | {
    "finalizer": ({"metadata": {"finalizers": ["x.dev/stay"]}}, META),
    "label": ({"metadata": {"labels": {"new": "label"}}}, META),
    "label-of-others": ({"metadata": {"labels": {"team": None}}}, META),
    "opt-out": ({"metadata": {"labels": {IGNORE: "all"}}}, META),
    "annotation": ({"metadata": {"annotations": {"new": "annotation"}}}, META),
    "owner": ({"metadata": {"ownerReferences": [OWNER | {"uid": "d-2"}]}}, META),
    "owner-by-another-name": ({"metadata": {"ownerReferences": [OWNER | {"name": "api"}]}}, META),
}
THEIRS: dict[str, Object] = {
    "no-label": {"labels": {"team": "shop"}, "ownerReferences": [OWNER]},
    "one-label": {"labels": {MANAGED_BY: "resilience-operator"}, "ownerReferences": [OWNER]},
    "another-manager": {"labels": LABELS | {MANAGED_BY: "Helm"}, "ownerReferences": [OWNER]},
    "empty-label": {"labels": LABELS | {POLICY: ""}, "ownerReferences": [OWNER]},
    "no-owner": {"labels": LABELS},
}


class Place(NamedTuple):
    """A lab and a namespace with Deployment web, whose pods budgets select."""

    lab: Lab
    namespace: str
    uid: str

    def api(self, **user: str) -> Api:
        """A user's requests for budgets."""
        return Api(client(self.lab, **user), self.namespace, "policy/v1", "poddisruptionbudgets")

    @property
    def operator(self) -> Api:
        """The operator's."""
        return self.api(service_account=ACCOUNT)

    def real(self, body: Object) -> Object:
        """With the uid of the Deployment: the garbage collector removes what has an owner that is not there."""
        found: Object = json.loads(json.dumps(body).replace('"d-1"', f'"{self.uid}"'))
        return found

    def made(self, name: str, metadata: Object, **spec: Any) -> None:
        """A budget, made by a person."""
        selects = {"selector": {"matchLabels": {"app": name}}, "maxUnavailable": 1}
        body = {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": name, **metadata},
            "spec": selects | spec,
        }
        self.lab.kubectl("apply", "-n", self.namespace, "-f", "-", input=json.dumps(self.real(body)))

    def decided(self, maximum: int | str, *, writes: bool = True) -> Change:
        """What the operator decides about a budget of its own beside the Deployment, as both are now."""
        web = project_dict(DEPLOYMENT, self.api().of("apps/v1", "deployments").read())
        assert isinstance(web, Deployment)
        found = [project_dict(BUDGET, body) for body in self.api().read("")["items"]]
        beside = tuple(
            one
            for one in found
            if isinstance(one, PodDisruptionBudget) and one.metadata.name == "web-resilience"
        )
        policy, _ = parse({"metadata": {"name": "p", "uid": "p-1"}, "spec": {"mode": "Enforce"}})
        demand = BudgetDemand("disruption-budget", maximum)
        asked = (BudgetAsked(policy, demand.rule, demand, writes),)
        view = DeploymentView(web, NOW, budgets=beside)
        (change,) = companions_of(view, asked if writes else (), {policy.uid: policy}).changes
        return change


def deployed(lab: Lab) -> Place:
    """The Deployment in a new Namespace."""
    namespace = lab.namespace()
    lab.kubectl("create", "deployment", "web", "--image=web", "--replicas=3", "-n", namespace)
    uid = lab.kubectl("get", "deployment", "web", "-n", namespace, "-o", "jsonpath={.metadata.uid}")
    return Place(lab, namespace, uid)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with guarding() as lab:
        place = deployed(lab)
        mine = {"labels": LABELS | {"team": "shop"}, "ownerReferences": [OWNER]}
        place.made("ours", mine, unhealthyPodEvictionPolicy="AlwaysAllow")
        for name, metadata in THEIRS.items():
            place.made(name, metadata)
        yield place


def merged(body: Object, patch: Object) -> Object:
    """A body after a merge patch (RFC 7386)."""
    found = dict(body)
    for key, value in patch.items():
        found[key] = merged(found.get(key) or {}, value) if isinstance(value, dict) else value
    return {key: value for key, value in found.items() if value is not None}


@pytest.mark.parametrize("what", NEW)
def test_the_operator_cannot_make(place: Place, what: str) -> None:
    patch, says = NEW[what]
    body = merged(dict(place.decided(1).whole), place.real(patch))
    assert denial(place.operator.create(body), GUARD) == says
    assert "ValidatingAdmissionPolicy" not in place.api().create(body).text


@pytest.mark.parametrize("what", CHANGED)
def test_of_its_own_the_operator_cannot_change(place: Place, what: str) -> None:
    patch, says = place.real(CHANGED[what][0]), CHANGED[what][1]
    assert denial(place.operator.patch(patch, MERGE, name="ours"), GUARD) == says
    assert "ValidatingAdmissionPolicy" not in place.api().patch(patch, MERGE, name="ours").text


@pytest.mark.parametrize(
    "patch",
    [
        {"spec": {"maxUnavailable": 2}},
        {"spec": {"maxUnavailable": "50%"}},
        {"spec": {"maxUnavailable": "100%"}},
        {"metadata": {"labels": {POLICY: "p-2"}}},
        {"spec": {"selector": {"matchLabels": {"app": "web", "tier": "front"}}}},
    ],
)
def test_of_its_own_the_operator_can_change(place: Place, patch: Object) -> None:
    assert accepted(place.operator.patch(patch, MERGE, name="ours"))


@pytest.mark.parametrize("name", THEIRS)
def test_the_operator_can_neither_touch_nor_adopt_a_budget_of_others(place: Place, name: str) -> None:
    adopted = {"labels": LABELS, "ownerReferences": [OWNER], "annotations": {"resilience.dev/state": "{}"}}
    evicts = {"unhealthyPodEvictionPolicy": "AlwaysAllow"}
    answers = [
        place.operator.patch(place.real({"metadata": adopted, "spec": evicts}), MERGE, name=name),
        place.operator.patch({"spec": {"maxUnavailable": 2}}, MERGE, name=name),
        place.operator.patch({"metadata": {"annotations": {"resilience.dev/state": "{}"}}}, MERGE, name=name),
        place.operator.delete(name),
        place.operator.delete(""),
    ]
    assert {denial(answer, GUARD) for answer in answers} == {ITS_OWN}
    assert accepted(place.api().delete(name))


def test_the_operator_cannot_say_how_many_pods_may_go(place: Place) -> None:
    answer = place.operator.subresource("status", {"status": {"disruptionsAllowed": 9}}, name="ours")
    assert denial(answer, "resilience-operator-only-updates") == NOT_ITS_OWN


@pytest.mark.parametrize("rule", ["disruption-budget", "coredns-budget", "all"])
@pytest.mark.parametrize("where", ["label", "annotate"])
def test_where_the_namespace_is_opted_out_the_operator_can_only_delete(
    place: Place, rule: str, where: str
) -> None:
    says = "the Namespace is opted out of disruption-budget (or coredns-budget)"
    body, wider = dict(place.decided(1).whole), {"spec": {"maxUnavailable": 2}}
    opt_out = (where, "namespace", place.namespace)
    place.lab.kubectl(*opt_out, f"{IGNORE}={rule}")
    place.lab.wait(
        lambda: denial(place.operator.create(body), GUARD) == says, what="the guard to see the opt-out"
    )
    assert denial(place.operator.patch(wider, MERGE, name="ours"), GUARD) == says
    assert accepted(place.operator.delete("ours"))
    place.lab.kubectl(*opt_out, f"{IGNORE}-")
    place.lab.wait(lambda: place.operator.create(body).ok, what="the guard to see that it ended")
    assert accepted(place.operator.patch(wider, MERGE, name="ours"))


async def test_what_the_operator_decides_passes_from_the_first_write_to_the_last(place: Place) -> None:
    own = deployed(place.lab)
    config = str(place.lab.kubeconfig(service_account=ACCOUNT))
    session = await Session.connect(config, None, qps=50, burst=50, user_agent="guard-test")

    async def done(maximum: int | str, *, writes: bool = True) -> bool:
        """Decided and carried out, anew while the budget's status moves on meanwhile."""
        writer = Writer(session, lambda: None, lambda kind, raw: None)
        for _ in range(50):
            report = await carry_out(writer, own.decided(maximum, writes=writes), NOW)
            if report.done is not Done.AGAIN:
                break
        assert report.done is Done.DONE, report.message
        return True

    async with session:
        assert await done(1)
        made = own.api().read("web-resilience")
        assert made["metadata"]["labels"] == LABELS
        assert made["metadata"]["ownerReferences"] == [OWNER | {"uid": own.uid}]
        assert made["spec"] == {
            "maxUnavailable": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        }
        assert await done("50%")
        assert own.api().read("web-resilience")["spec"] == made["spec"] | {"maxUnavailable": "50%"}
        assert await done(1, writes=False)
        assert own.api().read("")["items"] == []
