"""Ownership is not intent: whether a demanded leaf may be written, for every way an object comes into being."""

from typing import Any

import pytest

from resilience_operator.cluster.leaves import DNS_OPTIONS, GRACE, constraint_path
from resilience_operator.cluster.objects.workloads import Claim
from resilience_operator.core.findings import Demand
from resilience_operator.core.paths import ABSENT, JSON
from resilience_operator.core.state import Held, ObjectState
from resilience_operator.engine.ownership import Judgement, Standing, judge
from resilience_operator.policy.common import Conflicts
from resilience_operator.targets.workloads.view import DeploymentView
from tests.support.views import deployment, view

REOPEN = [{"name": "single-request-reopen"}]
NDOTS = [{"name": "ndots", "value": "2"}]
WANTED = Demand("graceful-shutdown", GRACE, 45)


def claim(manager: str, operation: str, *paths: Any, time: str = "2026-11-22T07:00:00Z") -> Claim:
    return Claim(manager, operation, time=time, leaves=frozenset(map(str, paths)))


def graced(
    value: int | None, *claims: Claim, chosen: bool = False, held: Held | None = None
) -> DeploymentView:
    body = {} if value is None else {"terminationGracePeriodSeconds": value}
    state = ObjectState(uid="d-1", leaves={str(GRACE): held}) if held else ObjectState()
    return owned(body, *claims, chosen=[GRACE] if chosen else [], state=state)


def owned(pod: JSON, *claims: Claim, chosen: Any = (), state: ObjectState = ObjectState()) -> DeploymentView:  # noqa: B008
    subject = deployment(pod=pod)
    subject = type(subject)(
        subject.metadata, subject.spec, subject.status, claims, frozenset(map(str, chosen))
    )
    return view(subject, state=state)


PATCHED = "somebody with kubectl patch (kubectl-patch, Update)"


def told(judgement: Judgement) -> tuple[JSON, Standing, str]:
    """How the leaf stands, and who stands behind it in words."""
    return (judgement.observed, judgement.standing, str(judgement.owner))


CREATOR = claim("kubectl-client-side-apply", "Update", GRACE)
OURS = claim("resilience-operator", "Apply", GRACE)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        pytest.param(graced(None), (ABSENT, Standing.FREE, ""), id="absent"),
        pytest.param(
            graced(30, CREATOR),
            (30, Standing.FREE, "somebody with kubectl apply (kubectl-client-side-apply, Update)"),
            id="default-that-the-server-filled-in-for-kubectl-apply",
        ),
        pytest.param(
            graced(30, claim("kubectl-create", "Update", GRACE)),
            (30, Standing.FREE, "somebody with kubectl create (kubectl-create, Update)"),
            id="default-of-kubectl-create",
        ),
        pytest.param(
            graced(30),
            (30, Standing.FREE, "a manager that left no trace"),
            id="default-of-a-server-side-apply-that-did-not-name-it",
        ),
        pytest.param(
            graced(30, CREATOR, chosen=True),
            (30, Standing.CHOSEN, "somebody with kubectl apply (kubectl-client-side-apply, Update)"),
            id="default-that-stands-in-last-applied",
        ),
        pytest.param(
            graced(30, claim("flux", "Apply", GRACE)),
            (30, Standing.CHOSEN, "flux (Apply)"),
            id="default-that-was-applied-by-the-server",
        ),
        pytest.param(
            graced(600, CREATOR, claim("kubectl-patch", "Update", GRACE, time="2026-11-22T07:30:00Z")),
            (600, Standing.CHOSEN, "somebody with kubectl patch (kubectl-patch, Update)"),
            id="repair-of-an-engineer",
        ),
        pytest.param(
            graced(45, CREATOR), (45, Standing.SATISFIED, ""), id="already-as-demanded-but-not-ours"
        ),
        pytest.param(
            graced(45, held=Held("graceful-shutdown", 45, 30)),
            (45, Standing.HELD, ""),
            id="ours",
        ),
        pytest.param(
            graced(45, OURS, held=Held("graceful-shutdown", 45, 30)),
            (45, Standing.HELD, ""),
            id="ours-and-not-let-go-of-yet",
        ),
        pytest.param(
            graced(45, OURS, claim("helm", "Apply", GRACE), held=Held("graceful-shutdown", 45, 30)),
            (45, Standing.SATISFIED, ""),
            id="ours-until-an-owner-applied-the-same",
        ),
        pytest.param(
            graced(20, held=Held("graceful-shutdown", 20, 30)),
            (20, Standing.FREE, ""),
            id="ours-from-an-earlier-policy",
        ),
        pytest.param(
            graced(
                20, OURS, claim("argocd-controller", "Apply", GRACE), held=Held("graceful-shutdown", 20, 30)
            ),
            (20, Standing.CHOSEN, "Argo CD (Argo CD; argocd-controller, Apply)"),
            id="ours-and-copied-by-a-co-owner",
        ),
        pytest.param(
            graced(45, claim("kubectl-edit", "Update", GRACE), held=Held("graceful-shutdown", 45, 30)),
            (45, Standing.SATISFIED, ""),
            id="lost-to-somebody-who-wrote-the-same",
        ),
    ],
)
def test_a_defaulted_field_is_judged_by_who_chose_it(subject: DeploymentView, expected: Any) -> None:
    assert told(judge(WANTED, subject, Conflicts.REPORT)) == expected


def test_take_over_takes_what_was_chosen() -> None:
    subject = graced(600, claim("kubectl-patch", "Update", GRACE))
    assert told(judge(WANTED, subject, Conflicts.TAKE_OVER)) == (600, Standing.FREE, PATCHED)


def test_what_is_never_to_be_taken_is_not_taken_over_either() -> None:
    subject = graced(600, claim("kubectl-patch", "Update", GRACE))
    wanted = Demand("graceful-shutdown", GRACE, 45, never_take=True)
    assert told(judge(wanted, subject, Conflicts.TAKE_OVER)) == (600, Standing.CHOSEN, PATCHED)


def test_a_field_without_a_default_is_chosen_by_whoever_set_it() -> None:
    wanted = Demand("dns-config", DNS_OPTIONS, REOPEN)
    creator = claim("helm", "Update", DNS_OPTIONS)
    subject = owned({"dnsConfig": {"options": NDOTS}}, creator)
    set_by_helm = (NDOTS, Standing.CHOSEN, "Helm (helm, Update)")
    assert told(judge(wanted, subject, Conflicts.REPORT)) == set_by_helm
    assert judge(wanted, owned({}, creator), Conflicts.REPORT) == Judgement(wanted, ABSENT, Standing.FREE)


def test_a_rival_of_somebody_elses_stands_against_us_and_one_of_ours_does_not() -> None:
    path, rival = constraint_path("zone", "ScheduleAnyway"), constraint_path("zone", "DoNotSchedule")
    wanted = Demand("spread", path, {"topologyKey": "zone"}, rivals=(rival,))
    entry = {"topologyKey": "zone", "maxSkew": 5, "whenUnsatisfiable": "DoNotSchedule"}
    pod = {"topologySpreadConstraints": [entry]}
    theirs = judge(wanted, owned(pod, claim("owner", "Apply", rival)), Conflicts.TAKE_OVER)
    assert told(theirs) == (ABSENT, Standing.CHOSEN, "owner (Apply)")
    assert theirs.chosen == rival
    held = ObjectState("d-1", {str(rival): Held("spread", entry)})
    ours = judge(wanted, owned(pod, state=held), Conflicts.REPORT)
    assert ours == Judgement(wanted, ABSENT, Standing.FREE)
