"""The annotation `resilience.dev/state`: all that we must remember of an object that we changed, on that object.

Written in the same patch as the change, so that no crash, restart or change of leader loses a previous value, a
quarantine or the count of reverts. Read by observed (belief), written by planning.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from resilience_operator.core.paths import ABSENT, JSON, Path
from resilience_operator.core.plain import QUOTED, plain
from resilience_operator.core.state_text import (
    MAX_CONTESTS,
    MAX_LEAVES,
    MAX_REVISION,
    MAX_SENTENCE,
    HeldBody,
    QuarantineBody,
    StateBody,
    is_shallow,
)

ANNOTATION = "resilience.dev/state"
ADDON_ANNOTATION = "resilience.dev/addon-state"
"""What we remember of the EKS add-on, on its Deployment: AWS has no room for it (coredns/addon_state)."""

VERSION = 1
FIELD_MANAGER = "resilience-operator"


@dataclass(frozen=True, slots=True)
class Held:
    """A leaf that we set: the value before our first take-over, and the one we wrote.

    `was` is ABSENT where there was nothing; `depth` is then the number of leading steps of the path that were there.
    `policies`: uids of the policies that demanded it last. `revision`: the Deployment's revision that our last change
    of this leaf was to become.
    """

    rule: str
    set: JSON
    was: JSON = ABSENT
    depth: int = 0
    policies: tuple[str, ...] = ()
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Apply:
    """One write of ours: when, and the Deployment's revision that it was to become (0: it changed no template).

    `repaired`: the rules of which it put back what somebody had taken from us.
    """

    at: datetime
    revision: int = 0
    repaired: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A change that is not repeated until the policy or the template changes.

    `policies`: uid -> digest of spec; `revision`: the newest of the Deployment that is nobody's change of the template
    but ours: a later one lifts the quarantine.
    """

    reason: str
    message: str
    at: datetime
    policies: Mapping[str, str] = field(default_factory=dict)
    revision: int = 0
    rules: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # A webhook or a container said it, or whoever forged our annotation.
        object.__setattr__(self, "message", plain(self.message, MAX_SENTENCE))


@dataclass(frozen=True, slots=True)
class ObjectState:
    """The annotation's content; falsy where there is nothing to remember.

    `leaves`: written path -> Held. `policies`: uid -> generation at our last write. `names`: uid -> name of every
    policy that holds a leaf, for people who revert what a policy left that is gone. `applies`: our writes, the newest
    last, at most 8; without leaves: the rollout that gives them back is still to be awaited. `contests`: how often in
    a row we gave up against another manager. `quarantines`: what failed or was refused, the newest last.
    """

    uid: str = ""
    leaves: Mapping[str, Held] = field(default_factory=dict)
    policies: Mapping[str, int] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    applies: tuple[Apply, ...] = ()
    contests: int = 0
    quarantines: tuple[Quarantine, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.leaves or self.applies or self.quarantines)

    def rules(self) -> frozenset[str]:
        """Rules of which we hold a leaf."""
        return frozenset(held.rule for held in self.leaves.values())

    def uids(self) -> frozenset[str]:
        """Uids of the policies that hold a leaf, or caused our last write."""
        held = {uid for one in self.leaves.values() for uid in one.policies}
        return frozenset(held | self.policies.keys())

    def without(self, paths: frozenset[str]) -> "ObjectState":
        """The state after those leaves were given back; nothing of our writes is remembered without a leaf."""
        kept = {path: held for path, held in self.leaves.items() if path not in paths}
        return replace(self, leaves=kept, applies=self.applies if kept else ())


MAX_TEXT = 16 * 1024
"""Bytes of the annotation: each leaf takes about 200."""

MAX_ADDON_TEXT = 48 * 1024
"""Bytes of the annotation about an add-on, which holds its whole configuration twice."""

MAX_APPLIES = 8
MAX_QUARANTINES = 16
EPOCH, HORIZON = datetime(1970, 1, 2, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""Times beyond are not believed: arithmetic on them would overflow."""


class UnreadableStateError(ValueError):
    """The annotation is not one of ours: it was edited, or written by a newer version."""


def encode(state: ObjectState) -> str:
    """The annotation's text: compact JSON, keys sorted, so that equal states are equal text.

    Where it would be too long to be believed, the oldest quarantines are left out.
    """
    text = _written(state)
    while len(text.encode(errors="replace")) > MAX_TEXT and state.quarantines:
        state = replace(state, quarantines=state.quarantines[-MAX_QUARANTINES:][1:])
        text = _written(state)
    return text


def can_be_believed(state: ObjectState) -> bool:
    """True where `decode` will read what `encode` writes: neither too many leaves nor too long."""
    return len(state.leaves) <= MAX_LEAVES and len(encode(state).encode(errors="replace")) <= MAX_TEXT


def _written(state: ObjectState) -> str:
    body: dict[str, Any] = {"v": VERSION, "uid": state.uid}
    if state.leaves:
        body["leaves"] = {path: _encode_held(held) for path, held in state.leaves.items()}
        body["names"] = dict(state.names)
    if state.leaves or state.applies:
        body["policies"] = dict(state.policies)
        body["applies"] = [_encode_apply(apply) for apply in state.applies[-MAX_APPLIES:]]
    if state.contests:
        body["contests"] = min(state.contests, MAX_CONTESTS)
    if state.quarantines:
        body["quarantines"] = [_encode_quarantine(one) for one in state.quarantines[-MAX_QUARANTINES:]]
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def decode(text: str, limit: int = MAX_TEXT) -> ObjectState:
    """Read the annotation, `limit` bytes at most. Raises UnreadableStateError with the reason."""
    if len(text) > limit or len(text.encode(errors="replace")) > limit:
        raise UnreadableStateError(f"it is longer than {limit // 1024} KiB, which this operator never writes")
    try:
        return read(json.loads(text))
    except (ValueError, RecursionError) as error:
        if isinstance(error, UnreadableStateError):
            raise
        raise UnreadableStateError(_not_readable(error)) from error


def read(body: JSON) -> ObjectState:
    """The state of a decoded annotation. Raises UnreadableStateError with the reason."""
    if isinstance(body, dict) and body.get("v", VERSION) != VERSION:
        raise UnreadableStateError(
            f"state of version {plain(repr(body['v']), 20)}; this operator reads {VERSION}"
        )
    try:
        found = msgspec.convert(body, StateBody)
        return ObjectState(
            uid=found.uid,
            leaves={str(Path.parse(path)): _held(held) for path, held in found.leaves.items()},
            policies=found.policies,
            names=found.names,
            applies=tuple(_apply(*apply) for apply in found.applies),
            contests=found.contests,
            quarantines=tuple(_quarantine(one) for one in found.quarantines),
        )
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UnreadableStateError(_not_readable(error)) from error


def _not_readable(error: Exception) -> str:
    return f"not readable as state of this operator: {plain(repr(error), QUOTED)}"


def _encode_apply(apply: Apply) -> list[JSON]:
    return [_stamp(apply.at), apply.revision, *apply.repaired]


def _apply(at: str | int, revision: str | int, *repaired: str | int) -> Apply:
    rules = tuple(rule for rule in repaired if isinstance(rule, str))
    if not isinstance(at, str) or not isinstance(revision, int) or len(rules) < len(repaired):
        raise TypeError("a write is a time, a revision and rules")
    if not 0 <= revision <= MAX_REVISION:
        raise ValueError("no revision of a Deployment")
    return Apply(_time(at), revision, rules)


def _encode_held(held: Held) -> dict[str, JSON]:
    body: dict[str, JSON] = {
        "rule": held.rule,
        "set": held.set,
        "policies": list(held.policies),
        "revision": held.revision,
    }
    return body | ({"absent": held.depth} if held.was is ABSENT else {"was": held.was})


def _held(body: HeldBody) -> Held:
    was = ABSENT if body.was is msgspec.UNSET else body.was
    if not (is_shallow(body.set) and (was is ABSENT or is_shallow(was))):
        raise ValueError("a value is nested too deep")
    return Held(body.rule, body.set, was, body.absent, body.policies, body.revision)


def _encode_quarantine(quarantine: Quarantine) -> dict[str, JSON]:
    return {
        "reason": quarantine.reason,
        "message": quarantine.message,
        "at": _stamp(quarantine.at),
        "policies": dict(quarantine.policies),
        "revision": quarantine.revision,
        "rules": list(quarantine.rules),
    }


def _quarantine(body: QuarantineBody) -> Quarantine:
    at = _time(body.at)
    return Quarantine(body.reason, body.message, at, body.policies, body.revision, body.rules)


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None or not EPOCH < at < HORIZON:
        raise ValueError(f"no time at which we can have written: {text!r}")
    return at
