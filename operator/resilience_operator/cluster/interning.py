"""One copy of what many objects have in common. Used by cluster/decode, while objects are decoded.

The caches are bounded and forget the oldest: what lies side by side in a list (the pods of one ReplicaSet) is
what is alike. Nothing shared is ever changed, as no observed object is.
"""

from collections.abc import Hashable
from functools import lru_cache
from sys import intern
from typing import TypeVar, cast

import msgspec
from msgspec.structs import force_setattr

T = TypeVar("T", bound=Hashable)
_NO_LABELS: dict[str, str] = {}


def share(value: T) -> T:
    """`value`, or an equal one that another object has already."""
    return cast(T, _first(value))


@lru_cache(maxsize=8192)
def _first(value: Hashable) -> Hashable:
    return value


def shared_labels(labels: dict[str, str]) -> dict[str, str]:
    """`labels`, or equal ones that another object has already, in the same order."""
    return _first_labels(tuple(labels.items())) if labels else _NO_LABELS


@lru_cache(maxsize=4096)
def _first_labels(items: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return {intern(key): intern(text) for key, text in items}


def interned(struct: msgspec.Struct, **texts: str) -> None:
    """Replace those strings of a struct that was just decoded by their only copy in the process."""
    for field, text in texts.items():
        if text:
            force_setattr(struct, field, intern(text))
