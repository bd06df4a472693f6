"""What becomes of a change once the API server, or AWS, has answered: remembered, and looked at again. Used by
reconcile.

Nothing of it is needed for safety: a restart decides anew from what is observed.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from resilience_operator.api.write import Forbidden
from resilience_operator.core.errors import UnreadableObjectError
from resilience_operator.core.plain import plain
from resilience_operator.core.refs import ObjectRef, key_of
from resilience_operator.engine.change import Change, Verb
from resilience_operator.engine.contest import MAX_REVERTS
from resilience_operator.run.apply import Done, Report, rehearse, show
from resilience_operator.run.decisions import Decided
from resilience_operator.run.memory import UNKNOWN_FOR, Memory, Unknown, fingerprint
from resilience_operator.run.services import Services
from resilience_operator.targets import KIND_BY_NAME
from resilience_operator.targets.coredns import addon_state as addons
from resilience_operator.targets.workloads.view import View

log = logging.getLogger(__name__)

READ_WAIT = 1.0
"""Seconds that a pass waits for what is read of writes without an answer."""
_TRIED_AGAIN = frozenset({Verb.WITHDRAW, Verb.LET_GO, Verb.DELETE})
"""What is not given up where the API server refuses it: it takes something of ours away."""

NO_REFRESH = 3600.0
"""Seconds until Argo CD is asked again to look, where the operator may not."""


class Aftermath:
    """Takes reports in; `window`: within it, what is done again and again is counted."""

    def __init__(self, services: Services, cluster: Decided, memory: Memory, window: timedelta) -> None:
        self._services = services
        self._cluster = cluster
        self._memory = memory
        self._window = window
        self._reads: dict[str, asyncio.Task[bool]] = {}

    async def find_refused_rules(self, report: Report) -> None:
        """A refused apply is rehearsed rule by rule, so that one bad rule does not take the others down."""
        refusals = await rehearse(self._services.writer, report.change, report.at)
        self.refuse(report, refusals or dict.fromkeys(report.change.rules, report.message))

    def refuse(self, report: Report, refusals: Mapping[str, str]) -> None:
        """Remember rule -> why it is refused on the object as it is now."""
        view = self._view(report)
        if view is None:
            return
        mark = fingerprint(view, self._cluster.accepted())
        for rule, message in refusals.items():
            self._memory.refuse(report.change.object.uid, rule, mark, message, report.until)

    def remember(self, report: Report) -> bool:
        """Remember of an object of ours what is not to be tried again; False where the same was told before.

        A removal is tried again, for it may hold up a drain, or its policy.
        """
        change = report.change
        if change.owner is None or report.done is Done.AGAIN:
            return True
        view = self._view(report)
        if view is None:
            return True
        uid, (rule, *_), mark = view.ref.uid, change.rules, fingerprint(view, self._cluster.accepted())
        if report.done is Done.REFUSED:
            known = self._memory.known_refusal(uid, rule)
            self._memory.refuse(uid, rule, mark, report.message)
            return known != report.message
        self._memory.accepted(uid, rule)
        window = self._window
        if change.verb is not Verb.DELETE and self._memory.repeated(uid, rule, mark, report.at, window):
            often = f"{MAX_REVERTS} times within {int(window.total_seconds())} s"
            why = (
                f"{change.object.kind} {change.object.name} was made or put back {often} and did not stay so"
            )
            self._memory.refuse(
                uid, rule, mark, f"{why}: left alone until the Deployment or a policy changes"
            )
        return True

    def settle(self, report: Report) -> None:
        """Look at the object again; after a failure not before its back-off ends."""
        place = report.change.object.key
        self._cluster.due.add(key_of(report.change.subject))
        if report.unsent:
            return
        if report.done in (Done.DONE, Done.UNDERWAY):
            self._memory.succeeded(place)
            self._memory.unknown.pop(_mark(report.change), None)
            return
        message, monotonic = plain(report.message), self._services.monotonic()
        log.warning(
            "%s %s: %s", report.change.verb.lower(), report.change.object, message, extra=report.change.about
        )
        if report.forbidden:
            self._memory.forbidden(place, message, monotonic)
        elif report.done is Done.AGAIN or report.change.verb in _TRIED_AGAIN:
            self._memory.failed(place, monotonic, report.retry_after, message, stale=report.stale)
        if report.unknown:
            ref = _read_of(report.change.object)
            self._memory.unknown[_mark(report.change)] = Unknown(place, ref, monotonic)

    def told(self, report: Report) -> Report | None:
        """The report as people are told of it; None where they know it, or where it is tried again first."""
        if report.done is Done.AGAIN and self._memory.fails_for_good(report.change.object.key):
            return replace(
                report, done=Done.FAILED, message=f"the last write failed: {plain(report.message)}"
            )
        if report.done in (Done.AGAIN, Done.UNDERWAY):
            return None
        return report if self.remember(report) else None

    async def show(self, reports: Sequence[Report]) -> None:
        """Ask Argo CD to look at each Application of which something was given back, once for all of its objects."""
        done = [one.change for one in reports if one.done is Done.DONE and one.change.verb is Verb.WITHDRAW]
        applications = {change.application: None for change in done if change.application is not None}
        monotonic = self._services.monotonic()
        if monotonic < self._memory.no_refresh_until:
            return
        outcomes = await asyncio.gather(*(show(self._services.writer, one) for one in applications))
        if any(isinstance(outcome, Forbidden) for outcome in outcomes):
            self._memory.no_refresh_until = monotonic + NO_REFRESH

    async def learn_unknown_ends(self) -> None:
        """Read every object whose last write may or may not have been done; a slow answer is taken by a later pass."""
        for mark, one in list(self._memory.unknown.items()):
            if mark not in self._reads:
                self._reads[mark] = asyncio.create_task(self._read(one))
        if self._reads:
            await asyncio.wait(self._reads.values(), timeout=READ_WAIT)
        monotonic = self._services.monotonic()
        for mark, read in [(mark, read) for mark, read in self._reads.items() if read.done()]:
            del self._reads[mark]
            if read.result():
                self._memory.unknown.pop(mark, None)
        for mark, one in list(self._memory.unknown.items()):
            if monotonic >= one.since + UNKNOWN_FOR:
                log.warning("what became of the last write to %s is taken from its watch", one.ref)
                self._memory.unknown.pop(mark)

    async def _read(self, one: Unknown) -> bool:
        try:
            return await self._services.writer.refresh(KIND_BY_NAME[one.ref.kind], one.ref)
        except Exception:
            log.exception("what was read of %s cannot be taken over", one.ref)
            return False

    def stop(self) -> None:
        """Nobody waits for what is being read."""
        for read in self._reads.values():
            read.cancel()

    def _view(self, report: Report) -> View | None:
        key = key_of(report.change.subject)
        with suppress(UnreadableObjectError):
            return self._services.store.look(key, report.at, self._services.server_version)
        return None


def _read_of(ref: ObjectRef) -> ObjectRef:
    """What the API server is asked of it: of an add-on, the Deployment that bears our note."""
    return ObjectRef("apps/v1", "Deployment", *addons.PLACE) if ref.kind == addons.KIND else ref


def _mark(change: Change) -> str:
    """What an object is remembered by whose last write has no known end; one that was to be made has no uid."""
    return change.object.uid or str(change.object)
