"""The global stop: ConfigMap `resilience-operator` in the operator's namespace, key `pause`.

Run by serving, asked by reconcile before anything is written. Doubt stops: what cannot be read is as it
was, and paused if it was never read; a value that is neither true nor false is a pause.
"""

import logging
from collections.abc import Callable

from resilience_operator.api.answers import whole
from resilience_operator.api.client import Client, Clock
from resilience_operator.core.errors import ApiError, RequestFailed
from resilience_operator.core.kinds import CONFIG_MAP

log = logging.getLogger(__name__)

NAME = "resilience-operator"
KEY = "pause"
_NOT_PAUSED = frozenset({"", "false"})


class PauseSwitch:
    """Looks every `every` seconds; `on_change` is called when the answer changed."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        on_change: Callable[[], None],
        clock: Clock | None = None,
        every: float = 5.0,
    ) -> None:
        self._client = client
        self._path = CONFIG_MAP.path(namespace, NAME)
        self._on_change = on_change
        self._clock = clock or Clock()
        self._every = every
        self._paused: bool | None = None

    def paused(self) -> bool:
        """True where writing is stopped, or where it is not known yet."""
        return self._paused is not False

    def unread(self) -> bool:
        """True while nobody knows what the switch says."""
        return self._paused is None

    async def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            await self.look()
            await self._clock.sleep(self._every)

    async def look(self) -> None:
        """Read the switch once; a failure changes nothing."""
        try:
            paused = await self._read()
        except (RequestFailed, ValueError) as error:
            log.warning("the pause switch cannot be read, %s: %s", self._consequence(), error)
            return
        if paused != self._paused:
            self._paused = paused
            log.info("%s", "paused: nothing is written" if paused else "not paused")
            self._on_change()

    async def _read(self) -> bool:
        try:
            answer = await self._client.request("GET", self._path, timeout=self._every)
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        value = (whole(answer).get("data") or {}).get(KEY, "")
        return str(value).strip().lower() not in _NOT_PAUSED

    def _consequence(self) -> str:
        return "so nothing is written" if self.paused() else "so it stays off"
