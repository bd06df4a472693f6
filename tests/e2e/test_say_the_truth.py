"""What the operator says when something is amiss with itself or its surroundings."""

from tests.e2e.process import OperatorProcess
from tests.e2e.scene import FAST, LABEL, Body, Scene, settle, workload

DNS: Body = {"dnsConfig": {}}


def test_a_missing_home_namespace_is_said_in_the_log_and_nothing_is_written(scene: Scene) -> None:
    scene.apply(workload(scene.namespace, "web"))
    scene.wait_rolled_out("web")
    flags = (*FAST, f"--policy-selector={LABEL}={scene.name}", "--namespace=not-there")
    mark = scene.lab.audit.mark()
    with OperatorProcess(scene.lab.kubeconfig(), scene.logs / "operator.log", *flags) as operator:
        scene.policy(deployments=DNS)
        settle(5)
        assert 'namespaces "not-there" not found' in operator.tail()
        assert operator.metric("resilience_leader") == {"": 0.0}
    assert scene.writes(mark) == []


def test_the_condition_of_every_kind_is_there_from_the_first_pass(scene: Scene) -> None:
    with scene.operator():
        scene.policy(mode="Audit", deployments=DNS)
        scene.wait(lambda: scene.status(), "a status")
        status = scene.status()
        assert [one["type"] for one in status["conditions"]] == [
            "Ready",
            "Compliant",
            "Progressing",
            "Degraded",
            "Contested",
        ]
        assert status["summary"] == {
            "mode": "Audit",
            "evaluated": 0,
            "compliant": 0,
            "drifted": 0,
            "pending": 0,
            "contested": 0,
            "quarantined": 0,
            "reportOnly": 0,
            "ignored": 0,
        }


def test_an_api_server_that_is_gone_for_a_while_costs_no_restart(scene: Scene) -> None:
    scene.lab.needs("parts")
    scene.apply(workload(scene.namespace, "web"))
    scene.wait_rolled_out("web")
    with scene.operator() as operator:
        scene.policy(mode="Audit", deployments=DNS)
        scene.wait(lambda: scene.findings(), "audited")
        pid = operator.pid
        scene.lab.kill("kube-apiserver")
        settle(5)
        assert operator.alive(), "an API outage must not restart the operator"
        scene.lab.restart("kube-apiserver")
        scene.policy(deployments=DNS)
        scene.wait_compliant(timeout=120)
        assert (operator.pid, operator.alive()) == (pid, True)


def test_what_is_enforced_and_unhealthy_opens_the_breaker(scene: Scene) -> None:
    for name in ("a", "b"):
        scene.apply(workload(scene.namespace, name))
    scene.wait_rolled_out("a", "b")
    scene.lab.break_new_pods(scene.namespace, "never")
    scene.apply(workload(scene.namespace, "ill"))
    with scene.operator("--max-unhealthy-percent=20"):
        scene.policy(deployments=DNS)
        scene.wait_condition("Degraded", "True")
        assert scene.condition("Degraded")["message"] == (
            f"halted: 1 of 3 targets are unhealthy, more than 20 % ({scene.namespace}/ill is one)"
        )
        settle(3)
        assert all("dnsConfig" not in scene.pod_spec(name) for name in ("a", "b"))
