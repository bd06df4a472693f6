"""Which kinds decisions wait for: all, but for a while and at the start alone what is beside the point."""

from types import SimpleNamespace
from typing import Any, cast

from resilience_operator.api.metrics import Metrics
from resilience_operator.api.session import Session
from resilience_operator.api.streams import FIRST_ANSWER, Streams
from resilience_operator.targets import KINDS, new_store


def test_what_is_beside_the_point_is_waited_for_at_the_start_and_not_for_long() -> None:
    now = 0.0
    clock: Any = SimpleNamespace(monotonic=lambda: now)
    streams = Streams(cast(Session, None), new_store(), 90.0, Metrics(), clock)
    everything = {kind.plural for kind in KINDS}
    assert set(streams.stale()) == everything
    now = FIRST_ANSWER + 1
    assert set(streams.stale()) == everything - {"applications"}
