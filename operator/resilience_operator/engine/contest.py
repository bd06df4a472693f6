"""Other managers that take our values back: repaired a few times, then left alone and named. Used by engine.decide.

The count is the times of our own applies, kept on the object: no restart and no change of leader loses it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from resilience_operator.cluster.objects.workloads import Claim
from resilience_operator.cluster.ownership import in_force, others
from resilience_operator.core.paths import ABSENT
from resilience_operator.core.state import Apply, ObjectState
from resilience_operator.engine.owners import owner
from resilience_operator.engine.ownership import (
    Judgement,
    last_writer,
    owner_of,
)
from resilience_operator.engine.view import View

MAX_REVERTS = 3
MAX_BACKOFF = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Patience:
    """`window`: applies within it are counted; `backoff`: the first wait after giving up, doubled each time."""

    window: timedelta = timedelta(minutes=10)
    backoff: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Contest:
    """We gave up on a leaf for now: the sentence that names the other manager, and when we try again."""

    message: str
    until: datetime


def lost(judgement: Judgement, view: View) -> bool:
    """True where we hold this leaf by our own record, but it is no longer as we set it, or no longer ours."""
    held = view.held(str(judgement.demand.path))
    if held is None:
        return False
    return not in_force(view.target, judgement.demand.path, held, view.application)


def contested(judgement: Judgement, view: View, patience: Patience) -> Contest | None:
    """Whether a lost leaf is given up for now: this loss is one revert more than we repaired lately."""
    now, burst = view.now, _last_burst(view.state, judgement.demand.rule, patience)
    if len(burst) + 1 < MAX_REVERTS or not lost(judgement, view):
        return None
    wait = min(patience.backoff * 2 ** min(view.state.contests, 10), MAX_BACKOFF)
    until = burst[-1].at + wait
    path = judgement.demand.path
    present = judgement.observed is not ABSENT
    rival = (
        max(others(view.target, path), key=_recency, default=None)
        if present
        else last_writer(view.target, view.state.applies[-1].at)
    )
    if now >= until or gave_up(rival, present=present):
        return None
    taker = owner_of(view, path) if present else owner(view, rival, path)
    message = (
        f"{taker} took {path} back {len(burst) + 1} times within {int(patience.window.total_seconds())} s; "
        f"left alone until {until:%Y-%m-%d %H:%M:%S} UTC"
    )
    return Contest(message, until)


def flapping(judgement: Judgement, view: View, patience: Patience) -> Contest | None:
    """Whether a temporary leaf is not taken now: to take it and to give it back is more than may be changed so soon."""
    if not judgement.demand.temporary or lost(judgement, view):
        return None
    window = patience.window
    recent = [one.at for one in view.state.applies if view.now - one.at < window]
    if len(recent) + 2 <= MAX_REVERTS:
        return None
    until = recent[-2] + window
    message = (
        f"{judgement.demand.path} was set and given back within the last {int(window.total_seconds())} s: what comes "
        f"and goes is left alone until {until:%Y-%m-%d %H:%M:%S} UTC"
    )
    return Contest(message, until)


def gave_up(rival: Claim | None, *, present: bool) -> bool:
    """True where nobody stands behind the field any more.

    An absent field was removed by whoever wrote last; a server-side apply cannot remove what it does not own, so one
    that wrote last has only let go of its own.
    """
    return rival is None if present else rival is not None and rival.operation == "Apply"


def _recency(claim: Claim) -> str:
    return claim.time


def contests_after(state: ObjectState, repaired: tuple[str, ...], now: datetime, patience: Patience) -> int:
    """How often in a row we gave up, as the next apply is to record it; a long peace starts from nothing."""
    bursts = [_last_burst(state, rule, patience) for rule in repaired]
    if any(len(burst) + 1 >= MAX_REVERTS for burst in bursts):
        return state.contests + 1
    newest = max((apply.at for apply in state.applies if apply.repaired), default=None)
    return state.contests if newest is not None and now - newest < 2 * patience.backoff else 0


def _last_burst(state: ObjectState, rule: str, patience: Patience) -> tuple[Apply, ...]:
    """The repairs of that rule that fell within one window before the newest of them."""
    repairs = tuple(apply for apply in state.applies if rule in apply.repaired)
    return tuple(apply for apply in repairs if repairs[-1].at - apply.at < patience.window)
