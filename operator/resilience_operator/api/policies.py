"""Brings policies from the API server to reconcile: events by way of Kopf's handlers, and whole lists of
its own.

Started by serving. Kopf loses deletions across a broken watch and repeats what it lists; a list at the
start, every `resync` seconds and after each of Kopf's own lists is the truth, and events only make it
faster. Nothing older than what is known is handed on.
"""

import asyncio
import json
import logging
from typing import Any, Protocol

from resilience_operator.api.client import Client, Clock
from resilience_operator.api.pacing import Backoff
from resilience_operator.core.errors import ApiError, RequestFailed
from resilience_operator.core.kinds import POLICY
from resilience_operator.core.selectors import parse_selector

log = logging.getLogger(__name__)

_PAGE = 500
_GONE = 410
_BETWEEN_LISTS = 1.0

Raw = dict[str, Any]


class PolicySink(Protocol):
    """Who wants policies as the API server gives them: the reconciler."""

    def policy_changed(self, raw: Raw, deleted: bool) -> None:
        """One policy is there, changed, or gone."""
        ...

    def policies_replaced(self, raws: list[Raw]) -> None:
        """These are all policies that there are."""
        ...

    def policies_outside(self, raws: list[Raw]) -> None:
        """These are there as well, and their labels do not match the selector: they are not served."""
        ...


class PolicyFeed:
    """`event` and `run` belong to one event loop; `listed` is True once a list was handed on."""

    def __init__(
        self, client: Client, sink: PolicySink, *, selector: str, resync: float, clock: Clock | None = None
    ) -> None:
        self.listed = False
        self._client = client
        self._sink = sink
        self._selector = parse_selector(selector)
        self._selects = bool(selector)
        self._resync = resync
        self._clock = clock or Clock()
        self._versions: dict[str, int] = {}
        self._events = 0
        self._again = asyncio.Event()

    def event(self, kind: str | None, raw: Raw) -> None:
        """Take a watch event: ADDED, MODIFIED, DELETED, or None where Kopf listed."""
        if kind is None or (kind == "DELETED" and self._selects):
            self._again.set()  # What is called deleted may only have left the selector.
        uid, version = raw["metadata"]["uid"], _version(raw)
        if version <= self._versions.get(uid, -1):
            return
        self._versions[uid] = version
        self._events += 1
        self._sink.policy_changed(raw, kind == "DELETED")

    async def run(self) -> None:
        """List, wait, and list again, for ever."""
        backoff = Backoff(first=1.0)
        while True:
            try:
                await self._replace()
            except (RequestFailed, ValueError) as error:
                log.warning("policies could not be listed: %s", error)
                await self._clock.sleep(backoff.next(getattr(error, "retry_after", None)))
                continue
            backoff.reset()
            await self._clock.sleep(min(_BETWEEN_LISTS, self._resync))
            await self._clock.wait(self._again, self._resync - _BETWEEN_LISTS)

    async def _replace(self) -> None:
        self._again.clear()
        events = -1
        # An event that comes during the list may be newer than the list: then it is asked for again.
        while events != self._events:
            events = self._events
            raws = await self._list()
        self._versions = {raw["metadata"]["uid"]: _version(raw) for raw in raws}
        self._sink.policies_replaced([raw for raw in raws if self._served(raw)])
        self._sink.policies_outside([raw for raw in raws if not self._served(raw)])
        self.listed = True

    def _served(self, raw: Raw) -> bool:
        return self._selector.matches(raw["metadata"].get("labels") or {})

    async def _list(self) -> list[Raw]:
        raws: list[Raw] = []
        more = ""
        while True:
            try:
                page = json.loads(await self._client.request("GET", POLICY.path(), params=self._params(more)))
            except ApiError as error:
                if error.status != _GONE or not more:
                    raise
                raws, more = [], ""
                continue
            raws += page.get("items") or []
            more = page["metadata"].get("continue", "")
            if not more:
                return raws

    def _params(self, more: str) -> dict[str, str]:
        return {"limit": str(_PAGE)} | ({"continue": more} if more else {})


def _version(raw: Raw) -> int:
    """The resourceVersion as a number; it grows with every write (Kubernetes 1.35 promises it)."""
    text = str(raw["metadata"].get("resourceVersion", ""))
    return int(text) if text.isdigit() else 0
