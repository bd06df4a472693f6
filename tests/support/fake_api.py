"""A client that answers from a table and remembers what it was asked, for adapters that only read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any


class FakeApi:
    """`answer` is called for each request with (path, params); it may raise what a session raises."""

    def __init__(self, answer: Callable[[str, Mapping[str, str]], Any]) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._answer = answer

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        timeout: float = 30.0,  # noqa: ASYNC109
        before_send: Callable[[], None] | None = None,
    ) -> bytes:
        """Answer a GET."""
        assert method == "GET"
        self.asked.append((path, dict(params or {})))
        return json.dumps(self._answer(path, params or {})).encode()
