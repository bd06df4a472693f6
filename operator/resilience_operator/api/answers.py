"""What the API server answered to a request about one object, as an object; used by every adapter that reads one.

A proxy or a load balancer between may answer 200 with a page or with JSON of its own: that is an ordinary failure of
the one request, and nothing is known of what it asked for.
"""

import json
from typing import Any

import msgspec

from resilience_operator.core.errors import Unreachable
from resilience_operator.core.plain import plain


class Meta(msgspec.Struct, rename="camel"):
    """metadata of any object that is stored."""

    name: str
    resource_version: str


class _Stored(msgspec.Struct):
    metadata: Meta


class _Ended(msgspec.Struct):
    metadata: dict[str, Any]


_decode = msgspec.json.Decoder(_Stored).decode
_decode_ended = msgspec.json.Decoder(_Ended).decode
_STRANGE = (msgspec.MsgspecError, ValueError, RecursionError)


def meta(raw: bytes) -> Meta:
    """The metadata of the object that was answered. Raises Unreachable where it is none."""
    try:
        return _decode(raw).metadata
    except _STRANGE:
        raise _strange(raw) from None


def whole(raw: bytes) -> dict[str, Any]:
    """The object that was answered. Raises Unreachable where it is none."""
    meta(raw)
    try:
        return dict(json.loads(raw))
    except _STRANGE:
        raise _strange(raw) from None


def deleted(raw: bytes) -> None:
    """An object, or a Status, as answered to a DELETE. Raises Unreachable where it is neither."""
    try:
        _decode_ended(raw)
    except _STRANGE:
        raise _strange(raw) from None


def _strange(raw: bytes) -> Unreachable:
    begin = plain(raw[:200].decode(errors="replace"), 80)
    return Unreachable(
        f"the answer is no object of the API server, but {begin!r}: look for a proxy or load balancer between"
    )
