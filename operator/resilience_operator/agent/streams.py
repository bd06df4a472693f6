"""A list kept fresh by a watch, in a thread of its own, through every outage. Called by the agent for its two kinds.

What was last heard stays while the API server is away: nothing is forgotten because nobody answers, and nothing grows.
"""

import http.client
import random
import threading
from collections.abc import Callable, Mapping
from typing import Any

from resilience_operator.agent.api import Api, ApiError
from resilience_operator.agent.log import log

Body = Mapping[str, Any]

SHORTEST, LONGEST = 1.0, 60.0
"""Seconds between two attempts."""

LASTS = 300
"""Seconds that a watch is asked for, give or take a quarter: the server's load is spread, and tokens are renewed."""

PAGE = 20
"""Objects of a list in one answer."""

MOST = 1000
"""Objects of a list; more is refused, not held."""


class Stream(threading.Thread):
    """Lists, then watches; tells each whole list and each change. Ends soon after `stop` is set."""

    def __init__(
        self,
        api: Api,
        path: str,
        params: Mapping[str, str],
        listed: Callable[[list[Body]], None],
        changed: Callable[[str, Body], None],
    ) -> None:
        super().__init__(name=path.rpartition("/")[2], daemon=True)
        self._api, self._path, self._params = api, path, dict(params)
        self._listed, self._changed = listed, changed
        self.stop = threading.Event()
        self._version = ""

    def run(self) -> None:
        """List and watch until stopped."""
        waits = SHORTEST
        while not self.stop.is_set():
            try:
                self._version = self._version or self._list()
                heard = self._watch(self._version)
                waits = SHORTEST if heard else waits
            except ApiError as error:
                # 410: the version is too old. Any other doubt lists anew as well: a missed delete is never made up for.
                self._version = ""
                log(f"{self._path}: {error}")
                waits = max(waits, error.retry_after)
            except TimeoutError:
                # Silence may be half-open, or a kind of which nothing happened and so no bookmark came: no failure yet.
                waits = SHORTEST
            except (OSError, http.client.HTTPException) as error:
                log(f"{self._path}: {error}")
            self.stop.wait(waits * random.uniform(0.5, 1.5))  # noqa: S311  - jitter
            waits = min(waits * 2, LONGEST)

    def _list(self) -> str:
        found: list[Body] = []
        version, params = "", {**self._params, "limit": str(PAGE)}
        while True:
            body = self._api.get(self._path, params)
            items, meta = body.get("items") or [], body.get("metadata") or {}
            found += [one for one in items if isinstance(one, dict)]
            version = str(meta.get("resourceVersion", ""))
            if len(found) > MOST:
                raise ApiError(0, f"more than {MOST} objects")
            if not meta.get("continue"):
                break
            params["continue"] = str(meta["continue"])
        self._listed(found)
        return version

    def _watch(self, version: str) -> bool:
        """Whether anything was heard before the server ended it."""
        lasts = int(LASTS * random.uniform(0.75, 1.25))  # noqa: S311  - jitter
        asked = {
            **self._params,
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(lasts),
        }
        heard = False
        for event in self._api.watch(self._path, asked):
            kind, body = event.get("type"), event.get("object")
            if kind == "ERROR" or not isinstance(body, dict):
                code = body.get("code", 0) if isinstance(body, dict) else 0
                raise ApiError(code if isinstance(code, int) else 0, f"the watch ended: {str(body)[:200]}")
            if kind in ("ADDED", "MODIFIED", "DELETED"):
                self._changed(str(kind), body)
            self._version = str((body.get("metadata") or {}).get("resourceVersion", ""))
            heard = True
            if self.stop.is_set():
                break
        return heard
