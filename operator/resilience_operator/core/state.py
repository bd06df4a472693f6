"""The annotation `resilience.dev/state`: all that we must remember of an object that we changed, on that object.

Written in the same patch as the change, so that no crash, restart or change of leader loses a previous value, a
quarantine or the count of reverts. Read by observed (belief), written by planning.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from resilience_operator.core.paths import ABSENT, JSON, Path

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
    of this leaf was to become. `temporary`: it is given back as soon as its rule no longer demands it.
    """

    rule: str
    set: JSON
    was: JSON = ABSENT
    depth: int = 0
    policies: tuple[str, ...] = ()
    revision: int = 0
    temporary: bool = False


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


MAX_APPLIES = 8
MAX_QUARANTINES = 16
EPOCH, HORIZON = datetime(1970, 1, 2, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""Times beyond are not believed: arithmetic on them would overflow."""


class UnreadableStateError(ValueError):
    """The annotation is not one of ours: it was edited, or written by a newer version."""


def encode(state: ObjectState) -> str:
    """The annotation's text: compact JSON, keys sorted, so that equal states are equal text."""
    body: dict[str, Any] = {"v": VERSION, "uid": state.uid}
    if state.leaves:
        body["leaves"] = {path: _encode_held(held) for path, held in state.leaves.items()}
        body["names"] = dict(state.names)
    if state.leaves or state.applies:
        body["policies"] = dict(state.policies)
        body["applies"] = [_encode_apply(apply) for apply in state.applies[-MAX_APPLIES:]]
    if state.contests:
        body["contests"] = state.contests
    if state.quarantines:
        body["quarantines"] = [_encode_quarantine(one) for one in state.quarantines[-MAX_QUARANTINES:]]
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def decode(text: str) -> ObjectState:
    """Read the annotation. Raises UnreadableStateError with the reason."""
    try:
        body = json.loads(text)
        if body["v"] != VERSION:
            raise UnreadableStateError(f"state of version {body['v']!r}; this operator reads {VERSION}")
        return ObjectState(
            uid=str(body["uid"]),
            leaves={
                str(Path.parse(path)): _decode_held(held) for path, held in body.get("leaves", {}).items()
            },
            policies={str(uid): int(generation) for uid, generation in body.get("policies", {}).items()},
            names={str(uid): str(name) for uid, name in body.get("names", {}).items()},
            applies=tuple(_decode_apply(*apply) for apply in body.get("applies", [])),
            contests=int(body.get("contests", 0)),
            quarantines=tuple(_decode_quarantine(one) for one in body.get("quarantines", [])),
        )
    except UnreadableStateError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise UnreadableStateError(f"not readable as state of this operator: {error!r}") from error


def _encode_apply(apply: Apply) -> list[JSON]:
    return [_stamp(apply.at), apply.revision, *apply.repaired]


def _decode_apply(at: str, revision: int, *repaired: str) -> Apply:
    return Apply(_time(at), int(revision), tuple(str(rule) for rule in repaired))


def _encode_held(held: Held) -> dict[str, JSON]:
    body: dict[str, JSON] = {
        "rule": held.rule,
        "set": held.set,
        "policies": list(held.policies),
        "revision": held.revision,
    }
    if held.temporary:
        body["temporary"] = True
    return body | ({"absent": held.depth} if held.was is ABSENT else {"was": held.was})


def _decode_held(body: dict[str, JSON]) -> Held:
    return Held(
        rule=str(body["rule"]),
        set=body["set"],
        was=body.get("was", ABSENT),
        depth=int(body.get("absent", 0)),
        policies=tuple(str(uid) for uid in body.get("policies", [])),
        revision=int(body.get("revision", 0)),
        temporary=body.get("temporary") is True,
    )


def _encode_quarantine(quarantine: Quarantine) -> dict[str, JSON]:
    return {
        "reason": quarantine.reason,
        "message": quarantine.message,
        "at": _stamp(quarantine.at),
        "policies": dict(quarantine.policies),
        "revision": quarantine.revision,
        "rules": list(quarantine.rules),
    }


def _decode_quarantine(body: dict[str, JSON]) -> Quarantine:
    return Quarantine(
        reason=str(body["reason"]),
        message=str(body["message"]),
        at=_time(body["at"]),
        policies={str(uid): str(digest) for uid, digest in body["policies"].items()},
        revision=int(body["revision"]),
        rules=tuple(str(rule) for rule in body["rules"]),
    )


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None or not EPOCH < at < HORIZON:
        raise ValueError(f"no time at which we can have written: {text!r}")
    return at
