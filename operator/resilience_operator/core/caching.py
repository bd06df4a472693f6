"""Answers and values that are kept to be used again, in bounded memory. Used by every layer that reads others' text.

What a tenant writes decides what is kept here, and nobody is told when their object goes. So an entry is bounded
in size and their number as well: what is longer is computed, or held, anew each time.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import lru_cache, wraps
from inspect import signature
from threading import Lock
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V")

LONGEST = 512
"""Characters of all arguments together of which an answer is kept: honest names and paths have less."""

MOST_BYTES = 2 * 1024 * 1024
"""Kept by one pool."""

LARGEST = 4096
"""Bytes of a value that a pool keeps: what is larger is hardly shared."""


def kept(entries: int, longest: int = LONGEST) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Keep the newest answers of a pure function of texts, or of values with a text (core.paths.Path)."""

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        cached: Any = lru_cache(maxsize=entries)(function)
        bare: Any = function

        def of_one(arg: object) -> R:
            answer: R = bare(arg) if len(str(arg)) > longest else cached(arg)
            return answer

        def of_many(*args: object) -> R:
            answer: R = bare(*args) if sum(map(len, map(str, args))) > longest else cached(*args)
            return answer

        chosen: Any = of_one if len(signature(function).parameters) == 1 else of_many
        wrapped: Callable[P, R] = wraps(function)(chosen)
        return wrapped

    return wrap


class Pool(Generic[V]):
    """One value for all equal keys; `size` gives a key's bytes. The oldest goes first.

    `get` gives the value of an equal key, or None.
    """

    def __init__(self, size: Callable[[Any], int], most: int = MOST_BYTES) -> None:
        self._size = size
        self._most = most
        # Of a plain dict it takes ever longer to find the oldest.
        self._values: OrderedDict[Hashable, V] = OrderedDict()
        self.get: Callable[[Hashable], V | None] = self._values.get
        self.bytes = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._values)

    def keep(self, key: Hashable, value: V) -> V:
        """The value, kept for equal keys to come where the key is small."""
        size = self._size(key)
        if size > LARGEST:
            return value
        with self._lock:  # What is large is decoded beside the event loop.
            if key not in self._values:
                self._values[key] = value
                self.bytes += size
            while self.bytes > self._most:
                oldest, _ = self._values.popitem(last=False)
                self.bytes -= self._size(oldest)
        return value
