"""What a policy's status and Events say in every situation that people meet: whole passes, black box."""

import dataclasses
from typing import Any

import pytest

from resilience_operator.api.status import FINALIZER
from resilience_operator.core.kinds import NAMESPACE
from resilience_operator.targets import project_dict
from tests.sim.world import workload
from tests.support.passes import DNS, Stage, refused

LIMITS = {"maxConcurrent": 5, "maxConcurrentPerNamespace": 5}
RIGHT = (
    'deployments.apps "web" is forbidden: User "op" cannot patch resource "deployments" in API group "apps"'
)


def told_of(stage: Stage, policy: str = "p") -> list[tuple[str, str]]:
    """(type, reason) of the Events on the policy."""
    return [(one.type, one.reason) for one in stage.desk.notices if one.regarding.name == policy]


def on_objects(stage: Stage) -> list[tuple[str, str, str]]:
    """(type, reason, note) of the Events on Deployments."""
    return [
        (one.type, one.reason, one.note) for one in stage.desk.notices if one.regarding.kind == "Deployment"
    ]


@pytest.mark.parametrize(
    ("spec", "ready", "compliant", "mode"),
    [
        ({}, ("True", "Accepted", "enforces on 2 objects"), "False", "Enforce"),
        ({"mode": "Audit"}, ("True", "Accepted", "audits 2 objects, writes nothing"), "False", "Audit"),
        (
            {"suspend": True},
            ("True", "Suspended", "suspended (spec.suspend: true): observes 2 objects, writes nothing"),
            "False",
            "Enforce (suspended)",
        ),
        (
            {"deployments": {**DNS, "namespaces": {"include": ["shopp"]}}},
            (
                "True",
                "NothingSelected",
                "nothing is selected: namespaces of spec.deployments covers none of 2 Namespaces",
            ),
            "Unknown",
            "Enforce",
        ),
        (
            {"deployments": {**DNS, "namespaceSelector": {"matchLabels": {"tier": "back"}}}},
            (
                "True",
                "NothingSelected",
                "nothing is selected: namespaceSelector of spec.deployments matches none of 2 Namespaces in scope",
            ),
            "Unknown",
            "Enforce",
        ),
        (
            {"deployments": {**DNS, "selector": {"matchLabels": {"app": "nosuch"}}}},
            (
                "True",
                "NothingSelected",
                "nothing is selected: selector of spec.deployments matches no object in 2 Namespaces in scope",
            ),
            "Unknown",
            "Enforce",
        ),
        (
            {"deployments": {}, "coreDNS": {"floor": {"minReplicas": 3}}},
            (
                "True",
                "NothingSelected",
                "nothing is selected: there is nothing of what spec.coreDNS is about",
            ),
            "Unknown",
            "Enforce",
        ),
        (
            {"deployments": {}},
            ("True", "NothingSelected", "asks for nothing: deployments without a rule, such as spread: {}"),
            "Unknown",
            "Enforce",
        ),
    ],
)
async def test_ready_says_what_the_policy_does(
    spec: dict[str, Any], ready: tuple[str, str, str], compliant: str, mode: str
) -> None:
    stage = Stage("shop/web", "shop/api")
    stage.policy(**spec)
    stage.start()
    for name in ("shop", "pay"):
        body = {"metadata": {"name": name, "labels": {"tier": "front"}}}
        stage.services.store.put(NAMESPACE, project_dict(NAMESPACE, body))
    await stage.turn()
    assert (stage.condition("Ready"), stage.condition("Compliant")[0]) == (ready, compliant)
    assert stage.told()["mode"] == mode
    assert [one["type"] for one in stage.told()["conditions"]] == [
        *("Ready", "Compliant", "Progressing", "Degraded", "Contested")
    ]


async def test_a_pause_is_named_by_its_config_map_on_every_policy_that_would_write() -> None:
    stage = Stage("shop/web")
    stage.policy()
    stage.policy("audit", mode="Audit")
    stage.start()
    stage.services = dataclasses.replace(stage.services, paused=lambda: True)
    stage.reconciler._services = stage.reconciler._teller._services = stage.services
    await stage.turn()
    switch = "ConfigMap resilience-system/resilience-operator"
    assert stage.condition("Ready") == (
        "True",
        "Paused",
        f"paused by {switch} (pause: true): nothing is written",
    )
    assert stage.told()["mode"] == "Enforce (paused)"
    assert stage.condition("Progressing") == (
        "True",
        "Waiting",
        f"shop/web waits: paused by {switch} (pause: true)",
    )
    assert stage.condition("Ready", "audit")[1] == "Accepted"


async def test_an_invalid_policy_is_stalled_and_an_event_says_so() -> None:
    stage = Stage("shop/web")
    stage.policy(windows={"allow": [{"name": "x", "days": ["Mon"], "start": "9", "end": "16:00"}]})
    stage.start()
    await stage.turn()
    assert stage.condition("Ready")[:2] == ("False", "Invalid")
    assert stage.condition("Stalled") == ("True", "Invalid", stage.condition("Ready")[2])
    assert stage.told()["mode"] == "Enforce (invalid)"
    assert told_of(stage) == [("Warning", "Invalid")]


async def test_what_may_only_be_reported_leaves_a_policy_compliant() -> None:
    stage = Stage("shop/api")
    stage.world.cluster.create(workload("web", "shop") | {"spec": recreating()})
    stage.policy(rollout=LIMITS)
    stage.start()
    await stage.turns(20)
    assert stage.condition("Compliant") == (
        "True",
        "ReportOnly",
        "nothing that may be enforced drifts; 1 of 2 objects with findings only reported",
    )
    numbers = stage.told()["summary"]
    assert (numbers["evaluated"], numbers["compliant"], numbers["reportOnly"]) == (2, 1, 1)


def recreating() -> dict[str, Any]:
    """A spec whose rollout takes all pods away at once."""
    spec: dict[str, Any] = workload("web", "shop")["spec"]
    return spec | {"strategy": {"type": "Recreate"}}


async def test_a_right_that_is_missing_is_named_by_the_policy_that_needs_it_and_its_end_as_well() -> None:
    stage = Stage("shop/web", "shop/api")
    stage.policy(rollout=LIMITS)
    stage.policy("audit", mode="Audit")
    stage.start()
    stage.api.struck.update(
        {("PATCH", f"/deployments/{name}"): refused(403, RIGHT) for name in ("web", "api")}
    )
    await stage.turn()
    state, reason, message = stage.condition("Degraded")
    assert (state, reason) == ("True", "RightLost")
    assert message.startswith("the operator lacks a right: deployments.apps")
    assert stage.condition("Degraded", "audit")[0] == "False"
    waits = [one["message"] for one in stage.told()["findings"]]
    assert len(waits) == 2
    assert all("lacks a right" in one and "slot" not in one for one in waits), waits
    assert ("Warning", "RightLost") in told_of(stage)
    stage.api.struck.clear()
    await stage.turns(40)
    assert stage.condition("Degraded")[0] == "False"
    assert told_of(stage).count(("Normal", "Recovered")) == 1


async def test_nobody_waits_for_the_slot_of_a_rollout_that_could_not_begin() -> None:
    stage = Stage("aaa/web", "bbb/web")
    stage.policy()
    stage.start()
    stage.api.struck["PATCH", "/namespaces/aaa/deployments/web"] = refused(403, RIGHT)
    await stage.turn()
    assert "slot" not in stage.finding("bbb/web")


async def test_what_is_repaired_in_the_same_pass_is_told_once_with_whose_what_and_the_way_out() -> None:
    stage = Stage("shop/web")
    stage.policy()
    stage.start()
    await stage.turns(30)
    assert on_objects(stage) == [
        (
            "Normal",
            "RemediationApplied",
            (
                "policy p, rule dns-config: added dnsConfig.options; its pods restart in a rolling update. Opt out:"
                " label resilience.dev/ignore=dns-config"
            ),
        )
    ]
    assert {kind for kind, _ in told_of(stage)} <= {"Normal"}
    (record,) = stage.told()["remediations"]
    assert record["message"] == "added dnsConfig.options; its pods restart in a rolling update"


async def test_every_message_has_at_most_300_characters() -> None:
    stage = Stage("shop/web", "shop/api")
    stage.policy(rollout=LIMITS)
    stage.start()
    stage.api.struck["PATCH", "/deployments/web"] = refused(422, "no: " + '{"a":' * 200)
    stage.api.struck["PATCH", "/deployments/api"] = refused(500, "y" * 4000)
    await stage.turns(60, 2.0)
    status = stage.told()
    messages = [one["message"] for name in ("conditions", "findings", "remediations") for one in status[name]]
    messages += [status["message"], *(one.note for one in stage.desk.notices)]
    assert max(map(len, messages)) <= 300


async def test_a_policy_that_leaves_the_selector_is_let_go_of_and_says_so() -> None:
    stage = Stage("shop/web", settings={"policy_selector": "team=a"})
    stage.policy()
    stage.start()
    writer = stage.with_real_status()
    await stage.turns(20)
    await writer.flush()
    raw = stage.world.operator.policies["p"]
    assert (raw["metadata"]["finalizers"], raw["status"]["servedBy"]) == ([FINALIZER], "resilience-system")
    stage.reconciler.policies_replaced([])
    stage.reconciler.policies_outside([raw])
    await stage.turn()
    await writer.flush()
    assert raw["metadata"]["finalizers"] == []
    assert "servedBy" not in raw["status"]
    assert {(one["status"], one["reason"]) for one in raw["status"]["conditions"]} == {
        ("Unknown", "NotServed")
    }
    assert raw["status"]["message"] == (
        "not served: its labels do not match --policy-selector team=a of the operator in namespace"
        " resilience-system; what was written for it stays"
    )
    assert stage.has_dns("shop/web")
    assert ("Warning", "NotServed") in told_of(stage)


async def test_a_policy_that_another_operator_serves_keeps_its_finalizer() -> None:
    stage = Stage("shop/web", settings={"policy_selector": "team=a"})
    stage.policy()
    raw = stage.world.operator.policies["p"]
    raw["status"] = {"servedBy": "elsewhere"}
    stage.start()
    stage.with_real_status()
    stage.reconciler.policies_replaced([])
    stage.reconciler.policies_outside([raw])
    await stage.turn()
    assert raw["metadata"]["finalizers"] == [FINALIZER]


async def test_a_stop_is_told_once_and_a_retry_ends_it() -> None:
    stage = Stage("shop/web", "shop/api")
    stage.world.controller.well = lambda template: "dnsConfig" not in template["spec"]
    stage.policy()
    stage.start()
    await stage.turns(60)
    assert stage.condition("Degraded")[:2] == ("True", "StoppedInNamespace")
    assert told_of(stage).count(("Warning", "Stopped")) == 1
    assert stage.told()["summary"]["quarantined"] == 1
    assert stage.condition("Progressing") == ("True", "Waiting", "shop/web waits: the policy stopped itself")
    stage.world.controller.well = lambda template: True
    stage.world.operator.policies["p"]["metadata"]["annotations"] = {"resilience.dev/retry": "1"}
    stage.reconciler.policies_replaced(list(stage.world.operator.policies.values()))
    await stage.turns(3)
    assert stage.condition("Degraded")[0] == "False"
    assert told_of(stage).count(("Normal", "Recovered")) == 1
    tried = [one for one in stage.told()["remediations"] if one["result"] == "Applied"]
    assert len(tried) == 2
    assert stage.told()["summary"]["quarantined"] == 0
