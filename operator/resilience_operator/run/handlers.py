"""Kopf's handlers of our own kind: events of policies are handed on, nothing is decided and nothing written.

`register` is called by embedding for the Kopf inside `resilience-operator run`. For `kopf run -m
resilience_operator.run.handlers` the module is registered with Kopf's default registry: Kopf's start-up then
runs the whole operator beside it, with the flags that $RESILIENCE_OPERATOR_FLAGS holds.
"""

import os
import shlex
from collections.abc import Callable
from typing import Any

import kopf

from resilience_operator.core.kinds import POLICY
from resilience_operator.run import flags
from resilience_operator.run.kopf_guard import configure, guarded_session
from resilience_operator.run.services import Settings
from resilience_operator.run.serving import OperatorThread

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


def settings_of_environment() -> Settings:
    """The flags in $RESILIENCE_OPERATOR_FLAGS, written as on a command line."""
    return flags.parse(["run", *shlex.split(os.environ.get(flags.ENVIRONMENT, ""))])


_operator = OperatorThread(settings_of_environment)


@kopf.on.startup()
async def startup(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Run the operator beside Kopf, in a thread with a loop of its own."""
    configure(settings, _operator.settings.policy_selector)
    _operator.start()


@kopf.on.cleanup()
async def cleanup(**_: Any) -> None:
    """Stop the operator: it gives the Lease back."""
    await _operator.stop()


register(kopf.get_default_registry(), _operator.policy_event, lambda: _operator.settings)
