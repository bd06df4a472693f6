"""Carries out one planned change: one request (two to give back), and what became of it. Called by reconcile."""

import logging
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

import msgspec

from resilience_operator.api.write import (
    Failed,
    Forbidden,
    Gone,
    NotLeading,
    Outcome,
    Refused,
    Stale,
    Writer,
    Written,
)
from resilience_operator.cluster.argocd import REFRESH
from resilience_operator.core.errors import RequestFailed
from resilience_operator.core.kinds import APPLICATION, Kind
from resilience_operator.core.refs import ObjectRef
from resilience_operator.engine.change import Change, Verb
from resilience_operator.engine.withdrawal import let_go, withdraw
from resilience_operator.targets import KIND_BY_NAME

log = logging.getLogger(__name__)

FORGETS = 5
"""How often our entry is looked for where others write the object at the same time."""


class Done(StrEnum):
    """How a change ended: DONE on the server; AGAIN: decide anew from what is newer; REFUSED: not again like this.

    UNDERWAY: accepted by somebody else than the API server, and told of when it is there. FAILED: tried several times
    without an answer that decides anything; it is tried again, and people are told.
    """

    DONE = "Done"
    UNDERWAY = "Underway"
    AGAIN = "Again"
    REFUSED = "Refused"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a change; `message` is for a person; `left_alone`: leaves changed by others since.

    `stale`: decided on an older object, and what is newer is on its way. `unknown`: it may or may not have been done,
    and only reading the object again tells. `forbidden`: the operator's user lacks the right. `until`: when what was
    refused may be tried again though nothing changed here; None: never. `unsent`: nothing was tried, for what it was
    decided upon is over.
    """

    change: Change
    done: Done
    at: datetime
    message: str = ""
    left_alone: tuple[str, ...] = ()
    retry_after: float = 0.0
    unknown: bool = False
    stale: bool = False
    forbidden: bool = False
    until: datetime | None = None
    unsent: bool = False


async def carry_out(writer: Writer, change: Change, now: datetime) -> Report:
    """Send the change; never raises for what the API server or the network answers."""
    kind, ref = KIND_BY_NAME[change.object.kind], change.object
    match change.verb:
        case Verb.WITHDRAW:
            return await _withdraw(writer, change, now)
        case Verb.CREATE:
            outcome = await writer.create(kind, ref, dict(change.whole))
        case Verb.UPDATE:
            outcome = await writer.json_patch(kind, ref, change.operations())
        case Verb.LET_GO:
            return report_of(change, await forget(writer, kind, ref), now)
        case Verb.REPORT:
            outcome = await writer.report(kind, ref, dict(change.whole))
        case Verb.DELETE:
            outcome = await writer.delete(kind, ref)
        case _:
            fenced = not change.needs_no_lease
            outcome = await writer.json_patch(kind, ref, change.patch(now), fenced=fenced)
            await let_go_of(writer, kind, ref, outcome)
    return report_of(change, outcome, now)


async def rehearse(writer: Writer, change: Change, now: datetime) -> dict[str, str]:
    """Dry-run each rule of a refused apply by itself; rule -> why the API server refuses it."""
    refused = {}
    rules = change.rules if len(change.rules) > 1 else ()
    for rule in rules:
        alone = change.only(rule)
        outcome = await writer.json_patch(
            KIND_BY_NAME[change.object.kind], change.object, alone.patch(now), dry_run=True
        )
        report = report_of(alone, outcome, now)
        if report.done is Done.REFUSED:
            refused[rule] = report.message
    return refused


async def _withdraw(writer: Writer, change: Change, now: datetime) -> Report:
    kind = KIND_BY_NAME[change.object.kind]
    try:
        raw = await writer.read(kind, change.object)
    except RequestFailed as error:
        return Report(change, Done.AGAIN, now, str(error), retry_after=1.0)
    meta = raw["metadata"]
    if meta["uid"] != change.object.uid or meta["resourceVersion"] != change.resource_version:
        return Report(change, Done.AGAIN, now, "the object changed since it was read", stale=True)
    plan = withdraw(raw, change.given_back, change.state)
    outcome = await writer.json_patch(KIND_BY_NAME[change.object.kind], change.object, list(plan.ops))
    await let_go_of(writer, kind, change.object, outcome)
    report = report_of(change, outcome, now)
    return replace(report, left_alone=(*plan.left_alone, *change.adopted))


async def show(writer: Writer, application: ObjectRef) -> Outcome:
    """Ask Argo CD to look at what was given back; without, it looks within minutes, and nothing else is lost."""
    outcome = await writer.annotate(APPLICATION, application, {REFRESH: "normal"})
    if not isinstance(outcome, Written):
        log.info("Argo CD application %s was not asked to refresh: %s", application, outcome)
    return outcome


async def let_go_of(writer: Writer, kind: Kind, ref: ObjectRef, outcome: Outcome) -> None:
    """After a write: take our entry out of managedFields, by what the API server answered."""
    if not isinstance(outcome, Written):
        return
    ops = let_go(msgspec.json.decode(outcome.raw))
    if ops and isinstance(await writer.json_patch(kind, ref, list(ops)), Stale):
        await forget(writer, kind, ref)


async def forget(writer: Writer, kind: Kind, ref: ObjectRef) -> Outcome:
    """Read the object, and take our entry out of managedFields; where others are faster each time, the next pass does.

    An autoscaler's controller writes the object's status as soon as its spec changes, and is faster now and then.
    """
    for _ in range(FORGETS):
        try:
            raw = await writer.read(kind, ref)
        except RequestFailed as error:
            return Failed(str(error))
        ops = let_go(raw)
        if not ops:
            return Written(b"", raw["metadata"]["resourceVersion"])
        outcome = await writer.json_patch(kind, ref, list(ops))
        if not isinstance(outcome, Stale):
            return outcome
    return Stale("others write the object faster than our entry can be found in it")


def report_of(change: Change, outcome: Outcome, now: datetime) -> Report:
    """What the answer of the API server means for the change."""
    match outcome:
        case Written():
            return Report(change, Done.DONE, now, change.reason)
        case Refused(message=message):
            return Report(change, Done.REFUSED, now, f"the API server refuses it: {message}")
        case Forbidden(message=message):
            return Report(change, Done.AGAIN, now, message, forbidden=True)
        case Stale(message=message):
            return Report(change, Done.AGAIN, now, message, stale=True)
        case Gone(message=message) | NotLeading(message=message):
            return Report(change, Done.AGAIN, now, message)
        case Failed(message=message, retry_after=retry_after):
            return Report(change, Done.AGAIN, now, message, retry_after=retry_after or 1.0, unknown=True)
