"""How a rollout of ours stands, from the objects alone: every phase, and what is not held against us."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from resilience_operator.cluster.objects.workloads import Deployment, Pod, ReplicaSet
from resilience_operator.core.state import Apply, Held, ObjectState
from resilience_operator.engine.rollout import NO_ROLLOUT, OurRollout, Phase
from resilience_operator.targets.workloads.rollouts import complete, healthy, our_rollout, unhealthy_because
from resilience_operator.targets.workloads.view import DeploymentView
from tests.support.views import NOW, deployment, replica_set, view

PATH = "spec.template.spec.dnsConfig.options"
SOAK, DEADLINE = 60, 300


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def stamp(seconds_ago: float) -> str:
    return ago(seconds_ago).strftime("%Y-%m-%dT%H:%M:%SZ")


def progressing(reason: str, seconds_ago: float, status: str = "True", **more: str) -> dict[str, Any]:
    return {
        "type": "Progressing",
        "status": status,
        "reason": reason,
        "lastUpdateTime": stamp(seconds_ago),
        **more,
    }


def rolled(
    *conditions: dict[str, Any],
    applied: float = 100,
    revision: int = 2,
    newest: int | None = 2,
    pods: tuple[Pod, ...] = (),
    holds: bool = True,
    made: float = 100,
    spec: dict[str, Any] | None = None,
    **status: int,
) -> DeploymentView:
    """shop/web, whose revision we made `applied` seconds ago; the cluster's newest is `newest`, `made` so long ago."""
    subject = deployment(**(spec or {}))
    body = msgspec.to_builtins(subject)
    body["status"] |= {"conditions": list(conditions), **status}
    leaves = {PATH: Held("dns-config", [], revision=revision if holds else 0)}
    state = ObjectState("d-1", leaves, applies=(Apply(ago(applied), revision),))
    sets = [] if newest is None else [owned(newest, made)]
    return view(msgspec.convert(body, Deployment), replica_sets=sets, pods=pods, state=state)


def owned(revision: int, made: float = 100) -> ReplicaSet:
    body = msgspec.to_builtins(replica_set(revision=revision))
    body["metadata"] |= {"uid": f"rs-{revision}", "creationTimestamp": stamp(made)}
    return msgspec.convert(body, ReplicaSet)


def pod(
    ended: float | None = None,
    *,
    crash: bool = False,
    restarts: int = 0,
    unready: float | None = None,
    ready: float = 90,
    made: float = 95,
) -> Pod:
    """A pod of revision 2, `made` and `ready` so many seconds ago: unready since, crash-looping, or restarted once."""
    container: dict[str, Any] = {"name": "web", "restartCount": restarts}
    if crash:
        container["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    if ended is not None:
        container["lastState"] = {"terminated": {"finishedAt": stamp(ended)}}
    state = {"type": "Ready", "status": str(unready is None), "lastTransitionTime": stamp(unready or ready)}
    meta = {"name": "web-1", "namespace": "shop", "ownerReferences": [{"uid": "rs-2"}]}
    meta |= {"creationTimestamp": stamp(made)}
    body = {"metadata": meta, "status": {"conditions": [state], "containerStatuses": [container]}}
    return msgspec.convert(body, Pod)


def phase(kind: Phase, until: float | None = None, message: str = "", applied: float = 100) -> OurRollout:
    end = None if until is None else NOW + timedelta(seconds=until)
    return OurRollout(kind, 2, ago(applied), end, message)


ROLLING: Any = {"updatedReplicas": 1, "replicas": 4}
ENDLESS = {"progressDeadlineSeconds": 2**31 - 1}
"""With it the Deployment controller keeps no condition Progressing."""
OLD = pod(made=89_950, ready=89_900)
STALLED = "no progress for 300 s: 1 of 3 replicas updated"
LOOP = "container web of the new pod web-1 is in a crash loop (2 restarts)"
DONE = progressing("NewReplicaSetAvailable", 30)
LONG_DONE = progressing("NewReplicaSetAvailable", 86_400)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        pytest.param(view(deployment()), NO_ROLLOUT, id="nothing-of-ours"),
        pytest.param(
            rolled(newest=1, observedGeneration=1, applied=5),
            phase(Phase.PROGRESSING, 295, "rolling out", applied=5),
            id="not-yet-seen-by-the-controller",
        ),
        pytest.param(
            rolled(progressing("ReplicaSetUpdated", 10), **ROLLING),
            phase(Phase.PROGRESSING, 290, "rolling out"),
            id="progressing-since-the-last-progress",
        ),
        pytest.param(
            rolled(progressing("ReplicaSetUpdated", 300), applied=400, **ROLLING),
            phase(Phase.FAILED, message=STALLED, applied=400),
            id="the-policys-deadline",
        ),
        pytest.param(
            rolled(
                progressing("ReplicaSetUpdated", 120),
                applied=130,
                spec={"progressDeadlineSeconds": 120},
                **ROLLING,
            ),
            phase(Phase.FAILED, message="no progress for 120 s: 1 of 3 replicas updated", applied=130),
            id="the-deployments-own-deadline-is-shorter",
        ),
        pytest.param(
            rolled(progressing("ProgressDeadlineExceeded", 50, "False", message="timed out"), **ROLLING),
            phase(Phase.FAILED, message="no progress for 600 s: timed out"),
            id="the-controller-says-so",
        ),
        pytest.param(
            rolled(progressing("ProgressDeadlineExceeded", 500, "False"), newest=1, observedGeneration=1),
            phase(Phase.PROGRESSING, 200, "rolling out"),
            id="the-controller-said-so-of-an-earlier-rollout",
        ),
        pytest.param(
            rolled(progressing("ReplicaSetUpdated", 10), pods=(pod(20, crash=True, restarts=2),), **ROLLING),
            phase(Phase.FAILED, message=LOOP),
            id="crash-loop",
        ),
        pytest.param(
            rolled(progressing("ReplicaSetUpdated", 10), pods=(pod(20, crash=True, restarts=1),), **ROLLING),
            phase(Phase.PROGRESSING, 290, "rolling out"),
            id="one-crash-is-no-loop",
        ),
        pytest.param(
            rolled(
                progressing("ReplicaSetUpdated", 310),
                applied=340,
                spec={"minReadySeconds": 900, "progressDeadlineSeconds": 1200},
                **ROLLING,
            ),
            phase(Phase.PROGRESSING, 890, "rolling out", applied=340),
            id="ready-for-min-ready-seconds-is-no-stalled-rollout",
        ),
        pytest.param(
            rolled(
                progressing("ReplicaSetUpdated", 310), spec={"minReadySeconds": 10}, applied=340, **ROLLING
            ),
            phase(Phase.FAILED, message="no progress for 310 s: 1 of 3 replicas updated", applied=340),
            id="the-deadline-and-min-ready-seconds-are-over",
        ),
        pytest.param(
            rolled(applied=400, spec=ENDLESS, pods=(pod(made=340, ready=250),), **ROLLING),
            phase(Phase.PROGRESSING, 50, "rolling out", applied=400),
            id="without-the-condition-a-pod-that-became-ready-is-progress",
        ),
        pytest.param(
            rolled(applied=400, spec=ENDLESS, pods=(pod(made=290, unready=200),), **ROLLING),
            phase(Phase.PROGRESSING, 10, "rolling out", applied=400),
            id="without-the-condition-a-new-pod-is-progress-and-one-that-is-ready-no-more-is-none",
        ),
        pytest.param(
            rolled(applied=400, spec=ENDLESS, pods=(pod(made=390, ready=300),), **ROLLING),
            phase(Phase.FAILED, message=STALLED, applied=400),
            id="without-the-condition-nothing-became-ready-for-the-deadline",
        ),
        pytest.param(
            rolled(applied=400, spec=ENDLESS, pods=(pod(made=310, ready=-86_400),), **ROLLING),
            phase(Phase.FAILED, message=STALLED, applied=400),
            id="a-node-whose-clock-is-ahead-makes-no-progress",
        ),
        pytest.param(
            rolled(
                applied=400, spec=ENDLESS, pods=(pod(crash=True, restarts=2, unready=5, made=20),), **ROLLING
            ),
            phase(Phase.FAILED, message=LOOP, applied=400),
            id="without-the-condition-a-crash-loop-fails-all-the-same",
        ),
        pytest.param(
            rolled(applied=400, spec=ENDLESS, newest=1, pods=(pod(ready=10),)),
            phase(Phase.FAILED, message="no progress for 300 s: 3 of 3 replicas updated", applied=400),
            id="pods-of-another-revision-are-no-progress",
        ),
        pytest.param(rolled(DONE), phase(Phase.SOAKING, 30, "soaking"), id="soaking"),
        pytest.param(
            rolled(DONE, pods=(pod(10, restarts=1),)),
            phase(Phase.SOAKING, 50, "soaking"),
            id="a-restart-in-the-soak-prolongs-it",
        ),
        pytest.param(
            rolled(DONE, pods=(pod(5, crash=True, restarts=2, unready=5),), availableReplicas=2),
            phase(Phase.FAILED, message=LOOP),
            id="a-crash-loop-in-the-soak",
        ),
        pytest.param(
            rolled(progressing("NewReplicaSetAvailable", 80), pods=(pod(unready=40),), availableReplicas=2),
            phase(Phase.SOAKING, message="lost availability while soaking"),
            id="availability-lost-in-the-soak-and-not-come-back",
        ),
        pytest.param(
            rolled(progressing("NewReplicaSetAvailable", 80), pods=(pod(unready=10),), availableReplicas=2),
            NO_ROLLOUT,
            id="availability-lost-after-the-soak-is-not-ours",
        ),
        pytest.param(rolled(progressing("NewReplicaSetAvailable", 60)), NO_ROLLOUT, id="soaked"),
        pytest.param(
            rolled(
                LONG_DONE,
                applied=90_000,
                pods=(pod(5, crash=True, restarts=9, unready=5),),
                availableReplicas=2,
            ),
            NO_ROLLOUT,
            id="a-crash-loop-of-a-day-later-is-not-ours",
        ),
        pytest.param(
            rolled(LONG_DONE, applied=90_000, observedGeneration=1),
            NO_ROLLOUT,
            id="a-new-generation-of-a-day-later-is-no-stalled-rollout",
        ),
        pytest.param(
            rolled(progressing("NewReplicaSetAvailable", 105), applied=100),
            NO_ROLLOUT,
            id="complete-by-a-clock-that-is-behind-ours",
        ),
        pytest.param(
            rolled(progressing("NewReplicaSetAvailable", 700), applied=650),
            NO_ROLLOUT,
            id="complete-however-old-the-controllers-time-is",
        ),
        pytest.param(rolled(applied=100), NO_ROLLOUT, id="complete-without-any-condition"),
        pytest.param(
            rolled(applied=400, spec=ENDLESS, pods=(pod(made=390, ready=200), pod(made=190, ready=10))),
            phase(Phase.SOAKING, 50, "soaking", applied=400),
            id="without-the-condition-the-soak-starts-as-the-last-pod-is-ready",
        ),
        pytest.param(
            rolled(applied=400, spec={**ENDLESS, "minReadySeconds": 15}, pods=(pod(made=190, ready=40),)),
            phase(Phase.SOAKING, 35, "soaking", applied=400),
            id="without-the-condition-the-soak-starts-min-ready-seconds-later",
        ),
        pytest.param(
            rolled(
                progressing("NewReplicaSetAvailable", 700),
                applied=250,
                pods=(pod(made=240, ready=150), pod(made=140, ready=20)),
            ),
            phase(Phase.SOAKING, 40, "soaking", applied=250),
            id="with-a-controllers-clock-behind-ours-the-soak-starts-as-the-last-pod-is-ready",
        ),
        pytest.param(
            rolled(
                applied=90_000, spec=ENDLESS, pods=(pod(made=89_900, ready=89_800), pod(made=20, ready=10))
            ),
            NO_ROLLOUT,
            id="without-the-condition-a-pod-of-a-day-later-starts-no-soak",
        ),
        pytest.param(
            rolled(
                applied=90_000, spec=ENDLESS, pods=(OLD, pod(made=89_900, unready=20)), availableReplicas=2
            ),
            NO_ROLLOUT,
            id="without-the-condition-a-pod-lost-a-day-later-is-no-stalled-rollout",
        ),
        pytest.param(
            rolled(applied=90_000, spec=ENDLESS, pods=(OLD,), observedGeneration=1),
            NO_ROLLOUT,
            id="without-the-condition-a-new-size-of-a-day-later-is-no-stalled-rollout",
        ),
        pytest.param(
            rolled(
                applied=90_000,
                spec=ENDLESS,
                pods=(OLD, pod(made=80, crash=True, restarts=9, unready=5)),
                availableReplicas=2,
            ),
            NO_ROLLOUT,
            id="without-the-condition-a-crash-loop-of-a-day-later-is-not-ours",
        ),
        pytest.param(
            rolled(
                applied=90_000,
                spec=ENDLESS,
                pods=(OLD, pod(made=89_900, unready=89_900)),
                availableReplicas=2,
            ),
            phase(Phase.FAILED, message="no progress for 300 s: 3 of 3 replicas updated", applied=90_000),
            id="without-the-condition-a-pod-that-was-never-ready-is-a-stalled-rollout",
        ),
        pytest.param(
            rolled(applied=90_000, spec=ENDLESS, pods=(OLD,), **ROLLING),
            phase(Phase.FAILED, message=STALLED, applied=90_000),
            id="without-the-condition-old-pods-a-day-later-are-a-stalled-rollout",
        ),
        pytest.param(
            rolled(progressing("NewReplicaSetAvailable", 3600), applied=-86_400, made=3700),
            NO_ROLLOUT,
            id="written-with-a-clock-a-day-ahead-and-soaked-an-hour-ago",
        ),
        pytest.param(
            rolled(progressing("NewReplicaSetAvailable", 20), applied=-86_400, made=100),
            phase(Phase.SOAKING, 40, "soaking"),
            id="written-with-a-clock-a-day-ahead-and-soaking",
        ),
        pytest.param(
            rolled(progressing("ReplicaSetUpdated", 300), applied=-86_400, made=400, **ROLLING),
            phase(Phase.FAILED, message=STALLED, applied=400),
            id="written-with-a-clock-a-day-ahead-and-stalled",
        ),
        pytest.param(
            rolled(newest=1, observedGeneration=1, applied=-86_400),
            phase(Phase.PROGRESSING, 300, "rolling out", applied=0),
            id="written-with-a-clock-a-day-ahead-and-not-yet-seen-by-the-controller",
        ),
        pytest.param(rolled(newest=3, **ROLLING), NO_ROLLOUT, id="superseded-by-the-owners-push"),
        pytest.param(
            rolled(
                progressing("DeploymentPaused", 900, "Unknown"), applied=900, spec={"paused": True}, **ROLLING
            ),
            phase(Phase.PROGRESSING, message="paused in the middle of the rollout", applied=900),
            id="paused-in-the-middle-fails-never",
        ),
        pytest.param(
            rolled(progressing("ReplicaSetUpdated", 10), holds=False, **ROLLING),
            phase(Phase.PROGRESSING, 290, "rolling out"),
            id="what-is-given-back-is-awaited",
        ),
        pytest.param(
            rolled(progressing("ReplicaSetUpdated", 400), applied=400, holds=False, **ROLLING),
            NO_ROLLOUT,
            id="what-is-given-back-has-nothing-to-be-withdrawn",
        ),
        pytest.param(
            rolled(progressing("ReplicaSetUpdated", 10), holds=False, spec={"paused": True}, **ROLLING),
            NO_ROLLOUT,
            id="what-is-given-back-and-paused-is-not-awaited",
        ),
    ],
)
def test_a_rollout_of_ours_is_read_from_the_objects(subject: DeploymentView, expected: OurRollout) -> None:
    assert our_rollout(subject, SOAK, DEADLINE) == expected
    assert expected.running is (expected.phase is not Phase.NONE)


@pytest.mark.parametrize(
    ("subject", "why", "well"),
    [
        pytest.param(rolled(DONE), "", True, id="well"),
        pytest.param(rolled(spec={"paused": True}), "the Deployment is paused", True, id="paused"),
        pytest.param(
            rolled(observedGeneration=1),
            "the Deployment controller has not yet seen its newest generation",
            True,
            id="not-settled",
        ),
        pytest.param(
            rolled(progressing("ReplicaSetUpdated", 5), availableReplicas=2, **ROLLING),
            "a rollout of its own is running (1 of 3 replicas updated)",
            True,
            id="its-own-rollout",
        ),
        pytest.param(
            rolled(progressing("ProgressDeadlineExceeded", 5, "False"), availableReplicas=2, **ROLLING),
            "a rollout of its own is running (1 of 3 replicas updated)",
            False,
            id="its-own-rollout-is-stuck",
        ),
        pytest.param(
            rolled(
                progressing("ReplicaSetUpdated", 5),
                {"type": "Available", "status": "False"},
                availableReplicas=1,
                **ROLLING,
            ),
            "a rollout of its own is running (1 of 3 replicas updated)",
            False,
            id="its-own-rollout-took-too-much-away",
        ),
        pytest.param(
            rolled(DONE, replicas=4),
            "a rollout of its own is running (3 of 3 replicas updated)",
            True,
            id="old-pods",
        ),
        pytest.param(
            rolled(DONE, availableReplicas=2), "2 of 3 replicas are available", False, id="one-is-missing"
        ),
        pytest.param(view(deployment(replicas=0)), "", True, id="none-wanted"),
    ],
)
def test_only_healthy_targets_start_and_an_owners_rollout_is_no_illness(
    subject: DeploymentView, why: str, well: bool
) -> None:
    assert (unhealthy_because(subject), healthy(subject)) == (why, well)
    assert complete(subject) is (why in {"", "the Deployment is paused"})
