"""Mass restarts by others: what counts as one, who is named, and that our own rollouts stand still meanwhile."""

from typing import Any

import pytest

from resilience_operator.cluster.store import Store
from resilience_operator.core.kinds import DEPLOYMENT
from resilience_operator.core.state import ANNOTATION, Apply, ObjectState, encode
from resilience_operator.engine.decide import Surroundings
from resilience_operator.engine.queue import OperatorLimits, schedule
from resilience_operator.targets import judge, new_store, parse, project_dict
from resilience_operator.targets.workloads.events import too_many_restarts
from tests.support.clusters import Body, policy, workload
from tests.support.views import NOW

REVISION = "deployment.kubernetes.io/revision"
AT = "2026-11-22T08:00:00Z"
ROLLS, DONE = ("True", "ReplicaSetUpdated"), ("True", "NewReplicaSetAvailable")
TEMPLATE: Body = {
    "f:spec": {"f:template": {"f:metadata": {"f:annotations": {"f:kubectl.kubernetes.io/restartedAt": {}}}}}
}


def wrote(manager: str, at: str, fields: Body, subresource: str = "") -> Body:
    entry = {
        "manager": manager,
        "operation": "Update",
        "time": at,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    return entry | ({"subresource": subresource} if subresource else {})


def restarted(
    name: str,
    by: str = "kubectl-rollout",
    *,
    progress: tuple[str, str] = ROLLS,
    revision: str = "2",
    state: ObjectState | None = None,
    **spec: Any,
) -> Body:
    """A Deployment whose template somebody changed, while its pods are replaced."""
    annotations = {REVISION: revision} | ({ANNOTATION: encode(state)} if state is not None else {})
    entries = [
        wrote("helm", "2026-11-01T00:00:00Z", {"f:spec": {"f:template": {"f:spec": {}}, "f:replicas": {}}}),
        wrote(by, AT, TEMPLATE),
        wrote("someone", "2026-11-22T08:00:05Z", {"f:spec": {"f:replicas": {}}}),
        wrote("kube-controller-manager", "2026-11-22T08:00:09Z", {"f:status": {}}, "status"),
    ]
    body = workload(name, meta={"annotations": annotations, "managedFields": entries})
    status, reason = progress
    body["status"]["conditions"] = [{"type": "Progressing", "status": status, "reason": reason}]
    body["spec"] |= spec
    return body


def store_of(*bodies: Body) -> Store:
    store = new_store()
    for body in bodies:
        store.put(DEPLOYMENT, project_dict(DEPLOYMENT, body))
    return store


def said(store: Store, percent: int = 5) -> str:
    found = too_many_restarts(store, percent)
    return found.sentence if found is not None else ""


def test_who_restarts_too_much_at_once_is_named() -> None:
    """Of each the manager that changed the template last; not who scaled it, annotated it, or keeps its status."""
    many = [restarted(f"web-{number:02}") for number in range(9)]
    store = store_of(*many, restarted("api", "argocd-controller"), restarted("db", "flux"))
    assert said(store) == (
        "halted: 11 of 11 Deployments restart at once, more than 10: kubectl-rollout changed the templates of 9, "
        "argocd-controller changed the templates of 1, 1 more managers of others (shop/api is one)"
    )
    assert len(said(store)) <= 300
    done = restarted("api", progress=DONE)
    done["metadata"]["resourceVersion"] = "8"
    store.put(DEPLOYMENT, project_dict(DEPLOYMENT, done))
    assert said(store) == ""


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(restarted("one", progress=DONE), id="done"),
        pytest.param(restarted("one", revision="1"), id="made, and never another"),
        pytest.param(restarted("one", paused=True), id="paused"),
        pytest.param(restarted("one", replicas=0), id="without pods"),
        pytest.param(restarted("one", progress=("False", "ProgressDeadlineExceeded")), id="failed"),
        pytest.param(
            restarted("one", revision="7", state=ObjectState("d-one", applies=(Apply(NOW, 7),))), id="ours"
        ),
    ],
)
def test_it_is_no_restart_by_others(other: Body) -> None:
    ten = [restarted(f"web-{number}") for number in range(10)]
    assert said(store_of(*ten, other)) == ""
    assert said(store_of(*ten, restarted("one")))


def test_a_restart_after_ours_is_the_owners() -> None:
    ten = [restarted(f"web-{number}") for number in range(10)]
    ours = ObjectState("d-one", applies=(Apply(NOW, 6),))
    assert said(store_of(*ten, restarted("one", revision="7", state=ours)))


@pytest.mark.parametrize(
    ("manager", "revision", "state", "restarts"),
    [
        pytest.param("kubectl-rollout", "1", None, True, id="a template, by others"),
        pytest.param("kubectl-rollout", "", None, False, id="made a moment ago"),
        pytest.param("", "1", None, False, id="a number of replicas"),
        pytest.param("kubectl-rollout", "6", 7, False, id="a template, by us"),
        pytest.param("kubectl-rollout", "7", 7, True, id="a template, by others after us"),
    ],
)
def test_what_its_controller_has_not_taken_up_yet_counts_by_who_wrote_last(
    manager: str, revision: str, state: int | None, restarts: bool
) -> None:
    ten = [restarted(f"web-{number}") for number in range(10)]
    applies = ObjectState("d-one", applies=(Apply(NOW, state),)) if state else None
    new = restarted("one", progress=DONE, revision=revision, state=applies)
    new["status"]["observedGeneration"] = 1
    entries = new["metadata"]["managedFields"]
    new["metadata"]["managedFields"] = [one for one in entries if one["manager"] != "someone" or not manager]
    assert bool(said(store_of(*ten, new))) == restarts


def test_without_a_deadline_the_pods_tell() -> None:
    ten = [restarted(f"web-{number}") for number in range(10)]
    silent = restarted("one")
    silent["status"] |= {"conditions": [], "replicas": 4, "updatedReplicas": 1}
    assert said(store_of(*ten, silent))
    silent["status"] |= {"replicas": 3, "updatedReplicas": 3}
    assert said(store_of(*ten, silent)) == ""


@pytest.mark.parametrize(("percent", "halted"), [(5, True), (12, False), (100, False), (0, True)])
def test_how_many_is_a_share_of_all_and_never_below_ten(percent: int, halted: bool) -> None:
    """11 of 100."""
    quiet = [restarted(f"quiet-{number}", progress=DONE) for number in range(89)]
    store = store_of(*quiet, *(restarted(f"web-{number}") for number in range(11)))
    assert bool(said(store, percent)) == halted


def test_what_is_gone_restarts_no_more() -> None:
    store = store_of(*(restarted(f"web-{number}") for number in range(11)))
    store.delete(DEPLOYMENT, "shop", "web-3", "d-web-3")
    assert said(store) == ""


def test_our_own_rollouts_wait_and_say_for_whom() -> None:
    """What restarts nothing goes on; what is withdrawn because it failed as well."""
    one = parse(policy("p", deployments={"dnsConfig": {"options": [{"name": "single-request-reopen"}]}}))[0]
    store = store_of(workload("shop"))
    view = store.look(("shop", "shop"), NOW)
    assert view is not None
    decision = judge(view, [one], Surroundings({one.uid: one}))
    assert decision is not None
    assert decision.change is not None
    limits = OperatorLimits(restarting="halted: too many")
    plan = schedule([decision], {one.uid: one}, limits, NOW)
    assert (plan.now, plan.waiting, plan.gates) == (
        (),
        {("shop", "shop"): "halted: too many"},
        {"mass_restart": 1},
    )
    assert schedule([decision], {one.uid: one}, OperatorLimits(), NOW).now == (decision.change,)
