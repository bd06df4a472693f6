"""Kopf's handlers of our own kind: events of policies are handed on, nothing is decided and nothing written.

`register` is called by embedding for the Kopf inside `resilience-operator run`, the one way in which Kopf is hosted:
`kopf run` would end with Kopf, at a 403 or at answers of 5xx beyond its retries.
"""

from collections.abc import Callable
from typing import Any

import kopf

from resilience_operator.core.kinds import POLICY
from resilience_operator.run.kopf_guard import guarded_session
from resilience_operator.run.services import Settings

Sink = Callable[[str | None, dict[str, Any]], None]
"""Takes the type of a watch event (None: listed) and the policy as the API server gave it."""


def register(registry: kopf.OperatorRegistry, sink: Sink, settings: Callable[[], Settings]) -> None:
    """Make known to a registry what Kopf needs of us: a login, and the one handler."""

    @kopf.on.login(id="login", registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return await guarded_session(settings())

    @kopf.on.event(POLICY.group, POLICY.version, POLICY.plural, id="policy", registry=registry)
    async def policy(event: kopf.RawEvent, **_: Any) -> None:
        sink(event["type"], dict(event["object"]))
