"""Carries out the changes of the EKS add-on, beside the passes: first our note in the cluster, then AWS. Called by
reconcile.

It is the annotation of coredns/addon_state, written with the Deployment's uid and resourceVersion as precondition.
It says what is about to be written and what was there before, so that an end between the two writes loses nothing:
which of them were done is read from AWS by whoever looks next.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from resilience_operator.api.client import NotLeader
from resilience_operator.api.write import Writer, Written
from resilience_operator.cluster.leaves import CONFIGURATION
from resilience_operator.cluster.objects.workloads import Addon
from resilience_operator.core.errors import RequestFailed, UnreadableObjectError
from resilience_operator.core.kinds import DEPLOYMENT
from resilience_operator.core.state import ADDON_ANNOTATION, ObjectState
from resilience_operator.engine.change import Change, Verb
from resilience_operator.outside.eks import AddonError, Busy, Denied, NoCredentials, NotFound, Unanswered
from resilience_operator.outside.feed import AddonFeed
from resilience_operator.run.apply import Done, Report, let_go_of, report_of
from resilience_operator.run.services import Services
from resilience_operator.targets.coredns import addon_state as addons
from resilience_operator.targets.coredns.addon_floor import by_hand
from resilience_operator.targets.workloads.view import View

log = logging.getLogger(__name__)

BUSY_WAIT = 5.0
UNANSWERED_WAIT = 30.0
NO_ACCESS_WAIT = timedelta(minutes=15)
"""Rights at AWS are granted outside the cluster: nothing here tells that they were."""

_POINTER = f"/metadata/annotations/{ADDON_ANNOTATION.replace('/', '~1')}"


@dataclass(frozen=True, slots=True)
class Step:
    """What is done: the note to be written (None: it is removed), and the configuration for AWS, None for none."""

    note: str | None
    here: str
    there: str | None = None


class AddonUpdates:
    """One change at a time; `ended` is called with what became of it, in the loop of the passes."""

    def __init__(self, services: Services, ended: Callable[[Report], None]) -> None:
        self._services = services
        self._ended = ended
        self._task: asyncio.Task[None] | None = None

    def start(self, change: Change, now: datetime) -> None:
        """Begin with a change, unless one is under way."""
        if self._task is None or self._task.done():
            log.info("%s %s: %s", change.verb.lower(), change.object, change.reason, extra=change.about)
            self._task = asyncio.create_task(self._run(change, now), name="eks add-on's update")

    def stop(self) -> None:
        """Give up: what was sent is with AWS, and what was noted is with the API server."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self, change: Change, now: datetime) -> None:
        services = self._services
        view = None
        with suppress(UnreadableObjectError):
            view = services.store.look(addons.KEY, now, services.server_version)
        if services.addons is None or view is None:
            self._ended(Report(change, Done.AGAIN, now, "the add-on is not looked at any more", stale=True))
            return
        self._ended(await carry_out(services.writer, services.addons, change, view, now))


async def carry_out(writer: Writer, feed: AddonFeed, change: Change, view: View, now: datetime) -> Report:
    """Note the change, and send it to AWS where AWS is to be changed; never raises for what either answers."""
    meta, addon = view.target.metadata, view.target
    if not isinstance(addon, Addon) or change.resource_version != meta.resource_version or addon.busy:
        return Report(change, Done.AGAIN, now, "the add-on changed since it was decided about", stale=True)
    step = _step(change, view, addon, now)
    noted = await _note(writer, change, step.note, now)
    if noted.done is not Done.DONE or step.there is None:
        return replace(noted, left_alone=tuple(change.adopted))
    try:
        await feed.update(step.here, step.there)
    except NotLeader as error:
        return Report(change, Done.AGAIN, now, str(error))
    except AddonError as error:
        return _failed(change, error, addon, step.there, now)
    done = Done.DONE if change.verb is Verb.APPLY else Done.UNDERWAY
    return Report(change, done, now, f"{change.reason}; EKS accepted the update")


def _step(change: Change, view: View, addon: Addon, now: datetime) -> Step:
    here, policies = addon.reading.configuration, {one.uid: one.digest for one in change.policies}
    if change.verb is Verb.APPLY:
        state = _noted(change.stamped(now))
        if not change.written:
            return Step(addons.written(state, None), here)
        there = str(change.leaves[CONFIGURATION])
        intent = addons.intent(addon.reading, there, policies)
        return Step(addons.written(state, intent), here, there)
    held = change.given_back.get(addons.LEAF)
    there = addons.given_back(held.was) if held is not None else here
    if held is None or here in (held.was, there):
        after = _noted(change.state)
        return Step(addons.written(after, None) if after else None, here)
    return Step(
        addons.written(_noted(view.state), addons.intent(addon.reading, there, policies)), here, there
    )


def _noted(state: ObjectState) -> ObjectState:
    """The state without what AWS says of itself: that EKS did not take an update."""
    kept = tuple(one for one in state.quarantines if one.reason != addons.UPDATE_FAILED)
    return replace(state, quarantines=kept)


async def _note(writer: Writer, change: Change, note: str | None, now: datetime) -> Report:
    """Write the annotation, or remove it; nothing where it says the same already, but for the time."""
    namespace, name = addons.PLACE
    ref = replace(change.object, api_version="apps/v1", kind="Deployment", namespace=namespace, name=name)
    try:
        raw = await writer.read(DEPLOYMENT, ref)
    except RequestFailed as error:
        return Report(change, Done.AGAIN, now, str(error), retry_after=1.0)
    meta = raw["metadata"]
    if addons.uid_of(meta["uid"]) != change.object.uid or meta["resourceVersion"] != change.resource_version:
        return Report(change, Done.AGAIN, now, "the Deployment changed since it was read", stale=True)
    present = (meta.get("annotations") or {}).get(ADDON_ANNOTATION)
    if present == note or (present and note and _timeless(present) == _timeless(note)):
        return Report(change, Done.DONE, now, change.reason)
    ops = [
        {"op": "test", "path": "/metadata/uid", "value": meta["uid"]},
        {"op": "test", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
        *_ops(meta, note),
    ]
    outcome = await writer.json_patch(DEPLOYMENT, ref, ops)
    await let_go_of(writer, DEPLOYMENT, ref, outcome)
    if isinstance(outcome, Written):
        return Report(change, Done.DONE, now, change.reason)
    return report_of(change, outcome, now)


def _ops(meta: Mapping[str, Any], note: str | None) -> list[dict[str, Any]]:
    if note is None:
        return [{"op": "remove", "path": _POINTER}]
    if not meta.get("annotations"):
        return [{"op": "add", "path": "/metadata/annotations", "value": {ADDON_ANNOTATION: note}}]
    return [{"op": "add", "path": _POINTER, "value": note}]


def _timeless(note: str) -> object:
    try:
        body = json.loads(note)
    except ValueError:  # Somebody edited it.
        return note
    return {key: value for key, value in body.items() if key != "applies"} if isinstance(body, dict) else body


def _failed(change: Change, error: AddonError, addon: Addon, there: str, now: datetime) -> Report:
    if isinstance(error, Busy):
        return Report(change, Done.AGAIN, now, str(error), retry_after=BUSY_WAIT)
    if isinstance(error, Unanswered):
        return Report(change, Done.AGAIN, now, str(error), retry_after=UNANSWERED_WAIT)
    message = f"{error}; {by_hand(addon.reading.cluster, there)}"
    no_access = isinstance(error, Denied | NoCredentials | NotFound)
    return Report(change, Done.REFUSED, now, message, until=now + NO_ACCESS_WAIT if no_access else None)
