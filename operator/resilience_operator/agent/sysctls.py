"""Which sysctl of conntrack is written, and which is left alone: decided in values, one key at a time. No I/O.

Called by the sysctl loop. The kernel takes 0 and -1 as timeouts and 0 as "no limit", so names and ranges are compiled
in: whoever writes the NodeState can at worst set an allowed value. The value before us goes to the API server first and
to the kernel afterwards: a restart between the two cannot take our own value for it.
"""

import errno
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from resilience_operator.core.sysctls import ALLOWED, BUCKETS, MAX

ROOM = 1.25
"""The limit is never set below this many times the entries that there are: beyond it every new flow is dropped."""

GROW_BELOW = 50_000
"""Entries up to which the hash table is grown: the kernel holds all packets up while it moves them."""

WINDOW = 600.0
"""Seconds in which foreign rewrites are counted, and for which a contested key is left alone."""

REWRITES = 3
"""Foreign rewrites within WINDOW that are answered; one more is contention."""

MOST = 32
"""Keys that a spec can hold."""


class Direction(StrEnum):
    """What may be done to reach a value."""

    RAISE_ONLY = "RaiseOnly"
    SET = "Set"


class State(StrEnum):
    """How it stands with one key."""

    SATISFIED = "Satisfied"
    HELD = "Held"
    RECORDING = "Recording"
    WAITING = "Waiting"
    REFUSED = "Refused"
    FAILED = "Failed"
    CONTESTED = "Contested"
    RESTORED = "Restored"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A key of the spec."""

    name: str
    value: int
    direction: Direction = Direction.RAISE_ONLY


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of one key."""

    before: int | None = None
    """The value when we first wanted to write; stays while the key is continuously ours."""

    recorded: bool = False
    """The API server has it."""

    ours: int | None = None
    """The value that we wrote last; None while we wrote none."""

    foreign: int = 0
    """Foreign rewrites of our value, ever."""

    recent: tuple[float, ...] = ()
    """Monotonic seconds of the last foreign rewrites."""

    stopped: float = 0.0
    """Contested: not written before this time, monotonic seconds."""

    failed: str = ""
    """Why the last write failed, as a sentence; "" if it did not."""

    failure: str = ""
    """The same as a CamelCase reason."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done with one key now."""

    known: Known
    state: State
    reason: str = ""
    message: str = ""
    write: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What is observed beside a key."""

    value: int | None
    """None: it cannot be read."""

    entries: int
    """Entries in the table."""

    now: float
    """Monotonic seconds."""


def step(wanted: Wanted, seen: Seen, known: Known) -> Step:
    """What is to be done with a wanted key."""
    if refusal := refused(wanted):
        return Step(known, State.REFUSED, *refusal)
    if seen.value is None:
        return Step(known, State.FAILED, "Unreadable", f"{wanted.name} cannot be read on this node")
    known = _rewrites(wanted, seen, known)
    if _satisfied(wanted, seen.value):
        held = known.ours is not None and known.ours == seen.value
        return Step(replace(known, failed="", failure=""), State.HELD if held else State.SATISFIED)
    if seen.now < known.stopped:
        return Step(known, State.CONTESTED, "SysctlContention", _contention(wanted, seen.value))
    if waits := _waits(wanted.name, wanted.value, seen):
        return Step(known, State.WAITING, *waits)
    if known.before is None:
        known = replace(known, before=seen.value, recorded=False)
    if not known.recorded:
        return Step(
            known, State.RECORDING, "RecordingValueBefore", f"{seen.value} is noted as the value before us"
        )
    if known.failed:
        return Step(known, State.FAILED, known.failure, known.failed, write=wanted.value)
    return Step(known, State.HELD, write=wanted.value)


def release(name: str, seen: Seen, known: Known) -> Step:
    """What is to be done with a key that is no longer wanted and is to be as it was before us."""
    if known.ours is None or known.before is None or seen.value is None:
        return Step(Known(), State.RESTORED, "NothingToRestore", f"{name} was not changed by us")
    if seen.value != known.ours:
        return Step(
            Known(), State.RESTORED, "ChangedByOthers", f"{name} is {seen.value}, which is not ours: it stays"
        )
    if name not in ALLOWED or not _restorable(name, known.before):
        return Step(
            Known(), State.REFUSED, "OutOfRange", f"{known.before} is no value that {name} can have had"
        )
    if waits := _waits(name, known.before, replace(seen, value=known.before)):
        return Step(known, State.WAITING, *waits)
    if name == BUCKETS and known.before < seen.value:
        return Step(
            Known(), State.RESTORED, "NeverShrunk", "the hash table is never shrunk while packets flow"
        )
    if seen.value == known.before:
        return Step(Known(), State.RESTORED)
    return Step(known, State.RESTORED, write=known.before)


def written(known: Known, value: int) -> Known:
    """What is remembered after a value was written and read back."""
    return replace(known, ours=value, failed="", failure="")


def failed(known: Known, name: str, error: OSError) -> Known:
    """What is remembered after a write failed."""
    reason, hint = _FAILURES.get(error.errno or 0, ("WriteFailed", str(error)))
    return replace(known, failure=reason, failed=f"{name} cannot be written: {hint}")


_FAILURES: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        errno.EROFS: (
            "ReadOnly",
            "the mount is read-only; mount the host's /proc/sys/net with readOnly: false",
        ),
        errno.EACCES: (
            "Denied",
            "no right to it; run as uid 0, and look for a denial of AppArmor or SELinux",
        ),
        errno.EPERM: ("Denied", "no right to it; the container needs the capability NET_ADMIN"),
        errno.EINVAL: ("NotTaken", "this kernel does not take the value"),
        errno.ENOENT: ("Unknown", "this kernel has no such key"),
    }
)


def refused(wanted: Wanted) -> tuple[str, str] | None:
    """Why a key is not touched at all: reason and message."""
    allowed = ALLOWED.get(wanted.name)
    if allowed is None:
        return (
            "NotAllowed",
            f"{wanted.name[:64]} is not among the keys that the agent writes: {', '.join(ALLOWED)}"[:300],
        )
    if wanted.value not in allowed:
        span = f"{allowed.start} to {allowed.stop - 1}"
        return "OutOfRange", f"{wanted.name} takes {span}, and {wanted.value} is asked for"
    return None


def in_order(wanted: Mapping[str, Wanted]) -> list[Wanted]:
    """The keys in the order in which they are written; unknown ones last."""
    places = {name: place for place, name in enumerate(ALLOWED)}
    return sorted(wanted.values(), key=lambda one: (places.get(one.name, len(places)), one.name))


def _satisfied(wanted: Wanted, value: int) -> bool:
    grows = wanted.direction is Direction.RAISE_ONLY or wanted.name == BUCKETS
    no_limit = wanted.name == MAX and value == 0
    return value == wanted.value or (grows and (value > wanted.value or no_limit))


def _rewrites(wanted: Wanted, seen: Seen, known: Known) -> Known:
    """What is remembered once our value was found changed; a value that satisfies as well is nobody's fight."""
    if known.ours is None or seen.value in (known.ours, None):
        return known
    if _satisfied(wanted, seen.value or 0):
        return replace(known, before=None, recorded=False, ours=None)
    if known.ours != wanted.value and seen.value == wanted.value:
        return known
    recent = (*(at for at in known.recent if seen.now - at < WINDOW), seen.now)[-REWRITES - 1 :]
    stopped = seen.now + WINDOW if len(recent) > REWRITES else known.stopped
    # Ours no longer: the same foreign value is not counted again at the next look.
    return replace(known, ours=None, foreign=known.foreign + 1, recent=recent, stopped=stopped)


def _waits(name: str, value: int, seen: Seen) -> tuple[str, str] | None:
    if name == MAX and value < seen.entries * ROOM:
        needed = int(seen.entries * ROOM)
        return (
            "TableTooFull",
            f"{seen.entries} entries need a limit of {needed} at least; {value} waits for fewer",
        )
    if name == BUCKETS and seen.entries >= GROW_BELOW:
        return (
            "TableTooFull",
            f"the hash table grows below {GROW_BELOW} entries: moving {seen.entries} holds packets up",
        )
    return None


def _contention(wanted: Wanted, value: int) -> str:
    return (
        f"{wanted.name} was set back more than {REWRITES} times in {WINDOW / 60:.0f} minutes, last to {value}; it is"
        " left alone for as long. kube-proxy writes it when it starts: see whether it restarts, or a tuning daemon runs"
    )


def _restorable(name: str, value: int) -> bool:
    """Whether a node can have had the value: wider than what may be wanted, and never "no limit" or "at once"."""
    low = 0 if ALLOWED[name].start == 0 else 1
    return low <= value < ALLOWED[name].stop
