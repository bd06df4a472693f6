"""Whoever replaces a whole object takes our record with our value; the operator remembers both, for a day."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from resilience_operator.cluster.leaves import GRACE, REPLICAS
from resilience_operator.cluster.objects.workloads import Claim
from resilience_operator.core.state import Apply, Held, ObjectState
from resilience_operator.engine.change import Verb
from resilience_operator.run.apply import Done, Report
from resilience_operator.run.last_writes import REMEMBERED, Reminders
from tests.support.views import NOW, deployment, view

HELD = {str(REPLICAS): Held("replicas", 3, 2), str(GRACE): Held("graceful-shutdown", 45, 30)}
WRITTEN = ObjectState("d-1", HELD, applies=(Apply(NOW, 2, ("replicas",)),))
OUTSIDE = ObjectState("d-1", {str(REPLICAS): HELD[str(REPLICAS)]}, applies=WRITTEN.applies)
THEIRS = Claim("argocd-controller", "Apply", leaves=frozenset([str(REPLICAS)]))


def report(state: ObjectState, done: Done = Done.DONE, verb: Verb = Verb.APPLY) -> Report:
    subject = deployment()
    change: Any = SimpleNamespace(
        object=subject.ref, owner=None, verb=verb, state=state, stamped=lambda now: state
    )
    return Report(change, done, NOW, "")


@pytest.mark.parametrize(
    ("reports", "replicas", "claims", "state", "expected"),
    [
        pytest.param([report(WRITTEN)], 2, (), ObjectState(), OUTSIDE, id="value-and-record-taken"),
        pytest.param(
            [report(WRITTEN)], 3, (THEIRS,), ObjectState(), OUTSIDE, id="ownership-and-record-taken"
        ),
        pytest.param([report(WRITTEN)], 3, (), ObjectState(), ObjectState(), id="only-the-record-taken"),
        pytest.param([report(WRITTEN)], 2, (), WRITTEN, WRITTEN, id="the-record-is-there"),
        pytest.param([], 2, (), ObjectState(), ObjectState(), id="after-a-restart"),
        pytest.param(
            [report(WRITTEN, Done.AGAIN)], 2, (), ObjectState(), ObjectState(), id="it-was-not-written"
        ),
        pytest.param(
            [report(WRITTEN), report(ObjectState(), verb=Verb.WITHDRAW)],
            2,
            (),
            ObjectState(),
            ObjectState(),
            id="we-gave-it-back",
        ),
    ],
)
def test_a_record_that_was_taken_with_our_value_is_remembered(
    reports: list[Report], replicas: int, claims: tuple[Claim, ...], state: ObjectState, expected: ObjectState
) -> None:
    reminders = Reminders()
    for one in reports:
        reminders.learn(one)
    subject = msgspec.structs.replace(deployment(replicas=replicas), claims=claims)
    assert reminders.remind(view(subject, state=state)).state == expected
    later = replace(view(subject, state=state), now=NOW + REMEMBERED + timedelta(seconds=1))
    assert reminders.remind(later).state == state
