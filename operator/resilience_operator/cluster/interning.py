"""One copy of what many objects have in common. Used by cluster/decode, while objects are decoded.

The pools are bounded in bytes and forget the oldest: what lies side by side in a list (the pods of one ReplicaSet)
is what is alike. Nothing is interned by the interpreter, which would keep a tenant's texts for ever. Nothing shared
is ever changed, as no observed object is.
"""

from collections.abc import Hashable
from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import force_setattr

from resilience_operator.core.caching import Pool

T = TypeVar("T", bound=Hashable)
_NO_LABELS: dict[str, str] = {}
MANY_LABELS = 64
"""More of them are nobody else's."""

_OVERHEAD = 64
"""Bytes of an object of the interpreter beside its content, about."""


def _size(value: Any) -> int:
    return len(msgspec.json.encode(value)) + _OVERHEAD


def _length(text: str) -> int:
    return len(text) + _OVERHEAD


_values: Pool[Any] = Pool(_size)
_texts: Pool[str] = Pool(_length)
_labels: Pool[dict[str, str]] = Pool(_size)
_sets: Pool[frozenset[str]] = Pool(_size)


def share(value: T) -> T:
    """`value`, or an equal one that another object has already."""
    found = _values.get(value)
    return cast(T, _values.keep(value, value) if found is None else found)


def share_text(text: str) -> str:
    """`text`, or the copy of it that another object has already."""
    return _texts.get(text) or _texts.keep(text, text)


def shared_labels(labels: dict[str, str]) -> dict[str, str]:
    """`labels`, or equal ones that another object has already, in the same order."""
    if not labels:
        return _NO_LABELS
    if len(labels) > MANY_LABELS:
        return labels
    pairs = tuple(labels.items())
    return _labels.get(pairs) or _labels.keep(
        pairs, {share_text(key): share_text(text) for key, text in pairs}
    )


def shared_set(texts: tuple[str, ...]) -> frozenset[str]:
    """One set for all that consist of the same texts."""
    found = _sets.get(texts)
    return _sets.keep(texts, frozenset(texts)) if found is None else found


def interned(struct: msgspec.Struct, **texts: str) -> None:
    """Replace those strings of a struct that was just decoded by a copy that others have already."""
    for field, text in texts.items():
        if text:
            force_setattr(struct, field, share_text(text))
