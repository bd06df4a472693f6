"""Pass after pass over budgets that somebody edits, deletes, or makes as well: what is written comes to an end."""

import copy
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jsonpatch
import pytest

from resilience_operator.cluster.store import Store
from resilience_operator.core.kinds import BUDGET, DEPLOYMENT, POD
from resilience_operator.engine.change import Change, Verb
from resilience_operator.engine.decide import Surroundings
from resilience_operator.targets import judge, new_store, parse, project
from tests.support.views import NOW

Raw = dict[str, Any]
ENOUGH = 6


class Cluster:
    """Deployments and budgets of namespace shop; `written`: what operators did, as `verb name`."""

    def __init__(self, **selectors: dict[str, str]) -> None:
        self.deployments = {name: _deployment(name, labels, labels) for name, labels in selectors.items()}
        self.budgets: dict[str, Raw] = {}
        self.pods: list[Raw] = []
        self.written: list[str] = []
        self.version = 1

    def budget(self, name: str, selector: dict[str, str]) -> None:
        """Somebody makes one."""
        body = {
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector}},
        }
        self._store(body, "kubectl")

    def run(self, kind: str, name: str, labels: dict[str, str]) -> None:
        """A pod of a controller that is no Deployment's; it has done its work, and is still there."""
        owner = {"apiVersion": "v1", "kind": kind, "name": name, "uid": name, "controller": True}
        meta = {"name": f"{name}-x", "namespace": "shop", "uid": f"{name}-x", "labels": labels}
        self.pods.append({"metadata": {**meta, "ownerReferences": [owner]}, "status": {"phase": "Succeeded"}})

    def edit(self, name: str, **spec: Any) -> None:
        """Somebody replaces fields of a budget's spec; None removes one."""
        body = copy.deepcopy(self.budgets[name])
        body["spec"] |= spec
        body["spec"] = {key: value for key, value in body["spec"].items() if value is not None}
        self._store(body, "kubectl-edit")

    def one_pass(self, *policies: Raw) -> dict[str, list[str]]:
        """One pass of an operator that sees these policies; Deployment -> `reason state: message`."""
        store, parsed = self._observed(), [parse(raw)[0] for raw in policies]
        around = Surroundings({policy.uid: policy for policy in parsed})
        found: dict[str, list[str]] = {}
        changes: list[Change] = []
        for name in self.deployments:
            view = store.look(("shop", name), NOW)
            decision = judge(view, parsed, around) if view is not None else None
            if decision is not None:
                found[name] = [f"{one.finding.reason} {one.state}: {one.message}" for one in decision.judged]
                changes += decision.companions
        for change in changes:
            self._carry_out(change)
        return found

    def settle(self, *operators: tuple[Raw, ...]) -> dict[str, list[str]]:
        """Passes of one operator after the other, until none writes; fails where that has no end."""
        for _ in range(ENOUGH):
            before = len(self.written)
            found = [self.one_pass(*policies) for policies in operators]
            if len(self.written) == before:
                return found[0]
        raise AssertionError(f"it has no end: {self.written}")

    def _observed(self) -> Store:
        store = new_store()
        for body in self.deployments.values():
            store.put(DEPLOYMENT, project(DEPLOYMENT, json.dumps(body).encode()))
        for body in self.pods:
            store.put(POD, project(POD, json.dumps(body).encode()))
        for body in self.budgets.values():
            store.put(BUDGET, project(BUDGET, json.dumps(body).encode()))
        return store

    def _carry_out(self, change: Change) -> None:
        name = change.object.name
        if change.verb is Verb.CREATE:
            assert name not in self.budgets, "409: its name is taken"
            self._store(dict(change.whole), "resilience-operator")
        elif change.verb is Verb.DELETE:
            self.budgets.pop(name, None)
        elif name in self.budgets:
            body = jsonpatch.apply_patch(self.budgets[name], change.operations())
            self._store(body, "resilience-operator")
        self.written.append(f"{change.verb} {name}")

    def _store(self, body: Raw, manager: str) -> None:
        """As the API server does: a version, a uid, and who set what."""
        self.version += 1
        body, name = copy.deepcopy(body), body["metadata"]["name"]
        old, meta = self.budgets.get(name), body["metadata"]
        born = f"{NOW + timedelta(seconds=self.version):%Y-%m-%dT%H:%M:%SZ}"
        meta |= {"resourceVersion": str(self.version)}
        meta.setdefault("uid", f"b-{self.version}")
        meta.setdefault("creationTimestamp", born)
        owners = {
            field: entry["manager"]
            for entry in (old or {}).get("metadata", {}).get("managedFields", [])
            for field in entry["fieldsV1"]["f:spec"]
        }
        was = old["spec"] if old is not None else {}
        owners |= {f"f:{key}": manager for key, value in body["spec"].items() if was.get(key) != value}
        meta["managedFields"] = [
            {"manager": who, "operation": "Update", "fieldsV1": {"f:spec": {field: {}}}}
            for field, who in owners.items()
            if field.removeprefix("f:") in body["spec"]
        ]
        self.budgets[name] = body


def _deployment(name: str, selector: dict[str, str], labels: dict[str, str]) -> Raw:
    ready = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 3)
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"d-{name}",
            "resourceVersion": "1",
            "generation": 1,
        },
        "spec": {"replicas": 3, "selector": {"matchLabels": selector}, "template": template},
        "status": {"observedGeneration": 1, **ready},
    }


def policy(name: str = "p", most: int | str = 1, **spec: Any) -> Raw:
    body = {"mode": "Enforce", "deployments": {"disruptionBudget": {"maxUnavailable": most}}, **spec}
    return {"metadata": {"name": name, "uid": f"{name}-1", "generation": 1}, "spec": body}


WEB, API = {"app": "web"}, {"app": "api"}
NONE = "no PodDisruptionBudget selects the pods of its 3 replicas"


def test_two_deployments_with_one_selector_get_no_budget_and_are_reported() -> None:
    cluster = Cluster(blue=WEB, green=WEB)
    found = cluster.settle((policy(),))
    beside = "its selector selects the pods of {} as well: with a budget each, every eviction fails"
    assert found == {
        "blue": [f"NoBudget ReportOnly: {NONE}; {beside.format('green')}"],
        "green": [f"NoBudget ReportOnly: {NONE}; {beside.format('blue')}"],
    }
    assert cluster.written == []


UNCOUNTED = "its selector selects pods of {} as well, which no budget can count: it lets none go"
TWICE = "its selector selects the pods of {} as well: with a budget each, every eviction fails"


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("Job", UNCOUNTED.format("a Job")),
        ("DaemonSet", UNCOUNTED.format("DaemonSet other")),
        ("StatefulSet", TWICE.format("StatefulSet other")),
    ],
)
def test_where_pods_of_another_controller_are_selected_no_budget_is_made_and_ours_goes(
    kind: str, why: str
) -> None:
    before = Cluster(web=WEB)
    before.run(kind, "other", WEB | {"job-name": "other"})
    assert before.settle((policy(),)) == {"web": [f"NoBudget ReportOnly: {NONE}; {why}"]}
    assert before.written == []
    after = Cluster(web=WEB)
    after.settle((policy(),))
    after.run(kind, "other", WEB)
    assert after.settle((policy(),)) == {"web": [f"NoBudget ReportOnly: {NONE}; {why}"]}
    assert after.written == ["Create web-resilience", "Delete web-resilience"]


@pytest.mark.parametrize("kind", ["ReplicaSet", "ReplicationController"])
def test_pods_whose_controller_has_a_scale_and_pods_of_others_are_in_no_budgets_way(kind: str) -> None:
    cluster = Cluster(web=WEB)
    cluster.run(kind, "other", WEB)
    cluster.run("Job", "api", API)
    assert cluster.settle((policy(),)) == {"web": []}
    assert cluster.written == ["Create web-resilience"]


def test_a_budget_that_cannot_be_computed_is_found_whoever_made_it() -> None:
    blocks = "selects pods of a Job as well, which no budget can count: it lets none go, and every drain of their nodes"
    cluster = Cluster(web=WEB)
    cluster.settle((policy(),))
    cluster.run("Job", "migrate", WEB)
    audit = policy(mode="Audit")
    assert cluster.settle((audit,)) == {
        "web": [
            f"BudgetAllowsNone Drifted: PodDisruptionBudget web-resilience (maxUnavailable 1) {blocks} blocks"
        ]
    }
    theirs = Cluster(web=WEB)
    theirs.budget("theirs", WEB)
    theirs.run("Job", "migrate", WEB)
    others = "a budget of others is never changed"
    assert theirs.settle((policy(),)) == {
        "web": [
            f"BudgetAllowsNone ReportOnly: PodDisruptionBudget theirs (maxUnavailable 1) {blocks} blocks; {others}"
        ]
    }
    for whole in (2, 3):  # A number needs no scale, and how many pods it is met by nobody says.
        theirs.edit("theirs", maxUnavailable=None, minAvailable=whole)
        assert theirs.settle((policy(),)) == {"web": []}
    assert theirs.written == []


def test_of_two_that_are_there_the_older_stays() -> None:
    cluster = Cluster(blue=WEB, green=API)
    cluster.settle((policy(),))
    cluster.deployments["green"]["spec"] |= {
        "selector": {"matchLabels": WEB},
        "template": cluster.deployments["blue"]["spec"]["template"],
    }
    cluster.edit("green-resilience", selector={"matchLabels": WEB})
    cluster.written.clear()
    assert cluster.settle((policy(),)) == {"blue": [], "green": []}
    assert (list(cluster.budgets), cluster.written) == (["blue-resilience"], ["Delete green-resilience"])


def test_a_wide_budget_of_ours_gives_way_to_an_older_narrow_one_and_is_not_made_again() -> None:
    cluster = Cluster(narrow={"app": "web", "track": "canary"}, wide=API)
    cluster.settle((policy(),))
    cluster.deployments["wide"] = _deployment("wide", WEB, {"app": "web", "track": "main"})
    found = cluster.settle((policy(),))
    assert list(cluster.budgets) == ["narrow-resilience"]
    assert [one.split(":")[0] for one in found["wide"]] == ["NoBudget ReportOnly"]


def test_two_operators_do_not_rewrite_one_budget() -> None:
    cluster = Cluster(web=WEB)
    cluster.settle((policy("p"),), (policy("q", 2),))
    assert cluster.written == ["Create web-resilience"]
    (finding,) = cluster.one_pass(policy("q", 2))["web"]
    assert finding == (
        "BudgetDiffers Contested: PodDisruptionBudget web-resilience, which the operator made, has maxUnavailable 1,"
        " not 2; PodDisruptionBudget web-resilience was made for policy p-1, which this operator does not see: it is"
        " left alone; kubectl resilience revert p-1 removes it"
    )


def test_equals_that_disagree_write_nothing_and_are_contested() -> None:
    cluster = Cluster(web=WEB)
    found = cluster.settle((policy("p"), policy("q", 2)))
    assert [one.split(":")[0] for one in found["web"]] == ["NoBudget Contested"] * 2
    assert cluster.written == []


EDITS: list[tuple[Raw, str]] = [
    ({"maxUnavailable": None, "minAvailable": 3}, "minAvailable 3, not maxUnavailable 1"),
    ({"maxUnavailable": 3}, "maxUnavailable 3, not 1"),
    ({"selector": {}}, "another selector than its Deployment"),
    ({"selector": {"matchLabels": {"app": "nobody"}}}, "another selector than its Deployment"),
]


@pytest.mark.parametrize(("edit", "what"), EDITS)
def test_an_edit_stays_where_conflicts_are_reported(edit: Raw, what: str) -> None:
    cluster = Cluster(web=WEB)
    cluster.settle((policy(),))
    cluster.edit("web-resilience", **edit)
    found = cluster.settle((policy(),))
    assert cluster.written == ["Create web-resilience"]
    end = f"{what} (set by kubectl-edit (Update)); left alone, for conflicts is Report"
    assert any(one.startswith("BudgetDiffers Contested") and one.endswith(end) for one in found["web"])


@pytest.mark.parametrize(("edit", "what"), EDITS)
def test_an_edit_is_put_back_where_it_is_taken_over(edit: Raw, what: str) -> None:
    cluster = Cluster(web=WEB)
    cluster.settle((policy(),))
    spec = cluster.budgets["web-resilience"]["spec"]
    cluster.edit("web-resilience", **edit)
    assert cluster.settle((policy(conflicts="TakeOver"),)) == {"web": []}
    assert cluster.budgets["web-resilience"]["spec"] == spec
    assert cluster.written == ["Create web-resilience", "Update web-resilience"]


def test_an_edited_selector_does_not_cost_another_deployment_its_budget() -> None:
    cluster = Cluster(web=WEB, api=API)
    cluster.settle((policy(),))
    cluster.edit("web-resilience", selector={})
    cluster.written.clear()
    assert cluster.settle((policy(),)) == {"web": [], "api": []}
    assert cluster.written == ["Delete web-resilience", "Create web-resilience"], "it stopped api's evictions"
    assert set(cluster.budgets) == {"web-resilience", "api-resilience"}


def test_a_budget_of_others_that_bears_the_name_of_ours_is_named_and_left() -> None:
    cluster = Cluster(web=WEB)
    cluster.budget("web-resilience", {"app": "nobody"})
    taken = "PodDisruptionBudget web-resilience, which selects none of them, is somebody else's, and bears the name of"
    taken += " ours"
    assert cluster.settle((policy(),)) == {"web": [f"NoBudget ReportOnly: {NONE}; {taken}"]}
    assert cluster.written == []


def _as_audit(raw: Raw) -> Raw:
    return policy(mode="Audit")


def _suspended(raw: Raw) -> Raw:
    return policy(suspend=True)


@pytest.mark.parametrize("resting", [_as_audit, _suspended])
def test_an_overlap_that_may_not_be_ended_says_what_to_delete(resting: Callable[[Raw], Raw]) -> None:
    cluster = Cluster(web=WEB)
    cluster.settle((policy(),))
    cluster.budget("theirs", WEB)
    (finding,) = cluster.settle((resting(policy()),))["web"]
    assert finding == (
        "OverlappingBudgets Drifted: PodDisruptionBudgets theirs and web-resilience select the same pods: every"
        " eviction fails, and so every drain; to end it, delete web-resilience, which the operator made"
    )
    assert cluster.written == ["Create web-resilience"]
    assert cluster.settle((policy(),)) == {"web": []}
    assert list(cluster.budgets) == ["theirs"]


@pytest.mark.parametrize("suspend", [False, True])
def test_a_policy_that_is_deleted_takes_its_budget_along_also_while_suspended(suspend: bool) -> None:
    cluster = Cluster(web=WEB)
    cluster.settle((policy(),))
    leaving = policy(suspend=suspend)
    leaving["metadata"] |= {
        "deletionTimestamp": "2026-11-22T08:00:00Z",
        "finalizers": ["resilience.dev/release"],
    }
    cluster.settle((leaving,))
    assert cluster.budgets == {}


@pytest.mark.parametrize(("replicas", "left"), [(0, ["web-resilience"]), (1, []), (2, ["web-resilience"])])
def test_a_budget_goes_with_the_last_but_one_replica_and_stays_where_none_is(
    replicas: int, left: list[str]
) -> None:
    cluster = Cluster(web=WEB)
    cluster.settle((policy(),))
    cluster.deployments["web"]["spec"]["replicas"] = replicas
    cluster.deployments["web"]["status"]["readyReplicas"] = replicas
    assert cluster.settle((policy(),)) == {"web": []}
    assert list(cluster.budgets) == left


def test_the_budget_of_a_deployment_that_is_being_deleted_is_left_to_the_garbage_collector() -> None:
    cluster = Cluster(web=WEB)
    cluster.settle((policy(),))
    cluster.deployments["web"]["metadata"]["deletionTimestamp"] = "2026-11-22T08:00:00Z"
    cluster.settle((policy(),))
    assert cluster.written == ["Create web-resilience"]
