"""Why a change does not go now: one chain of questions, asked in one order. Pure; asked by engine.queue alone.

Status, Events, metrics and `plan` show the first answer. Whoever is held here holds no slot: it is asked for last.
What an opt-out, a suspension, a quarantine, a refusal or a contest forbids was never proposed (engine.decide).
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from resilience_operator.core.plain import named
from resilience_operator.core.refs import Key, key_of
from resilience_operator.engine import windows
from resilience_operator.engine.change import Change, Decision
from resilience_operator.engine.failures import Failure
from resilience_operator.engine.rollout import Scaling

log = logging.getLogger(__name__)

Place = tuple[str, str, str]
"""(kind, namespace, name) of an object that is written."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of earlier writes, by place."""

    waits: Mapping[Place, str] = field(default_factory=dict)
    """Why it is not tried now: a failure, a right that is missing, an end that is not known."""

    failing: Mapping[Place, str] = field(default_factory=dict)
    """What failed several times in a row, and with which words last."""

    unknown: frozenset[Place] = frozenset()
    """Where the last write may have started a rollout that nobody sees yet."""

    tried: Mapping[str, datetime] = field(default_factory=dict)
    """Namespace -> when something that restarts pods was last tried there."""

    since: Mapping[Place, datetime] = field(default_factory=dict)
    """Since when a change waits for its turn, or was last tried."""

    started: frozenset[tuple[str, int]] | None = None
    """(uid, revision) of the rollouts that this leader started, or found as it took over; None: all that are seen."""

    failures: tuple[Failure, ...] = ()
    """Rollouts that failed and whose objects are gone: they count until the policy's spec changes."""

    unheld: Mapping[str, str] = field(default_factory=dict)
    """Uid of a policy -> why our finalizer is not on it: nothing is written before."""

    def waits_of(self, changes: Iterable[Change]) -> dict[Key, str]:
        """Key of the object to change -> why it is not tried now."""
        return {
            key_of(one.object): self.waits[one.object.key] for one in changes if one.object.key in self.waits
        }

    def failing_of(self, changes: Iterable[Change]) -> dict[Key, str]:
        """Key of the object to change -> with which words its writes fail."""
        return {
            key_of(one.object): self.failing[one.object.key]
            for one in changes
            if one.object.key in self.failing
        }

    def counts(self, decision: Decision, now: datetime) -> bool:
        """True where the object's rollout holds a slot."""
        rollout = decision.rollout
        known = self.started is None or (decision.object.uid, rollout.revision) in self.started
        return known and rollout.holds_slot(now)


class Slot(Protocol):
    """What is left of the limits of rollouts: `engine.queue.Slots`."""

    homeless: str
    """One of those that run whose pods find no node, "" where there is none."""

    def full_because(self, change: Change) -> str:
        """Why no rollout of this change may start now; "" where there is a slot."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """What the gates look at beside the change."""

    decision: Decision
    """The decision about the object that the change belongs to."""

    halted: str
    """Why nothing at all may be written now, "" where it may."""

    guarded: frozenset[str]
    """Kinds of which a write that needs no Lease is not halted."""

    outcomes: Outcomes
    """What became of earlier writes."""

    stopped: Mapping[tuple[str, str], str]
    """(policy name, namespace) -> why it starts nothing there after failures; "" as namespace: nowhere."""

    breakers: Mapping[str, str]
    """Namespace -> why nothing disruptive starts there; "" as namespace: nowhere."""

    restarting: str
    """That too many others restart at once, "" where they do not."""

    slots: Slot
    """The slots as they are when the change is asked about."""

    now: datetime
    """UTC."""


def halted(change: Change, context: Context) -> str:
    """The pause switch, or a guard that is not proved."""
    return "" if change.needs_no_lease and change.object.kind in context.guarded else context.halted


def busy(change: Change, context: Context) -> str:
    """Somebody else changes the object now."""
    return context.decision.busy


def earlier_write(change: Change, context: Context) -> str:
    """A back-off, a right that is missing, or an end that is not known."""
    return context.outcomes.waits.get(change.object.key, "")


def turn(change: Change, context: Context) -> str:
    """Others of its kind come first: its target counts them."""
    return change.waits


def unheld(change: Change, context: Context) -> str:
    """A policy that could be deleted before we heard of it."""
    held_back = (context.outcomes.unheld.get(policy.uid, "") for policy in change.policies)
    return next((why for why in held_back if why), "")


def stopped(change: Change, context: Context) -> str:
    """Too many rollouts of the policy failed; what gives back goes on."""
    if change.urgent or change.gives_back:
        return ""
    places = [(one.name, where) for one in change.policies for where in ("", change.object.namespace)]
    return next((context.stopped[place] for place in places if place in context.stopped), "")


def own_rollout(change: Change, context: Context) -> str:
    """A rollout of ours of this object is not over."""
    running = _paced(change) and context.decision.rollout.running
    return "waits for its own rollout to complete and soak" if running else ""


def unhealthy(change: Change, context: Context) -> str:
    """The object is not well, or rolls by itself."""
    return context.decision.blocked if _paced(change) else ""


def breaker(change: Change, context: Context) -> str:
    """Too many others are not well."""
    if not _paced(change):
        return ""
    return context.breakers.get("") or context.breakers.get(change.object.namespace, "")


def mass_restart(change: Change, context: Context) -> str:
    """Others restart a large part of the cluster."""
    return context.restarting if _paced(change) else ""


def homeless(change: Change, context: Context) -> str:
    """More pods are asked for where ours find no node already."""
    if change.urgent or change.scaling is not Scaling.UP or not context.slots.homeless:
        return ""
    return f"waits: pods of ours find no node ({context.slots.homeless} has some)"


def window(change: Change, context: Context) -> str:
    """The clock."""
    if not _paced(change):
        return ""
    spoken = (one for policy in change.policies for one in policy.windows_of(change.rules))
    return next((why for one in spoken if (why := windows.closed_because(one, context.now))), "")


def slot(change: Change, context: Context) -> str:
    """Enough is going on: asked last, so that only those wait for a slot who could use it."""
    return context.slots.full_because(change) if _paced(change) else ""


def _paced(change: Change) -> bool:
    return change.paced and not change.urgent


GATES: tuple[Callable[[Change, Context], str], ...] = (
    halted,
    busy,
    earlier_write,
    turn,
    unheld,
    stopped,
    own_rollout,
    unhealthy,
    breaker,
    mass_restart,
    homeless,
    window,
    slot,
)


def held_by(change: Change, context: Context) -> tuple[str, str]:
    """The first gate that holds the change back, and its sentence; "" twice where it goes.

    An error of a gate holds it back.
    """
    try:
        answers = ((gate.__name__, gate(change, context)) for gate in GATES)
        return next(((name, why) for name, why in answers if why), ("", ""))
    except Exception as error:
        log.exception("nothing can be said about a change of %s", change.object)
        return "error", f"the operator cannot tell whether it may go: {named(error)}"
