"""What never happens, and what ends a change that goes wrong: limits, failure, refusal, contest."""

import json
import signal

from tests.e2e.process import pretty
from tests.e2e.scene import Body, Scene, service, settle, workload
from tests.lab.audit import Mark

DNS: Body = {"dnsConfig": {}}
OPTIONS = {"options": [{"name": "single-request-reopen"}]}
QUICK: Body = {
    "soakSeconds": 1,
    "maxConcurrent": 2,
    "maxConcurrentPerNamespace": 2,
    "progressDeadlineSeconds": 10,
    "failureThreshold": 1,
}


def test_a_rollout_that_fails_is_withdrawn_quarantined_and_stops_the_policy(scene: Scene) -> None:
    names = ("a", "b", "c")
    for name in names:
        scene.apply(workload(scene.namespace, name))
    scene.wait_rolled_out(*names)
    before = {name: scene.spec(name) for name in names}
    scene.lab.break_new_pods(scene.namespace, "never")
    began = scene.lab.audit.mark()

    with scene.operator():
        one = {**QUICK, "maxConcurrent": 1, "maxConcurrentPerNamespace": 1}
        scene.policy(deployments=DNS, rollout=one)
        scene.wait(lambda: "dnsConfig" in scene.pod_spec("a"), "the rollout starts")
        scene.wait(lambda: scene.spec("a") == before["a"], "it is withdrawn", timeout=20)
        scene.wait(lambda: scene.states().get(("dns-config", "a")) == "Quarantined", "quarantined")
        scene.wait(lambda: scene.condition("Degraded").get("status") == "True", "the policy says so")
        assert scene.condition("Degraded")["reason"] == "FailureThresholdReached"
        assert scene.condition("Degraded")["message"] == (
            f"1 rollout failed, {scene.namespace}/a last; "
            "the policy is stopped until its spec changes (failureThreshold: 1)"
        )
        scene.wait_rolled_out("a")
        assert {name: scene.spec(name) for name in ("b", "c")} == {name: before[name] for name in ("b", "c")}
    available, unavailable = replicas_since(scene, began, "a")
    assert available == {3}, "the old pods serve throughout"
    assert 1 in unavailable, "a pod of the new template was really tried"

    mark = scene.lab.audit.mark()
    scene.lab.mend_new_pods(scene.namespace)
    with scene.operator():
        settle(8)
        tried = [write for write in scene.writes(mark) if write.resource == "deployments"]
        assert tried == [], pretty(tried)
        assert scene.states()[("dns-config", "a")] == "Quarantined"
        results = [(one["object"]["name"], one["result"]) for one in scene.status()["remediations"]]
        assert sorted(results) == [("a", "Applied"), ("a", "RolledBack")]


def replicas_since(scene: Scene, mark: Mark, name: str) -> tuple[set[int], set[int]]:
    """Every number of available and of unavailable replicas that the Deployment controller wrote."""
    writes = scene.lab.audit.writes(mark, resource="deployments", namespace=scene.namespace, name=name)
    found = [one.response_object["status"] for one in writes if one.succeeded and one.subresource == "status"]
    return (
        {status.get("availableReplicas", 0) for status in found},
        {status.get("unavailableReplicas", 0) for status in found},
    )


def test_a_crash_loop_is_withdrawn_at_once(scene: Scene) -> None:
    scene.apply(workload(scene.namespace, "web"))
    scene.wait_rolled_out("web")
    before = scene.spec("web")
    scene.lab.break_new_pods(scene.namespace, "crash")
    with scene.operator():
        scene.policy(deployments=DNS, rollout={**QUICK, "progressDeadlineSeconds": 300})
        scene.wait(lambda: scene.states().get(("dns-config", "web")) == "Quarantined", "quarantined", 30)
        assert scene.spec("web") == before
        assert "is in a crash loop" in scene.findings()[0]["message"]


def test_the_owners_bad_image_during_our_rollout_is_not_counted_against_us(scene: Scene) -> None:
    scene.apply(workload(scene.namespace, "web", pod={"terminationGracePeriodSeconds": 30}))
    scene.wait_rolled_out("web")
    with scene.operator():
        scene.policy(deployments=DNS, rollout={**QUICK, "soakSeconds": 20})
        scene.wait(lambda: "dnsConfig" in scene.pod_spec("web"), "our rollout")
        scene.lab.break_new_pods(scene.namespace, "never")
        scene.lab.kubectl("-n", scene.namespace, "set", "image", "deployment/web", "web=shop/web:broken")
        settle(15)
        assert scene.pod_spec("web")["dnsConfig"] == OPTIONS, "not withdrawn"
        assert scene.condition("Degraded")["status"] == "False"


def test_rollout_undo_of_our_change_is_a_refusal(scene: Scene) -> None:
    scene.apply(workload(scene.namespace, "web"))
    scene.wait_rolled_out("web")
    before = scene.spec("web")
    with scene.operator():
        scene.policy(deployments=DNS)
        scene.wait_compliant()
        scene.lab.kubectl("-n", scene.namespace, "rollout", "undo", "deployment/web")
        scene.wait(lambda: scene.states().get(("dns-config", "web")) == "Quarantined", "quarantined", 20)
        mark = scene.lab.audit.mark()
        settle(6)
        assert [write for write in scene.writes(mark) if write.resource == "deployments"] == []
        assert scene.spec("web") == before


def test_a_value_that_somebody_chose_is_respected_and_named(scene: Scene) -> None:
    scene.apply(workload(scene.namespace, "web"))
    scene.apply(service(scene.namespace, "web"))
    scene.wait_rolled_out("web")
    scene.patch("web", {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 600}}}})
    scene.wait_rolled_out("web")
    before = scene.spec("web")
    with scene.operator():
        scene.policy(deployments={"gracefulShutdown": {}, **DNS})
        scene.wait(lambda: scene.condition("Contested").get("status") == "True", "contested")
        scene.wait(lambda: scene.pod_spec("web").get("dnsConfig") == OPTIONS, "the other rule goes on")
        scene.wait_rolled_out("web")
        web = scene.pod_spec("web")
        assert web["terminationGracePeriodSeconds"] == 600
        assert "lifecycle" not in web["containers"][0], "a rule is written whole or not at all"
        assert "somebody with kubectl patch set " in scene.condition("Contested")["message"]
        assert before["template"]["spec"].get("dnsConfig") is None


def test_an_entry_that_somebody_edited_outlives_our_next_write(scene: Scene) -> None:
    scene.apply(workload(scene.namespace, "web"))
    scene.wait_rolled_out("web")
    with scene.operator():
        scene.policy(deployments={"spread": {}}, rollout=QUICK)
        scene.wait_compliant()
        entries = scene.pod_spec("web")["topologySpreadConstraints"]
        edit = {**entries[0], "maxSkew": 2}
        merged = {"spec": {"template": {"spec": {"topologySpreadConstraints": [edit]}}}}
        scene.patch("web", merged, "--field-manager=kubectl-edit")
        scene.wait_rolled_out("web")
        edited = scene.pod_spec("web")
        assert edited["topologySpreadConstraints"] == [edit, entries[1]]
        scene.wait(lambda: scene.states().get(("spread", "web")) == "Contested", "it is theirs")
        scene.policy(deployments={"spread": {}, "dnsConfig": {}}, rollout=QUICK)
        scene.wait(lambda: scene.pod_spec("web").get("dnsConfig") == OPTIONS, "another rule is written")
        scene.wait_rolled_out("web")
        settle(3)
        assert scene.pod_spec("web") == {**edited, "dnsConfig": OPTIONS}


def test_a_manager_that_takes_its_value_back_is_named_after_three_reverts(scene: Scene) -> None:
    scene.apply(workload(scene.namespace, "web"))
    scene.wait_rolled_out("web")
    theirs = {"template": {"spec": {"dnsConfig": {"options": [{"name": "ndots", "value": "2"}]}}}}

    def revert() -> None:
        scene.server_side_apply("web", theirs, "fleet-controller")

    ours = [{"name": "ndots", "value": "2"}, {"name": "single-request-reopen"}]
    revert()
    scene.wait_rolled_out("web")
    mark = scene.lab.audit.mark()
    operator = scene.operator("--contest-window=120", "--contest-backoff=30")
    with operator:
        scene.policy(conflicts="TakeOver", deployments=DNS)
        for _ in range(3):
            scene.wait(lambda: scene.pod_spec("web")["dnsConfig"]["options"] == ours, "we write", 30)
            scene.wait_rolled_out("web")
            revert()
        scene.wait(lambda: scene.condition("Contested").get("status") == "True", "contested", 30)
        assert "fleet-controller (Apply) took" in scene.condition("Contested")["message"]
    with scene.operator("--contest-window=120", "--contest-backoff=30"):
        settle(6)
        applies = [write for write in scene.changes(mark, resource="deployments") if write.succeeded]
        assert len(applies) == 3, pretty(applies)
        scene.server_side_apply("web", {}, "fleet-controller")
        scene.wait(
            lambda: (
                {"name": "single-request-reopen"}
                in scene.pod_spec("web").get("dnsConfig", {}).get("options", [])
            ),
            "resumed when the other let go",
            20,
        )


def test_who_replaces_the_whole_object_again_and_again_is_named_after_three_reverts(scene: Scene) -> None:
    scene.apply(workload(scene.namespace, "web", replicas=2))
    scene.wait_rolled_out("web")
    theirs = scene.deployment("web")
    del theirs["metadata"]["managedFields"], theirs["metadata"]["resourceVersion"], theirs["status"]
    mark = scene.lab.audit.mark()

    def replace() -> None:
        scene.lab.kubectl("replace", "-f", "-", input=json.dumps(theirs))

    with scene.operator("--contest-window=120", "--contest-backoff=60"):
        scene.policy(conflicts="TakeOver", deployments={"replicas": {"min": 3}})
        for _ in range(3):
            scene.wait(lambda: scene.spec("web")["replicas"] == 3, "we write", 30)
            replace()
        scene.wait(lambda: scene.condition("Contested").get("status") == "True", "contested", 30)
        took = "somebody with kubectl replace (kubectl-replace, Update) took replicas back 3 times"
        assert took in scene.condition("Contested")["message"]
        settle(6)
    applies = [write for write in scene.changes(mark, resource="deployments") if write.succeeded]
    assert len(applies) == 3, pretty(applies)
    assert scene.spec("web")["replicas"] == 2


def test_two_operators_and_only_one_writes_even_when_the_leader_was_stopped(scene: Scene) -> None:
    names = [f"d{number}" for number in range(4)]
    for name in names:
        scene.apply(workload(scene.namespace, name, replicas=1))
    scene.wait_rolled_out(*names)
    first, second = scene.operator("--identity=first"), scene.operator("--identity=second")
    with first, second:
        scene.policy(deployments=DNS, rollout={**QUICK, "soakSeconds": 2, "maxConcurrent": 1})
        scene.wait(lambda: "dnsConfig" in scene.pod_spec("d0"), "the first rollout")
        leader = first if first.metric("resilience_leader").get("") == 1.0 else second
        other = second if leader is first else first
        leader.signal(signal.SIGSTOP)
        scene.wait(lambda: other.metric("resilience_leader").get("") == 1.0, "a new leader", 30)
        leader.signal(signal.SIGCONT)
        scene.wait_compliant(timeout=90)
        assert leader.metric("resilience_leader").get("") == 0.0
