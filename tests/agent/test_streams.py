"""The agent's watch: silence opens it anew from where it was, and at once; only a failure makes it wait longer."""

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from resilience_operator.agent.api import Api
from resilience_operator.agent.streams import SHORTEST, Stream


class Server(Api):
    """Lists one version; each watch ends as the test says."""

    def __init__(self, end: Exception) -> None:
        self.asked: list[str] = []
        self._end = end

    def get(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        self.asked.append("list")
        return {"metadata": {"resourceVersion": "7"}}

    def watch(self, path: str, params: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        self.asked.append(f"watch {params['resourceVersion']}")
        raise self._end


class Waits(threading.Event):
    """Notes how long the stream would wait; it is set at the fifth."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.asked.append(timeout or 0.0)
        if len(self.asked) == 5:
            self.set()
        return self.is_set()


@pytest.mark.parametrize(("end", "grows"), [(TimeoutError(), False), (ConnectionRefusedError(), True)])
def test_a_silent_watch_goes_on_at_once_without_a_new_list(end: Exception, grows: bool) -> None:
    server, waits = Server(end), Waits()
    stream = Stream(server, "/api/v1/things", {}, lambda items: None, lambda change, body: None)
    stream.stop = waits
    stream.run()
    assert server.asked == ["list", *["watch 7"] * 5]
    assert (max(waits.asked) > 1.5 * SHORTEST) is grows
