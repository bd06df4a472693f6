"""What people do with policies and objects while the operator works: each ends as the interface says."""

from typing import Any

import pytest

from tests.e2e.process import pretty
from tests.e2e.scene import Body, Scene, settle, workload
from tests.lab.errors import LabError

DNS: Body = {"dnsConfig": {}}
OPTIONS = {"options": [{"name": "single-request-reopen"}]}


def rolled_out(scene: Scene, *names: str, **fields: Any) -> None:
    for name in names:
        scene.apply(workload(scene.namespace, name, **fields))
    scene.wait_rolled_out(*names)


def deployment_writes(scene: Scene, mark: Any) -> list[str]:
    return [write.name for write in scene.writes(mark) if write.resource == "deployments"]


def test_of_two_policies_the_higher_priority_wins_and_the_other_takes_over_when_it_goes(scene: Scene) -> None:
    rolled_out(scene, "web")
    low = {"dnsConfig": {"options": [{"name": "timeout", "value": "2"}]}}
    high = {"dnsConfig": {"options": [{"name": "timeout", "value": "3"}]}}
    with scene.operator():
        scene.policy("low", priority=1, onRelease="Revert", deployments=low)
        scene.policy("high", priority=2, onRelease="Revert", deployments=high)
        want_high = {"options": [{"name": "timeout", "value": "3"}]}
        scene.wait(lambda: scene.pod_spec("web").get("dnsConfig") == want_high, "the higher wins")
        scene.wait(lambda: scene.condition("Contested", "low").get("status") == "True", "the lower says so")
        assert f"policy {scene.name}-high (priority 2)" in scene.condition("Contested", "low")["message"]
        assert scene.condition("Contested", "high")["status"] == "False"
        scene.wait_rolled_out("web")
        scene.delete_policy("high", wait=False)
        want_low = {"options": [{"name": "timeout", "value": "2"}]}
        scene.wait(lambda: scene.pod_spec("web").get("dnsConfig") == want_low, "the lower takes over")
        scene.wait_compliant("low")
        scene.delete_policy("low")
        assert "dnsConfig" not in scene.pod_spec("web"), "the last policy releases"


def test_two_policies_of_equal_priority_that_disagree_write_nothing(scene: Scene) -> None:
    rolled_out(scene, "web")
    mark = scene.lab.audit.mark()
    for name, seconds in (("a", "2"), ("b", "3")):
        scene.policy(name, deployments={"dnsConfig": {"options": [{"name": "timeout", "value": seconds}]}})
    with scene.operator():
        for name in ("a", "b"):
            scene.wait_condition("Contested", "True", name)
            assert "has the same priority (0)" in scene.condition("Contested", name)["message"]
        assert deployment_writes(scene, mark) == []


def test_an_opt_out_is_honoured_and_retains_what_was_written(scene: Scene) -> None:
    rolled_out(scene, "web", "later")
    scene.lab.kubectl("-n", scene.namespace, "label", "deployment/later", "resilience.dev/ignore=all")
    with scene.operator():
        scene.policy(onRelease="Revert", deployments=DNS)
        scene.wait(lambda: scene.pod_spec("web").get("dnsConfig") == OPTIONS, "web is repaired")
        scene.wait_rolled_out("web")
        summary = scene.wait(lambda: scene.status().get("summary", {}).get("ignored") and scene.status()["summary"],
                             "the summary counts it")  # fmt: skip
        assert (summary["evaluated"], summary["ignored"]) == (1, 1)
        assert "dnsConfig" not in scene.pod_spec("later")
        scene.lab.kubectl(
            "-n", scene.namespace, "annotate", "deployment/web", "resilience.dev/ignore=dns-config"
        )
        mark = scene.lab.audit.mark()
        scene.delete_policy()
        assert scene.pod_spec("web")["dnsConfig"] == OPTIONS, "an opt-out always retains"
        assert deployment_writes(scene, mark) == []


@pytest.mark.parametrize("release", ["Retain", "Revert"])
def test_a_removed_rule_and_a_narrowed_selector_release_as_the_policy_says(
    scene: Scene, release: str
) -> None:
    rolled_out(scene, "web", "api")
    before = {name: scene.spec(name) for name in ("web", "api")}
    with scene.operator():
        scene.policy(onRelease=release, deployments={**DNS, "spread": {}})
        scene.wait_compliant()
        scene.policy(onRelease=release, deployments={"spread": {}, "dnsConfig": None})
        if release == "Revert":
            scene.wait(lambda: "dnsConfig" not in scene.pod_spec("web"), "the rule's leaf is given back")
            scene.wait(lambda: "dnsConfig" not in scene.pod_spec("api"), "the rule's leaf is given back")
            scene.wait_compliant()
            assert "topologySpreadConstraints" in scene.pod_spec("web"), "the other rule's leaf stays"
        narrowed = {"spread": {}, "selector": {"matchLabels": {"app": "api"}}}
        scene.policy(onRelease=release, deployments=narrowed)
        if release == "Revert":
            scene.wait(lambda: scene.spec("web") == before["web"], "what left the policy is given back")
        settle(3)
        if release == "Retain":
            assert scene.pod_spec("web")["dnsConfig"] == OPTIONS
            assert "topologySpreadConstraints" in scene.pod_spec("web")
        assert "topologySpreadConstraints" in scene.pod_spec("api")


def test_suspend_and_audit_write_nothing_and_keep_what_is_there(scene: Scene) -> None:
    rolled_out(scene, "web", "api")
    with scene.operator():
        scene.policy(deployments={**DNS, "selector": {"matchLabels": {"app": "web"}}})
        scene.wait_compliant()
        for spec in ({"suspend": True}, {"suspend": False, "mode": "Audit"}):
            mark = scene.lab.audit.mark()
            scene.policy(**spec, deployments={**DNS, "selector": None})
            scene.wait(lambda: scene.states() == {("dns-config", "api"): "Drifted"}, "still reported")
            settle(2)
            assert deployment_writes(scene, mark) == []
            assert scene.pod_spec("web")["dnsConfig"] == OPTIONS


def test_a_policy_deleted_in_the_middle_of_its_rollout_gives_everything_back(scene: Scene) -> None:
    names = ("a", "b", "c")
    rolled_out(scene, *names)
    before = {name: scene.spec(name) for name in names}
    slow = {"maxConcurrent": 1, "maxConcurrentPerNamespace": 1, "soakSeconds": 3}
    with scene.operator():
        scene.policy(onRelease="Revert", rollout=slow, deployments=DNS)
        scene.wait(lambda: scene.pod_spec("b").get("dnsConfig"), "the second rollout")
        scene.delete_policy()
        scene.wait_rolled_out(*names)
        assert {name: scene.spec(name) for name in names} == before


def test_a_policy_changed_in_the_middle_of_its_rollout_ends_at_the_new_value(scene: Scene) -> None:
    names = ("a", "b", "c")
    rolled_out(scene, *names)
    slow = {"maxConcurrent": 1, "maxConcurrentPerNamespace": 1, "soakSeconds": 2}
    new = {"dnsConfig": {"options": [{"name": "timeout", "value": "2"}]}}
    with scene.operator():
        scene.policy(rollout=slow, deployments=DNS)
        scene.wait(lambda: scene.pod_spec("b").get("dnsConfig"), "the second rollout")
        scene.policy(rollout=slow, deployments=new)
        scene.wait_compliant(timeout=90)
        for name in names:
            assert scene.pod_spec(name)["dnsConfig"] == {"options": [{"name": "timeout", "value": "2"}]}


UNSAFE: dict[str, tuple[Body, str]] = {
    "recreate": ({"strategy": {"type": "Recreate"}}, "Recreate"),
    "all-at-once": (
        {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%", "maxSurge": 0}}},
        "maxUnavailable",
    ),
    "volume": (
        {"pod": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}},
        "ReadWriteOnce",
    ),
}


def test_what_a_rollout_would_hurt_is_reported_and_never_enforced(scene: Scene) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": scene.namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    scene.apply(claim)
    for name, (fields, _) in UNSAFE.items():
        scene.apply(workload(scene.namespace, name, **fields))
    scene.apply(workload(scene.namespace, "fine"))
    scene.wait_rolled_out("fine", "recreate", "all-at-once")
    before = {name: scene.spec(name) for name in UNSAFE}
    with scene.operator():
        mark = scene.lab.audit.mark()
        scene.policy(deployments=DNS)
        scene.wait(lambda: scene.pod_spec("fine").get("dnsConfig"), "the safe one is repaired")
        scene.wait_rolled_out("fine")
        scene.wait(
            lambda: scene.states() == {("dns-config", name): "ReportOnly" for name in UNSAFE}, "reported"
        )
        messages = {one["object"]["name"]: one["message"] for one in scene.findings()}
        for name, (_, reason) in UNSAFE.items():
            assert reason in messages[name], pretty(messages)
        assert set(deployment_writes(scene, mark)) == {"fine"}
        assert {name: scene.spec(name) for name in UNSAFE} == before


def test_a_paused_deployment_waits_and_says_why(scene: Scene) -> None:
    rolled_out(scene, "web")
    scene.lab.kubectl("-n", scene.namespace, "rollout", "pause", "deployment/web")
    with scene.operator():
        scene.policy(deployments=DNS)
        scene.wait(lambda: scene.states() == {("dns-config", "web"): "Pending"}, "pending")
        scene.wait(lambda: "the Deployment is paused" in scene.findings()[0]["message"], "says why")
        assert "dnsConfig" not in scene.pod_spec("web")
        scene.lab.kubectl("-n", scene.namespace, "rollout", "resume", "deployment/web")
        scene.wait(lambda: scene.pod_spec("web").get("dnsConfig") == OPTIONS, "then it goes")


def test_a_closed_window_holds_rollouts_back_and_names_its_opening(scene: Scene) -> None:
    rolled_out(scene, "web")
    deny = [{"name": "black-friday", "from": "2020-01-01T00:00:00Z", "until": "2099-01-01T00:00:00Z"}]
    with scene.operator():
        scene.policy(deployments=DNS, windows={"deny": deny})
        scene.wait(lambda: scene.states() == {("dns-config", "web"): "Pending"}, "pending")
        assert scene.findings()[0]["message"].endswith(
            "waits for the end of black-friday, 2099-01-01 00:00 UTC"
        )
        progressing = scene.condition("Progressing")
        assert (progressing["status"], progressing["reason"]) == ("True", "Waiting")
        assert "dnsConfig" not in scene.pod_spec("web")
        scene.policy(deployments=DNS, windows=None)
        scene.wait(lambda: scene.pod_spec("web").get("dnsConfig") == OPTIONS, "then it goes")


def test_the_pause_switch_stops_every_write_and_lets_them_go_again(scene: Scene) -> None:
    rolled_out(scene, "web")
    switch = (
        "-n",
        scene.namespace,
        "create",
        "configmap",
        "resilience-operator",
        "--from-literal=pause=true",
    )
    scene.lab.kubectl(*switch)
    with scene.operator():
        scene.policy(deployments=DNS)
        scene.wait(lambda: scene.findings(), "found")
        scene.wait(lambda: "paused by ConfigMap" in scene.findings()[0]["message"], "says so")
        assert "dnsConfig" not in scene.pod_spec("web")
        scene.patch("resilience-operator", {"data": {"pause": "false"}}, kind="configmap")
        scene.wait(lambda: scene.pod_spec("web").get("dnsConfig") == OPTIONS, "then it goes", 30)


def test_a_policy_that_cannot_be_honoured_says_which_field_and_writes_nothing(scene: Scene) -> None:
    rolled_out(scene, "web")
    zone = {"name": "w", "days": ["Mon"], "start": "09:00", "end": "10:00", "timeZone": "Europe/Atlantis"}
    with scene.operator():
        scene.policy(deployments=DNS, windows={"allow": [zone]})
        scene.wait(lambda: scene.condition("Ready").get("status") == "False", "not ready")
        assert "spec.windows.allow[0].timeZone" in scene.condition("Ready")["message"]
        settle(2)
        assert "dnsConfig" not in scene.pod_spec("web")


def test_every_origin_of_an_object_is_repaired_and_given_back(scene: Scene) -> None:
    body = {origin: workload(scene.namespace, origin) for origin in ("applied", "created", "server-side")}
    scene.apply(body["applied"])
    scene.create(body["created"])
    scene.apply(body["server-side"], "--server-side", "--field-manager=fleet")
    for origin in body:
        scene.lab.kubectl(
            "-n", scene.namespace, "expose", f"deployment/{origin}", "--port=80", "--target-port=http"
        )
    scene.wait_rolled_out(*body)
    before = {origin: scene.spec(origin) for origin in body}
    with scene.operator():
        scene.policy(onRelease="Revert", deployments={"spread": {}, "gracefulShutdown": {}, **DNS})
        scene.wait_compliant()
        for origin in body:
            assert scene.pod_spec(origin)["terminationGracePeriodSeconds"] == 45
        scene.delete_policy()
        assert {origin: scene.spec(origin) for origin in body} == before


def test_the_finalizer_is_there_only_once_something_was_written(scene: Scene) -> None:
    rolled_out(scene, "web")
    with scene.operator():
        scene.policy(mode="Audit", deployments=DNS)
        scene.wait(lambda: scene.findings(), "audited")
        where = ("get", "rp", scene.name, "-o", "jsonpath={.metadata.finalizers}")
        assert scene.lab.kubectl(*where) == ""
        scene.policy(mode="Enforce", deployments=DNS)
        scene.wait_compliant()
        assert "resilience.dev/release" in scene.lab.kubectl(*where)
        scene.delete_policy()
        with pytest.raises(LabError, match="NotFound"):
            scene.lab.kubectl("get", "rp", scene.name)
        assert scene.pod_spec("web")["dnsConfig"] == OPTIONS, "onRelease: Retain"


def test_events_tell_transitions_on_the_object_and_nothing_twice(scene: Scene) -> None:
    rolled_out(scene, "web")
    with scene.operator():
        scene.policy(deployments=DNS)
        scene.wait_compliant()
        scene.wait(lambda: scene.events("web"), "events")
    with scene.operator():
        settle(7)
        assert scene.events("web") == [("Normal", "RemediationApplied")]
