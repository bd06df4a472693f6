"""Which requests each known webhook reaches: the table of configurations.py, which test_reach_lab holds to a server."""

import msgspec
import pytest

from resilience_operator.targets.webhooks.objects import Webhook
from resilience_operator.targets.webhooks.reach import reach
from resilience_operator.targets.webhooks.requests import protected, restart
from tests.targets.webhooks.configurations import CASES, OWN, PROTECTED, Case

NAMESPACES = {"kube-system": {"exempt": "true"}, "kube-node-lease": {}, OWN: {}}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_webhook_reaches_exactly_these_requests(case: Case) -> None:
    """The first that it blocks, how many are sent for certain, and how many may be."""
    webhook = msgspec.convert(case.webhook(), Webhook)
    found = [(one, reach(webhook, one, NAMESPACES).sent) for one in (*protected(PROTECTED), *restart(OWN))]
    sent = [one for one, is_sent in found if is_sent]
    blocked = [str(one) for one in sent if one.namespace != OWN and webhook.fails_closed]
    maybe = [one for one, is_sent in found if is_sent is None]
    assert (next(iter(blocked), ""), len(sent), len(maybe)) == (case.first, case.sent, case.maybe)


def test_what_hangs_on_labels_that_are_not_known_is_said() -> None:
    """Without its Namespace, a selector by any label but the name leaves open whether a request is sent."""
    case = next(one for one in CASES if one.name == "opted-in")
    found = reach(msgspec.convert(case.webhook(), Webhook), protected(PROTECTED)[0], {})
    assert (found.sent, found.because) == (None, "labels of its Namespace that are not known")
