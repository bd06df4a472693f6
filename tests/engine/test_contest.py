"""Other managers that take our values back, and rollouts that are not repeated: counted and kept on the object."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from resilience_operator.cluster.leaves import DNS_OPTIONS
from resilience_operator.cluster.objects.workloads import Claim, Deployment, ReplicaSet
from resilience_operator.core.findings import Demand
from resilience_operator.core.paths import ABSENT
from resilience_operator.core.state import ANNOTATION, Apply, Held, ObjectState, Quarantine, decode, encode
from resilience_operator.engine.contest import Contest, Patience, contested, contests_after
from resilience_operator.engine.ownership import Judgement, Standing
from resilience_operator.engine.quarantine import in_force, recorded, undone
from resilience_operator.policy.policy import Policy
from resilience_operator.targets.workloads.view import DeploymentView
from tests.support.views import NOW, deployment, view

REOPEN = [{"name": "single-request-reopen"}]
WANTED = Demand("dns-config", DNS_OPTIONS, REOPEN)
PATIENCE = Patience(timedelta(minutes=10), timedelta(minutes=10))
RULE = ("dns-config",)


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def claim(manager: str, operation: str, minutes_ago: float = 0, *, owns: bool = False) -> Claim:
    leaves = frozenset({str(DNS_OPTIONS)} if owns else ())
    return Claim(manager, operation, time=ago(minutes_ago).strftime("%Y-%m-%dT%H:%M:%SZ"), leaves=leaves)


def lost(*minutes_ago: float, contests: int = 0, claims: Any = (), options: Any = None) -> DeploymentView:
    """Our options, first applied an hour ago and repaired at those times, are gone or changed."""
    repairs = tuple(Apply(ago(minutes), 2, RULE) for minutes in minutes_ago)
    held = {str(DNS_OPTIONS): Held("dns-config", REOPEN)}
    state = ObjectState("d-1", held, applies=(Apply(ago(60), 1), *repairs), contests=contests)
    subject = deployment(pod={} if options is None else {"dnsConfig": {"options": options}})
    subject = Deployment(subject.metadata, subject.spec, subject.status, tuple(claims))
    return view(subject, state=decode(encode(state)))  # as after a restart: all from the annotation


def judged(subject: DeploymentView) -> Judgement:
    config = subject.deployment.spec.template.spec.dns_config
    observed = ABSENT if config is None else msgspec.to_builtins(config.options)
    return Judgement(WANTED, observed, Standing.FREE)


def given_up(name: str, reverts: int, minutes: float) -> Contest:
    until = NOW + timedelta(minutes=minutes)
    return Contest(
        f"{name} took spec.template.spec.dnsConfig.options back {reverts} times within 600 s; "
        f"left alone until {until:%Y-%m-%d %H:%M:%S} UTC",
        until,
    )


STUBBORN = claim("stubborn", "Update", 0.5)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        pytest.param(lost(claims=[STUBBORN]), None, id="the-first-loss"),
        pytest.param(lost(1, claims=[STUBBORN]), None, id="the-second-loss"),
        pytest.param(
            lost(2, 1, claims=[STUBBORN]),
            given_up("stubborn (Update)", 3, 9),
            id="the-third-loss-is-a-contest",
        ),
        pytest.param(lost(20, 1, claims=[STUBBORN]), None, id="not-within-one-window"),
        pytest.param(lost(12, 11, claims=[STUBBORN]), None, id="the-wait-is-over"),
        pytest.param(
            lost(12, 11, contests=1, claims=[claim("stubborn", "Update", 10)]),
            given_up("stubborn (Update)", 3, 9),
            id="the-second-wait-is-doubled",
        ),
        pytest.param(
            lost(2, 1, claims=[claim("flux", "Apply", 0.5)]),
            None,
            id="a-server-side-apply-that-wrote-last-has-let-go",
        ),
        pytest.param(
            lost(2, 1, claims=[claim("flux", "Apply", 30)]),
            given_up("a manager that left no trace", 3, 9),
            id="who-wrote-before-us-did-not-take-it",
        ),
        pytest.param(
            lost(2, 1, options=[], claims=[claim("argocd-controller", "Apply", owns=True)]),
            given_up("Git (Argo CD; argocd-controller, Apply)", 3, 9),
            id="replaced-by-another-value",
        ),
        pytest.param(lost(2, 1, options=[]), None, id="nobody-owns-the-value-any-more"),
        pytest.param(
            lost(2, 1, options=REOPEN, claims=[claim("resilience-operator", "Apply", owns=True)]),
            None,
            id="not-lost-at-all",
        ),
    ],
)
def test_a_leaf_that_is_taken_back_three_times_is_left_alone(
    subject: DeploymentView, expected: Contest | None
) -> None:
    assert contested(judged(subject), subject, PATIENCE) == expected


def test_writes_that_repaired_nothing_are_no_reverts() -> None:
    writes = tuple(Apply(ago(minutes), 2) for minutes in (4, 3, 2, 1))
    other = tuple(Apply(ago(minutes), 2, ("spread",)) for minutes in (4, 3, 2))
    for applies in (writes, other):
        state = ObjectState("d-1", {str(DNS_OPTIONS): Held("dns-config", REOPEN)}, applies=applies)
        subject = view(deployment(), state=state)
        assert contested(judged(subject), subject, PATIENCE) is None


@pytest.mark.parametrize(
    ("repairs", "repaired", "before", "after"),
    [
        ((), (), 0, 0),
        ((1,), RULE, 0, 0),
        ((2, 1), RULE, 0, 1),
        ((2, 1), RULE, 3, 4),
        ((2, 1), (), 3, 3),  # a change of another rule meanwhile
        ((15,), RULE, 2, 2),  # the first try after giving up
        ((25,), RULE, 2, 0),  # a long peace
        ((2, 1), ("spread",), 1, 1),
    ],
)
def test_the_wait_grows_with_every_contest_and_is_forgotten_in_peace(
    repairs: tuple[float, ...], repaired: tuple[str, ...], before: int, after: int
) -> None:
    state = lost(*repairs, contests=before).state
    assert contests_after(state, repaired, NOW, PATIENCE) == after


POLICY = Policy(name="p", uid="p-1", generation=4, digest="d4")


def replica_set(revision: int, age: int, state: ObjectState | None = None) -> ReplicaSet:
    """A ReplicaSet of that revision, made `age` minutes ago, with a copy of our state."""
    annotations = {"deployment.kubernetes.io/revision": str(revision)}
    if state is not None:
        annotations[ANNOTATION] = encode(state)
    return msgspec.convert(
        {"metadata": {"name": f"web-{age}", "creationTimestamp": ago(age), "annotations": annotations}},
        ReplicaSet,
    )


def ours(revision: int, *, holds: bool = True, **more: Any) -> ObjectState:
    leaves = {str(DNS_OPTIONS): Held("dns-config", REOPEN)} if holds else {}
    made: dict[str, Any] = {"policies": {"p-1": 4}, "applies": (Apply(NOW, revision),), **more}
    return ObjectState("d-1", leaves, **made)


REFUSED = Quarantine(
    "Undone",
    "revision 2 with our change was rolled back to an earlier template (kubectl rollout undo, or a replace of "
    "the whole object); it is not repeated "
    "until the policy or the template changes",
    NOW,
    {"p-1": "d4"},
    3,
    ("dns-config",),
)


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        pytest.param([], None, id="nothing-ever-ran"),
        pytest.param([replica_set(3, 60), replica_set(2, 30, ours(2))], REFUSED, id="undone"),
        pytest.param([replica_set(1, 60), replica_set(2, 30, ours(2))], None, id="ours-runs"),
        pytest.param(
            [replica_set(3, 10), replica_set(2, 30, ours(2))], None, id="the-owner-pushed-a-new-template"
        ),
        pytest.param(
            [replica_set(3, 60, ours(3, holds=False)), replica_set(2, 30, ours(2))],
            None,
            id="we-gave-it-back",
        ),
        pytest.param(
            [replica_set(4, 60), replica_set(3, 70, ours(3, holds=False)), replica_set(2, 30, ours(2))],
            None,
            id="we-gave-it-back-and-the-owner-went-on",
        ),
        pytest.param(
            [replica_set(3, 60), replica_set(2, 30, ours(2, policies={"p-1": 3}))],
            None,
            id="the-policy-changed",
        ),
        pytest.param(
            [replica_set(3, 60), replica_set(2, 30, ours(1))],
            None,
            id="a-copy-that-the-owners-push-carried-on",
        ),
        pytest.param(
            [
                replica_set(3, 60),
                replica_set(2, 30, ObjectState("d-2", {"a": Held("r", 1)}, applies=(Apply(NOW, 2),))),
            ],
            None,
            id="a-copy-of-another-objects-state",
        ),
    ],
)
def test_a_rollout_undo_of_our_change_is_recognised(
    sets: list[ReplicaSet], expected: Quarantine | None
) -> None:
    assert undone(view(deployment(), replica_sets=sets), (POLICY,)) == expected


FAILED = Quarantine("RolloutFailed", "its rollout failed", NOW, {"p-1": "d4"}, 3, ("dns-config",))


@pytest.mark.parametrize(
    ("newest", "state", "distrust", "expected"),
    [
        pytest.param(
            ours(3, holds=False, quarantines=(FAILED,)), None, "", (FAILED,), id="replaced-as-a-whole"
        ),
        pytest.param(ours(3, holds=False, quarantines=(FAILED,)), ours(3), "", (), id="our-record-is-there"),
        pytest.param(ours(3, holds=False, quarantines=(FAILED,)), None, "edited", (), id="not-believed"),
        pytest.param(ours(2, holds=False, quarantines=(FAILED,)), None, "", (), id="a-later-template"),
        pytest.param(None, None, "", (), id="no-copy"),
    ],
)
def test_who_replaces_the_whole_object_does_not_lift_a_quarantine(
    newest: ObjectState | None, state: ObjectState | None, distrust: str, expected: Any
) -> None:
    sets = [replica_set(3, 60, newest), replica_set(1, 90)]
    known = view(deployment(), replica_sets=sets, state=state or ObjectState(), distrust=distrust)
    assert recorded(known) == expected


def test_what_we_hold_was_not_undone() -> None:
    sets = [replica_set(3, 60), replica_set(2, 30, ours(2))]
    assert undone(view(deployment(), replica_sets=sets, state=ours(2)), (POLICY,)) is None


@pytest.mark.parametrize(
    ("newest", "policy", "holds"),
    [
        (3, POLICY, True),
        (4, POLICY, False),  # somebody changed the template
        (3, Policy(name="p", uid="p-1", digest="d5"), False),
        (3, Policy(name="q", uid="q-1", digest="d4"), False),
    ],
)
def test_a_quarantine_ends_when_the_policy_or_the_template_changes(
    newest: int, policy: Policy, holds: bool
) -> None:
    subject = view(deployment(), replica_sets=[replica_set(newest, 10)])
    assert in_force(subject, REFUSED, policy) is holds
