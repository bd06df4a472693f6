"""Which kinds decisions wait for: all, but for a while and at the start alone what is beside the point."""

from types import SimpleNamespace
from typing import Any, cast

from resilience_operator.adapters.metrics import Metrics
from resilience_operator.adapters.session import Session
from resilience_operator.adapters.streams import FIRST_ANSWER, Streams
from resilience_operator.core.kinds import WATCHED


def test_what_is_beside_the_point_is_waited_for_at_the_start_and_not_for_long() -> None:
    now = 0.0
    clock: Any = SimpleNamespace(monotonic=lambda: now)
    streams = Streams(cast(Session, None), 90.0, Metrics(), clock)
    everything = {kind.plural for kind in WATCHED}
    assert set(streams.stale()) == everything
    now = FIRST_ANSWER + 1
    assert set(streams.stale()) == everything - {"applications"}
