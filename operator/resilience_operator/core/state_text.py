"""How the annotation `resilience.dev/state` lies on the wire, in types and bounds. Used by core/state alone.

It stands on objects that others write as well: whatever is not exactly so is not ours. Unknown keys are a reason, too:
a newer version of the operator writes another `v`.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

MAX_LEAVES = 64
MAX_REVISION = 2 * 10**18
"""Of a ReplicaSet at most 18 digits are read (core/numbers), and a status takes 20 characters."""

MAX_SENTENCE = 1024
MAX_CONTESTS = 10_000
MAX_VALUE_DEPTH = 16
"""A constraint's labelSelector is nested four deep."""

Uid = Annotated[str, Meta(max_length=64)]
Name = Annotated[str, Meta(max_length=253)]
Word = Annotated[str, Meta(max_length=63)]
Sentence = Annotated[str, Meta(max_length=MAX_SENTENCE)]
Stamp = Annotated[str, Meta(max_length=35)]
Revision = Annotated[int, Meta(ge=0, le=MAX_REVISION)]
Few = Meta(max_length=64)


class _Body(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Base: nothing beside what is named."""


class HeldBody(_Body):
    """A leaf; `absent` stands in place of `was`."""

    rule: Word
    set: Any
    policies: Annotated[tuple[Uid, ...], Few] = ()
    revision: Revision = 0
    was: Any = msgspec.UNSET
    absent: Annotated[int, Meta(ge=0, le=32)] = 0
    temporary: bool = False


class QuarantineBody(_Body):
    """A quarantine."""

    reason: Word
    message: Sentence
    at: Stamp
    policies: Annotated[dict[Uid, Word], Few]
    revision: Revision
    rules: Annotated[tuple[Word, ...], Few]


class StateBody(_Body):
    """All of it; each apply is [time, revision, rules repaired...]."""

    v: int
    uid: Uid
    leaves: Annotated[dict[Annotated[str, Meta(max_length=1024)], HeldBody], Meta(max_length=MAX_LEAVES)] = {}
    policies: Annotated[dict[Uid, Revision], Few] = {}
    names: Annotated[dict[Uid, Name], Few] = {}
    applies: Annotated[tuple[Annotated[list[Word | int], Meta(max_length=66)], ...], Few] = ()
    contests: Annotated[int, Meta(ge=0, le=MAX_CONTESTS)] = 0
    quarantines: Annotated[tuple[QuarantineBody, ...], Few] = ()


def is_shallow(value: Any, depth: int = MAX_VALUE_DEPTH) -> bool:
    """True where a JSON value is nested no deeper; lists and objects alike."""
    if depth == 0:
        return not isinstance(value, dict | list)
    if isinstance(value, dict):
        return all(is_shallow(child, depth - 1) for child in value.values())
    return not isinstance(value, list) or all(is_shallow(child, depth - 1) for child in value)
