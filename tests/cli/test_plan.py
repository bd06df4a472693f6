"""`plan` and `report`: every object that changes, each with its kind, its pods and what it waits for."""

from typing import Any

from resilience_operator.cli.plan import make, text
from resilience_operator.cli.report import line, rows
from tests.support.clusters import Body, budget, cluster, hpa, ours, policy, thing, workload

FLOORS: Body = {"replicas": {"min": 2}, "disruptionBudget": {}}


def told(plan: Body) -> list[tuple[Any, ...]]:
    return [
        (step["kind"], step["name"], step["verb"], step["rules"], step["pods"], step["waits"])
        for step in plan["steps"]
    ]


def test_a_scaler_and_a_budget_are_steps_of_their_own_that_restart_nothing() -> None:
    found = cluster(
        [policy("p", mode="Audit", deployments={"dnsConfig": {}, **FLOORS})],
        [workload("api"), workload("web"), hpa("web"), budget("web", "web")],
    )
    plan = make(found, "p", 5)
    slot = "waits for a slot: 1 of 1 rollouts of policy p run (shop/api is one)"
    assert told(plan) == [
        ("Deployment", "api", "Apply", ["dns-config"], 3, ""),
        ("PodDisruptionBudget", "api-resilience", "Create", ["disruption-budget"], 0, ""),
        ("HorizontalPodAutoscaler", "web", "Apply", ["replicas"], 0, ""),
        ("Deployment", "web", "Apply", ["dns-config"], 3, slot),
    ]
    assert {key: plan[key] for key in ("objects", "deployments", "podsRestarting", "maxConcurrent")} == {
        "objects": 4,
        "deployments": 2,
        "podsRestarting": 6,
        "maxConcurrent": 1,
    }
    assert text(plan).splitlines() == [
        "Policy p, enforced: 4 objects change, 6 pods restart, at most 1 at once.",
        "2 rollouts, one at a time, about 5 min, windows not counted.",
        "  1. shop/api: sets spec.template.spec.dnsConfig.options (3 pods restart)",
        '       dnsConfig.options: not set -> [{"name":"single-request-reopen"}]',
        "       starts now",
        (
            "  2. PodDisruptionBudget shop/api-resilience: is made: no budget limits how many pods of api may go"
            " at once (0 pods restart)"
        ),
        "       starts now",
        "  3. HorizontalPodAutoscaler shop/web: sets spec.minReplicas (0 pods restart)",
        "       minReplicas: 1 -> 2",
        "       starts now",
        "  4. shop/web: sets spec.template.spec.dnsConfig.options (3 pods restart)",
        '       dnsConfig.options: not set -> [{"name":"single-request-reopen"}]',
        f"       {slot}",
        "kubectl resilience plan p --patch prints what to commit.",
    ]


def test_a_budget_goes_while_the_pods_of_its_deployment_wait() -> None:
    closed = {"deny": [{"name": "freeze", "from": "2026-11-01T00:00:00Z", "until": "2026-12-01T00:00:00Z"}]}
    found = cluster(
        [policy("p", windows=closed, deployments={"dnsConfig": {}, **FLOORS})],
        [workload("web")],
    )
    assert [(kind, bool(waits)) for kind, *_, waits in told(make(found, "", 1))] == [
        ("PodDisruptionBudget", False),
        ("Deployment", True),
    ]
    told_of = {row["rule"]: row["message"] for row in rows(found, "p")}
    assert told_of["disruption-budget"] == "no PodDisruptionBudget selects the pods of its 3 replicas"
    assert "freeze" in told_of["dns-config"]


def test_a_budget_of_ours_that_would_block_every_drain_is_shown_to_go() -> None:
    found = cluster(
        [policy("p", deployments=FLOORS)], [workload("web", 2), ours("old", "web"), budget("new", "web")]
    )
    plan = make(found, "", 1)
    assert told(plan) == [("PodDisruptionBudget", "old", "Delete", ["disruption-budget"], 0, "")]
    assert text(plan).splitlines() == [
        "All policies: 1 object changes, 0 pods restart.",
        (
            "  1. PodDisruptionBudget shop/old: is removed: PodDisruptionBudget new selects the same pods: with two,"
            " every eviction fails (0 pods restart)"
        ),
        "       starts now",
    ]


def test_replicas_that_are_set_restart_nothing_and_deployments_alone_are_called_so() -> None:
    found = cluster([policy("p", deployments={"replicas": {"min": 2}})], [workload("a", 1), workload("b", 1)])
    assert text(make(found, "", 1)).splitlines()[:3] == [
        "All policies: 2 Deployments change, 0 pods restart.",
        "  1. shop/a: sets spec.replicas (0 pods restart)",
        "       replicas: 1 -> 2",
    ]
    assert text(make(cluster([policy("p")], [workload("a", 1)]), "", 1)) == "All policies: nothing to change."


def test_what_is_not_changed_is_named_with_its_kind() -> None:
    asleep = thing(
        "ScaledObject", "worker", spec={"scaleTargetRef": {"name": "worker"}, "minReplicaCount": 0}
    )
    found = cluster([policy("p", deployments={"replicas": {"min": 2}})], [workload("worker", 1), asleep])
    assert text(make(found, "", 1)).splitlines() == [
        "All policies: nothing to change.",
        "Not changed:",
        (
            "  ReportOnly shop/worker replicas: 1 of at least 2 replicas; ScaledObject worker scales it; ScaledObject"
            " worker would revert the change"
        ),
        (
            "  ReportOnly ScaledObject shop/worker replicas: spec.minReplicaCount lets Deployment worker go down to 0;"
            " the floor is 2 replicas; it may scale to zero, and that stays possible"
        ),
    ]


def test_the_parameters_of_cluster_dns_are_a_step_and_the_arguments_of_its_autoscaler_are_reported() -> None:
    argv = [
        "/cluster-proportional-autoscaler",
        "--configmap=scale-dns",
        "--target=deployment/coredns",
        '--default-params={"linear":{"nodesPerReplica":8,"min":2}}',
    ]
    linear = '{"nodesPerReplica":8,"min":2}'
    dns = workload("coredns", 3, "kube-system")
    dns["spec"]["template"]["metadata"]["labels"]["k8s-app"] = "kube-dns"
    found = cluster(
        [policy("p", coreDNS={"floor": {"minReplicas": 3}})],
        [
            dns,
            workload("scaler", 1, "kube-system", container={"command": argv}),
            thing("ConfigMap", "scale-dns", "kube-system", data={"linear": linear}),
        ],
    )
    plan = make(found, "p", 1)
    assert told(plan) == [("ConfigMap", "scale-dns", "Apply", ["coredns-floor"], 0, "")]
    assert [(one["kind"], one["name"], one["state"]) for one in plan["unchanged"]] == [
        ("Deployment", "scaler", "ReportOnly")
    ]


def test_report_names_the_kind_of_what_it_found() -> None:
    found = cluster(
        [policy("p", mode="Audit", deployments={"replicas": {"min": 2}})],
        [workload("api", 1), workload("web"), hpa("web")],
    )
    listed = rows(found, "")
    assert [(row["object"]["kind"], row["object"]["name"], row["reason"]) for row in listed] == [
        ("Deployment", "api", "TooFewReplicas"),
        ("HorizontalPodAutoscaler", "web", "FloorTooLow"),
    ]
    assert [line(row).split("\t")[2] for row in listed] == ["shop/api", "HorizontalPodAutoscaler shop/web"]
