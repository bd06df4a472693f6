"""Which admission webhooks the API server cannot call, as it says itself where it refuses a write of ours for it.

Where a dead webhook keeps kubelets and controllers from writing, its EndpointSlice goes on to say that it is ready:
then nobody else can tell. Fed by the session with every answer to a write, told to the store. What a webhook itself
answers never begins like this, so none can speak of another.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from resilience_operator.core.kinds import WEBHOOK_CALLS, Kind
from resilience_operator.core.target import FailingCall

_FAILED = re.compile(r'Internal error occurred: failed calling webhook "([a-z0-9.-]{1,253})": ')
"""How the API server words it (apiserver/pkg/admission/plugin/webhook/errors: ErrCallingWebhook)."""
MOST = 64
"""Webhooks that are remembered."""
COARSE = timedelta(seconds=5)
"""How exact the time of the last failure is told: else each would be news."""
FORGOTTEN = timedelta(minutes=2)
"""After which a failure that nothing followed says nothing any more."""


class WebhookCalls:
    """Webhook -> since when calls of it fail; over as soon as the write that met it passes."""

    def __init__(
        self,
        tell: Callable[[Kind, Mapping[str, FailingCall]], None],
        now: Callable[[], datetime],
    ) -> None:
        self._tell = tell
        self._now = now
        self._failing: dict[str, FailingCall] = {}
        self._met: dict[str, str] = {}
        """Webhook -> the write that met it last."""

    def answered(self, write: str, message: str) -> None:
        """A write was answered; `message`: why it was refused, "" where it passed."""
        found = _FAILED.match(message)
        if found is not None:
            name, now = found[1], self._now()
            kept = {one: call for one, call in self._failing.items() if now - call.last < FORGOTTEN}
            self._met = {one: met for one, met in self._met.items() if one in kept} | {name: write}
            known = kept.get(name)
            if len(kept) < MOST and (known is None or now - known.last >= COARSE):
                self._put({**kept, name: FailingCall(known.since if known else now, now)})
        elif not message and write in self._met.values():
            over = {name for name, met in self._met.items() if met == write}
            self._met = {name: met for name, met in self._met.items() if name not in over}
            self._put({name: one for name, one in self._failing.items() if name not in over})

    def _put(self, failing: dict[str, FailingCall]) -> None:
        self._failing = failing
        self._tell(WEBHOOK_CALLS, failing)
