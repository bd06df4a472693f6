"""What refusals of our own writes say of webhooks that cannot be called, and what nobody can make them say."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from resilience_operator.api.webhook_calls import MOST, WebhookCalls
from resilience_operator.core.target import FailingCall
from tests.support.views import NOW

LEASE, STATUS = (
    "PUT /apis/coordination.k8s.io/v1/namespaces/x/leases/y",
    "PATCH /apis/resilience.dev/v1alpha1/z/status",
)
REFUSED = (
    'Internal error occurred: failed calling webhook "{}": failed to call webhook: Post "https://guard.guard.svc:443/'
    '?timeout=2s": dial tcp 10.96.0.77:443: connect: connection refused'
)


class Heard:
    """What is told, and the time."""

    def __init__(self) -> None:
        self.now = NOW
        self.told: list[Mapping[str, FailingCall]] = []
        self.calls = WebhookCalls(lambda _, reading: self.told.append(reading), lambda: self.now)

    def answered(self, write: str, message: str, after: float = 0) -> Mapping[str, FailingCall]:
        """What is known after that answer."""
        self.now += timedelta(seconds=after)
        self.calls.answered(write, message)
        return self.told[-1] if self.told else {}


def test_a_webhook_fails_since_its_first_refusal_until_the_same_write_passes() -> None:
    heard, name = Heard(), "guard.example.dev"
    assert heard.answered(LEASE, REFUSED.format(name)) == {name: FailingCall(NOW, NOW)}
    later = NOW + timedelta(seconds=6)
    assert heard.answered(LEASE, REFUSED.format(name), 6) == {name: FailingCall(NOW, later)}
    assert heard.answered(STATUS, "") == {name: FailingCall(NOW, later)}
    assert heard.answered(LEASE, "", 60) == {}


@pytest.mark.parametrize(
    "message",
    [
        "",
        "conflict",
        'admission webhook "evil.example.dev" denied the request: ' + REFUSED.format("guard.example.dev"),
        REFUSED.format("GUARD"),
        REFUSED.format("x" * 254),
    ],
)
def test_nothing_else_says_so(message: str) -> None:
    """A webhook that answers can say anything, but not at the beginning."""
    assert Heard().answered(LEASE, message) == {}


def test_no_more_than_some_are_remembered_and_the_old_make_room() -> None:
    heard = Heard()
    for number in range(MOST + 5):
        known = heard.answered(LEASE, REFUSED.format(f"w{number}"))
    assert len(known) == MOST
    assert heard.answered(LEASE, REFUSED.format("new"), 121).keys() == {"new"}
