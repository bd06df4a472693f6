"""Kopf made harmless: it watches, and writes nothing, on nobody's objects, and never gives up.

Used by embedding and handlers, for the Kopf that runs inside `resilience-operator run`. Measured
against Kopf 1.45: with event handlers alone, a finalizer name of our own and these storages it sends no
write; the guard is there for the day on which that changes.
"""

import random
import time
from collections.abc import Iterator
from typing import Any, NoReturn

import aiohttp
import kopf

from resilience_operator import __version__
from resilience_operator.api.credentials import Credentials
from resilience_operator.core.errors import OperatorError
from resilience_operator.core.kinds import POLICY
from resilience_operator.run.services import Settings

FINALIZER = "resilience.dev/kopf"
USER_AGENT = f"resilience-operator/{__version__} kopf"


class ForeignWriteError(OperatorError):
    """Kopf was about to write to something that is not ours: a fault of this program."""


def configure(kopf_settings: kopf.OperatorSettings, selector: str) -> None:
    """Kopf as a watcher that writes nothing, names nothing after itself, and never gives up."""
    kopf_settings.peering.standalone = True
    kopf_settings.posting.enabled = False
    # Kopf removes a finalizer of its own name wherever it finds it; this one is nobody else's.
    kopf_settings.persistence.finalizer = FINALIZER
    kopf_settings.persistence.diffbase_storage = NoDiffBase()
    kopf_settings.persistence.progress_storage = NoProgress()
    kopf_settings.watching.server_timeout = 600
    crd = f"metadata.name={POLICY.plural}.{POLICY.group}"
    kopf_settings.watching.field_selectors["apiextensions.k8s.io", "v1", "customresourcedefinitions"] = crd
    if selector:
        kopf_settings.watching.label_selectors[POLICY.group, POLICY.version, POLICY.plural] = selector
    kopf_settings.networking.error_backoffs = EndlessBackoffs()
    kopf_settings.networking.request_timeout = 60


async def guarded_session(settings: Settings) -> kopf.AiohttpSession:
    """The operator's credentials, in a session that refuses to write outside our API group."""
    credentials = Credentials(settings.kubeconfig or None, settings.context or None, time.monotonic)
    access = await credentials.access()

    async def guard(
        request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if request.method not in ("GET", "HEAD") and not request.url.path.startswith(
            f"/apis/{POLICY.group}/"
        ):
            raise ForeignWriteError(f"Kopf may not {request.method} {request.url.path}")
        request.headers.update((await credentials.access()).headers)
        request.server_hostname = access.server_name
        return await send(request)

    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=access.tls if access.tls is not None else True),
        headers={"User-Agent": USER_AGENT},
        proxy=access.proxy,
        middlewares=(guard,),
    )
    return kopf.AiohttpSession(server=access.server, aiohttp_session=session)


class EndlessBackoffs:
    """Waits of a request that fails, in seconds, without end: Kopf would otherwise end after 54 seconds."""

    def __iter__(self) -> Iterator[float]:
        wait = 1.0
        while True:
            yield wait * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
            wait = min(30.0, wait * 2)


class NoDiffBase(kopf.DiffBaseStorage):
    """Nothing is remembered on the object: a level-triggered operator does not ask what changed."""

    def build(self, **_: Any) -> Any:
        """Nothing to compare."""
        return {}

    def fetch(self, **_: Any) -> None:
        """Nothing was stored."""

    def store(self, **_: Any) -> NoReturn:
        """Never called while there are event handlers alone."""
        raise ForeignWriteError("Kopf may not store what it handled last")


class NoProgress(kopf.ProgressStorage):
    """Nothing is remembered of handlers either."""

    def fetch(self, **_: Any) -> None:
        """Nothing was stored."""

    def store(self, **_: Any) -> NoReturn:
        """Never called while there are event handlers alone."""
        raise ForeignWriteError("Kopf may not store the progress of handlers")

    def purge(self, **_: Any) -> None:
        """Nothing to remove."""

    def touch(self, **_: Any) -> None:
        """Nothing to write."""

    def clear(self, *, essence: Any) -> Any:
        """Nothing of it is in the object."""
        return essence
