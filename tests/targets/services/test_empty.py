"""Rule empty-service on a cluster: each situation with the whole answer."""

from datetime import timedelta

import msgspec
import pytest

from resilience_operator.core.findings import EMPTY, Verdict
from resilience_operator.targets.services.empty import check
from resilience_operator.targets.services.settings import EmptyService
from tests.support.clusters import Body, thing
from tests.support.clusters import workload as deployment
from tests.support.views import NOW
from tests.targets.services.situations import (
    JUST_NOW,
    LONG_AGO,
    endpoints,
    finding,
    look,
    moment,
    pod,
    put,
    rolling,
    service,
    skipped,
    store_of,
    verdict,
    waiting,
    webhooks,
)

HTTP: Body = {"ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 9090}]}
DONE: Body = {"reason": "NewReplicaSetAvailable"}
SCALED: Body = {"f:spec": {"f:replicas": {}}}


def scaled_to_zero(name: str = "web") -> Body:
    by = {"manager": "kubectl-edit", "operation": "Update", "time": "2026-11-22T06:30:00Z"}
    return deployment(name, 0, meta={"managedFields": [by | {"fieldsV1": SCALED}]})


def scaled_object(**meta: Body) -> Body:
    spec = {"scaleTargetRef": {"name": "web"}, "maxReplicaCount": 5}
    return thing("ScaledObject", "web", meta=meta, spec=spec)


def ended(phase: str = "Succeeded") -> Body:
    labels = {"batch.kubernetes.io/job-name": "web", "app": "web"}
    return pod("web-0", owner="Job", phase=phase, labels=labels, why={"reason": "PodCompleted"})


def crashed(finished: str) -> list[Body]:
    last = {"terminated": {"reason": "OOMKilled", "finishedAt": finished}}
    return [{"name": "app", "restartCount": 4, "state": {"running": {}}, "lastState": last}]


SITUATIONS = [
    pytest.param([service(), endpoints(3)], EMPTY, id="ready endpoints"),
    pytest.param([service(), endpoints(1, unready=2)], EMPTY, id="one of three is ready"),
    pytest.param([service(), endpoints(), endpoints(1, name="web-b")], EMPTY, id="ready in another slice"),
    pytest.param(
        [service(selector={"app": "wbe"}), endpoints(), deployment("web"), deployment("api")],
        finding(
            "SelectsNothing",
            "no endpoint is ready: no pod has the labels of its selector app=wbe; the pods of Deployment web have"
            " app=web, not app=wbe",
        ),
        id="a selector that is a letter off",
    ),
    pytest.param(
        [
            service(selector={"app": "db", "rôle": "primary"}),
            endpoints(),
            pod(
                "db-0",
                owner="StatefulSet",
                labels={"app": "db", "statefulset.kubernetes.io/pod-name": "db-0"},
            ),
        ],
        finding(
            "SelectsNothing",
            "no endpoint is ready: no pod has the labels of its selector app=db,rôle=primary; the pods of StatefulSet"
            " of-db-0 have no label rôle",
        ),
        id="a label that nobody has",
    ),
    pytest.param(
        [service(), endpoints(), deployment("checkout")],
        finding("SelectsNothing", "no endpoint is ready: no pod has the labels of its selector app=web"),
        id="nothing that comes near",
    ),
    pytest.param(
        [service(), endpoints(), scaled_to_zero()],
        finding(
            "ScaledToZero",
            "no endpoint is ready: Deployment web has 0 replicas, set by kubectl-edit at 2026-11-22T06:30:00Z",
        ),
        id="scaled to zero",
    ),
    pytest.param(
        [service(), endpoints(at=LONG_AGO), endpoints(name="web-b", at=JUST_NOW), deployment("web", 0)],
        Verdict(wake_at=JUST_NOW + timedelta(seconds=120)),
        id="a slice that changed just now",
    ),
    pytest.param(
        [service(), endpoints(at=LONG_AGO), deployment("web", 0)],
        finding(
            "ScaledToZero",
            "no endpoint is ready: Deployment web has 0 replicas, set through the subresource scale, as by kubectl"
            " scale, which leaves no name; no pod since 2026-11-22T05:00:00Z",
        ),
        id="scaled to zero by kubectl scale",
    ),
    pytest.param([service(), endpoints(), scaled_to_zero(), scaled_object()], EMPTY, id="KEDA lets it sleep"),
    pytest.param(
        [
            service(),
            endpoints(),
            scaled_to_zero(),
            scaled_object(annotations={"autoscaling.keda.sh/paused-replicas": "0"}),
        ],
        finding(
            "ScaledToZero",
            "no endpoint is ready: Deployment web has 0 replicas, set by kubectl-edit at 2026-11-22T06:30:00Z",
        ),
        id="KEDA was told to stand still at zero",
    ),
    pytest.param(
        [
            service(),
            endpoints(unready=2),
            rolling(progress=DONE),
            pod("web-1", phase="Pending", containers=waiting("ImagePullBackOff")),
            pod("web-2", phase="Pending", containers=waiting("ImagePullBackOff")),
        ],
        finding(
            "NoneReady",
            "no endpoint is ready: none of its 2 pods is ready: container app has no image (ImagePullBackOff)",
        ),
        id="an image that cannot be pulled",
    ),
    pytest.param(
        [
            service(),
            endpoints(unready=2),
            rolling(progress=DONE),
            pod(
                "web-1", containers=waiting("CrashLoopBackOff", lastState={"terminated": {"reason": "Error"}})
            ),
            pod("web-2", containers=crashed(moment(JUST_NOW))),
            pod("web-3", containers=crashed(moment(JUST_NOW))),
        ],
        finding(
            "NoneReady",
            "no endpoint is ready: none of its 3 pods is ready: 2: container app crashes again and again (OOMKilled),"
            " 1: container app crashes again and again (Error)",
        ),
        id="a crash loop, seen while it waits and while it runs",
    ),
    pytest.param(
        [service(), endpoints(unready=1), rolling(progress=DONE), pod(containers=crashed(moment(LONG_AGO)))],
        finding(
            "NoneReady",
            "no endpoint is ready: the pod that it selects is not ready: a readiness or startup probe fails (app)",
        ),
        id="a failing probe of a container that crashed long ago",
    ),
    pytest.param(
        [
            service(),
            endpoints(unready=1),
            rolling(progress=DONE),
            pod(
                phase="Pending",
                containers=[],
                conditions=[
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/3 nodes are available: 3 Insufficient cpu.",
                    }
                ],
            ),
        ],
        finding(
            "NoneReady",
            "no endpoint is ready: the pod that it selects is not ready: not scheduled (0/3 nodes are available: 3"
            " Insufficient cpu.)",
        ),
        id="pending",
    ),
    pytest.param(
        [
            service(),
            endpoints(unready=1),
            rolling(progress=DONE),
            pod(phase="Pending", containers=waiting("CreateContainerConfigError")),
        ],
        finding(
            "NoneReady",
            "no endpoint is ready: the pod that it selects is not ready: container app cannot start"
            " (CreateContainerConfigError)",
        ),
        id="a Secret that is not there",
    ),
    pytest.param(
        [
            service(),
            endpoints(unready=1),
            pod(why={"reason": "", "message": ""}),
            thing("Node", "node-1", "", status={"conditions": [{"type": "Ready", "status": "Unknown"}]}),
        ],
        finding(
            "NoneReady",
            "no endpoint is ready: the pod that it selects is not ready: its node node-1 is not Ready",
        ),
        id="a node that is gone",
    ),
    pytest.param(
        [
            service(),
            endpoints(),
            rolling(progress=DONE)
            | {
                "status": {
                    "observedGeneration": 2,
                    "conditions": [
                        {
                            "type": "ReplicaFailure",
                            "status": "True",
                            "message": 'pods "web-1" is forbidden: exceeded quota: pods',
                        },
                        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
                    ],
                }
            },
        ],
        finding(
            "NoneReady",
            'no endpoint is ready: Deployment web has no pod: pods "web-1" is forbidden: exceeded quota: pods',
        ),
        id="a quota",
    ),
    pytest.param(
        [service(), endpoints(2, ports=[]), deployment("web", container=HTTP), pod(ready=True)],
        finding(
            "PortMissing",
            "port 80 leads nowhere: no container of the pods that it selects declares a port http (they declare http,"
            " metrics)",
        ),
        id="a slice without the port",
    ),
    pytest.param(
        [
            service(
                ports=[
                    {"name": "http", "port": 80, "targetPort": "web"},
                    {"name": "metrics", "port": 9090, "targetPort": "metrics"},
                    {"name": "grpc", "port": 50051, "targetPort": 50051},
                ]
            ),
            endpoints(2, ports=["metrics", "grpc"]),
            deployment("web", container=HTTP),
            pod(ready=True),
        ],
        finding(
            "PortMissing",
            "port 80 leads nowhere: no container of the pods that it selects declares a port web (they declare http,"
            " metrics)",
        ),
        id="a port's name that no container has, beside two that lead somewhere",
    ),
    pytest.param(
        [service(), endpoints(keeper="cilium"), pod(ready=True)],
        finding(
            "ForeignEndpointSlices",
            "no endpoint is ready: 1 pod that it selects is ready, but its EndpointSlices are kept by cilium and hold"
            " no ready endpoint",
        ),
        id="EndpointSlices of another controller",
    ),
    pytest.param(
        [service(), endpoints(2, keeper="mesh", ports=["x"])], EMPTY, id="another controller's endpoints"
    ),
    pytest.param(
        [service(), endpoints(), pod(ready=True), pod("web-2", ready=True)],
        finding(
            "NotPublished",
            "no endpoint is ready: 2 pods that it selects are ready, but no EndpointSlice holds them:"
            " kube-controller-manager has not written it",
        ),
        id="nobody writes EndpointSlices",
    ),
    pytest.param(
        [
            service(),
            endpoints(unready=1, at=NOW - timedelta(minutes=10)),
            rolling(progress={"reason": "ReplicaSetUpdated", "lastUpdateTime": moment(JUST_NOW)}),
            pod(),
        ],
        Verdict(wake_at=JUST_NOW + timedelta(seconds=600)),
        id="a rollout under way",
    ),
    pytest.param(
        [
            service(),
            endpoints(unready=1),
            rolling(progress={"status": "False", "reason": "ProgressDeadlineExceeded"}),
            pod(),
        ],
        finding(
            "NoneReady",
            "no endpoint is ready: the pod that it selects is not ready: a readiness or startup probe fails (app)",
        ),
        id="a rollout that failed",
    ),
    pytest.param(
        [
            service(),
            endpoints(unready=1, at=NOW - timedelta(seconds=30)),
            rolling(progress={"reason": "NewReplicaSetAvailable"}, generation=9),
            pod(),
        ],
        Verdict(wake_at=NOW + timedelta(seconds=600)),
        id="a rollout that its controller has not seen yet",
    ),
    pytest.param([service(selector={}), endpoints()], EMPTY, id="no selector"),
    pytest.param([service(type="ExternalName", clusterIP=""), endpoints()], EMPTY, id="ExternalName"),
    pytest.param(
        [service(clusterIP="None"), endpoints(), ended()], EMPTY, id="headless, of a Job that is done"
    ),
    pytest.param(
        [service(selector={"job-name": "web"}, clusterIP="None"), endpoints()],
        EMPTY,
        id="headless, of a Job that is cleaned away",
    ),
    pytest.param(
        [service(), endpoints(), ended("Failed")],
        finding("NoneReady", "no endpoint is ready: the pod that it selects is not ready: ended (Failed)"),
        id="of a Job that is done, with an address of its own",
    ),
    pytest.param(
        [
            service(),
            endpoints(),
            scaled_to_zero(),
            thing(
                "Ingress",
                "front",
                spec={
                    "defaultBackend": {"service": {"name": "web", "port": {"number": 80}}},
                    "rules": [
                        {"host": "a.test", "http": {"paths": [{"backend": {"resource": {"kind": "Bucket"}}}]}}
                    ],
                },
            ),
            thing(
                "HTTPRoute",
                "api",
                "edge",
                spec={"rules": [{"backendRefs": [{"name": "web", "namespace": "shop"}]}]},
            ),
            thing("APIService", "v1.shop.test", "", spec={"service": {"name": "web", "namespace": "shop"}}),
            thing("Ingress", "other", spec={"rules": None}),
        ],
        finding(
            "ScaledToZero",
            "no endpoint is ready: Deployment web has 0 replicas, set by kubectl-edit at 2026-11-22T06:30:00Z;"
            " APIService v1.shop.test, HTTPRoute edge/api and 1 more point to it",
        ),
        id="what points to it",
    ),
    pytest.param(
        [
            service(),
            endpoints(),
            scaled_to_zero(),
            webhooks("ValidatingWebhookConfiguration", "web"),
            webhooks("MutatingWebhookConfiguration", "other"),
        ],
        finding(
            "ScaledToZero",
            "no endpoint is ready: Deployment web has 0 replicas, set by kubectl-edit at 2026-11-22T06:30:00Z;"
            " ValidatingWebhookConfiguration guard points to it",
        ),
        id="a webhook that is called through it",
    ),
]


@pytest.mark.parametrize(("bodies", "expected"), SITUATIONS)
def test_a_service_that_leads_nowhere_is_found_with_its_cause(bodies: list[Body], expected: Verdict) -> None:
    assert verdict(*bodies) == expected


def test_every_message_fits_where_people_read_it() -> None:
    hostile = {"a" * 63: "b" * 63, **{f"{number:063}": "c" * 63 for number in range(20)}}
    near = {**hostile, "a" * 63: "b" * 62 + "c"}
    many = [
        thing("Ingress", f"{number:0253}", spec={"defaultBackend": {"service": {"name": "web"}}})
        for number in (1, 2)
    ]
    (found,) = verdict(service(selector=hostile), endpoints(), pod(labels=near), *many).findings
    assert len(found.message) <= 300


def test_within_the_grace_it_is_waited_for() -> None:
    assert verdict(service(), endpoints(at=JUST_NOW), scaled_to_zero()) == Verdict(
        wake_at=JUST_NOW + timedelta(seconds=120)
    )
    assert verdict(service(), endpoints(at=JUST_NOW), scaled_to_zero(), grace=60).findings != ()


def test_where_nothing_tells_since_when_the_operator_looks_and_waits() -> None:
    store = store_of(service(), endpoints(at=None), scaled_to_zero())
    rule = EmptyService()
    due = NOW + timedelta(seconds=120)
    assert check(rule, look(store)) == skipped(due)
    assert check(rule, look(store, due - timedelta(seconds=1))) == skipped(due)
    assert [one.reason for one in check(rule, look(store, due)).findings] == ["ScaledToZero"]


def test_a_ready_endpoint_in_between_begins_the_wait_anew() -> None:
    store = store_of(service(), endpoints(at=None), scaled_to_zero())
    look(store)
    put(store, endpoints(1), 11)
    put(store, endpoints(at=None), 12)
    later = NOW + timedelta(seconds=119)
    assert check(EmptyService(), look(store, later)) == skipped(later + timedelta(seconds=120))


def test_a_change_of_what_is_not_ready_does_not_begin_the_wait_anew() -> None:
    store = store_of(service(), endpoints(unready=1), pod(containers=waiting("ErrImagePull")))
    look(store)
    later = NOW + timedelta(seconds=130)
    put(store, endpoints(unready=2, at=NOW + timedelta(seconds=125)), 11)
    assert [one.reason for one in check(EmptyService(), look(store, later)).findings] == ["NoneReady"]


def test_after_a_rollout_endpoints_have_the_whole_grace_to_follow() -> None:
    done = DONE | {"lastUpdateTime": moment(JUST_NOW)}
    assert verdict(service(), endpoints(unready=1), rolling(progress=done), pod(ready=True)) == Verdict(
        wake_at=JUST_NOW + timedelta(seconds=120)
    )


def test_an_hour_is_the_longest_that_a_rollout_hides_it() -> None:
    forever = {"reason": "ReplicaSetUpdated", "lastUpdateTime": moment(LONG_AGO + timedelta(hours=2))}
    body = rolling(progress=forever)
    body["spec"]["progressDeadlineSeconds"] = 2**31 - 1
    assert [one.reason for one in verdict(service(), endpoints(), body, pod()).findings] == ["NoneReady"]


def test_an_empty_slice_and_ten_thousand_endpoints_cost_the_same() -> None:
    kept = [look(store_of(service(), endpoints(*of))).slices[0] for of in ((0,), (10_000,))]
    assert len({len(msgspec.json.encode(one)) for one in kept}) <= 2
    assert all(len(msgspec.json.encode(one)) < 512 for one in kept)
