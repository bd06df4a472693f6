"""What is too deep or too large to be read, and what can still be told of it. Used by cluster/decode.

The API server takes objects of 1.5 MiB that are nested 10,000 deep. No rule reads anything below depth 20.
"""

import re
import secrets
from typing import Any

import msgspec

from resilience_operator.cluster.last_applied import LAST_APPLIED
from resilience_operator.cluster.objects.meta import Meta
from resilience_operator.core.plain import QUOTED, plain

MAX_DEPTH = 64
"""Below, nothing is kept of a text that is too deep for the decoder."""

SUSPICIOUS = 64 * 1024
"""Bytes of an object as the API server gives it, above which is asked what of it is to be kept."""

MAX_KEPT = 64 * 1024
"""Bytes of what is kept of an object: an honest one, which has many environment variables, keeps a tenth of it."""

_MARK = f"too deep {secrets.token_hex(8)}".encode()
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[{]|[\]}]', re.DOTALL)


class TooLargeError(ValueError):
    """An object of which more would have to be kept than all others together should pay for."""


class TooDeepError(ValueError):
    """An object that is nested deeper than anything that a rule reads."""


def is_large(raw: bytes | msgspec.Raw) -> bool:
    """True where it has to be asked what of it is to be kept."""
    return memoryview(raw).nbytes > SUSPICIOUS


def demand_small(found: Any, raw: bytes | msgspec.Raw) -> None:
    """Raises TooLargeError where too much would have to be kept of the object."""
    if not is_large(raw):
        return
    size = len(msgspec.json.encode(found))
    if size > MAX_KEPT:
        raise TooLargeError(
            f"{size // 1024} KiB of it would have to be kept (labels, annotations, selectors, containers), "
            f"at most {MAX_KEPT // 1024} KiB are"
        )


def demand_uncut(text: bytes) -> None:
    """Raises TooDeepError where something of it was cut off."""
    if _MARK in text:
        raise TooDeepError(f"it is nested deeper than {MAX_DEPTH} levels")


def cut(raw: bytes) -> bytes:
    """The JSON text with a mark in place of every value below MAX_DEPTH; without recursion, in one go."""
    kept, depth, start = [], 0, 0
    for token in _TOKEN.finditer(raw):
        first = raw[token.start()]
        if first in b"[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept.append(raw[start : token.start()])
        elif first in b"]}":
            if depth == MAX_DEPTH + 1:
                kept.append(b'"' + _MARK + b'"')
                start = token.end()
            depth -= 1
    return b"".join([*kept, raw[start:]])


def identified(text: bytes) -> tuple[dict[str, Any], Meta]:
    """The object without who owns and chose its fields, and its identity. Raises where it has none."""
    try:
        plain: dict[str, Any] = msgspec.json.decode(text)
    except RecursionError:
        plain = msgspec.json.decode(cut(text))
    meta = plain["metadata"]
    found = msgspec.convert(
        {key: meta[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in meta}, Meta
    )
    if not found.name:
        raise ValueError("an object without a name")
    meta.pop("managedFields", None)
    if isinstance(meta.get("annotations"), dict):
        meta["annotations"].pop(LAST_APPLIED, None)
    return plain, found


def sentence(error: Exception) -> str:
    """An error about what a tenant wrote, as a part of a sentence: short, and harmless to a terminal."""
    match error:
        case RecursionError():
            text = "it is nested too deep"
        case TooLargeError() | TooDeepError() | msgspec.DecodeError():
            text = str(error)
        case _:
            text = f"{type(error).__name__}: {error}"
    return plain(text, QUOTED)
