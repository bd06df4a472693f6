"""From the API server's JSON to the few fields that are kept: objects, lists, the events of a watch, files.

Used by api/watch (lists and events), by whoever writes (the answer of our own patch) and cli (files). What
is kept of each kind says cluster/keep.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec

from resilience_operator.cluster.cache import Described as Object
from resilience_operator.cluster.wire import Wire
from resilience_operator.core.errors import UnreadableObjectError
from resilience_operator.core.kinds import Kind
from resilience_operator.core.target import Watched

W = TypeVar("W")


class Status(Wire):
    """metav1.Status as the object of an ERROR event."""

    code: int = 0
    reason: str = ""
    message: str = ""


class _ListMeta(Wire):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _ErrorEvent(Wire):
    type: str
    object: Status


class _VersionOnly(Wire):
    metadata: _ListMeta


class _Bookmark(Wire):
    type: str
    object: _VersionOnly


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a watch: `object` of ADDED, MODIFIED, DELETED, `status` of ERROR, neither of BOOKMARK."""

    type: str
    resource_version: str = ""
    object: Object | None = None
    status: Status | None = None


class _List(Wire, Generic[W]):
    metadata: _ListMeta
    items: list[W] | None = None


class _ObjectEvent(Wire, Generic[W]):
    type: str
    object: W


class _Projection(Generic[W]):
    """How one kind is decoded and reduced."""

    def __init__(self, wire: type[W], reduce: Callable[[W], Object]) -> None:
        self.wire = wire
        self.reduce = reduce
        self.decode = msgspec.json.Decoder(wire).decode
        # a type made at run time: no type checker can follow
        listed: Any = _List
        event: Any = _ObjectEvent
        self.decode_list = msgspec.json.Decoder(listed[wire]).decode
        self.decode_event = msgspec.json.Decoder(event[wire]).decode


_decode_bookmark = msgspec.json.Decoder(_Bookmark).decode
_decode_error = msgspec.json.Decoder(_ErrorEvent).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError)


class Decoders:
    """Decodes the kinds that the targets declare."""

    def __init__(self, watched: Iterable[Watched]) -> None:
        self._projections: dict[Kind, _Projection[Any]] = {
            one.kind: _Projection(one.wire, one.keep) for one in watched
        }
        self.kinds: tuple[Kind, ...] = tuple(self._projections)
        """Every declared kind, once, in the order of the declarations."""
        self.by_name: dict[str, Kind] = {kind.kind: kind for kind in self.kinds}
        """The kinds by the word that manifests have for them."""

    def project(self, kind: Kind, raw: bytes | msgspec.Raw) -> Object:
        """One object as the API server gives it. Raises UnreadableObjectError."""
        projection = self._projections[kind]
        try:
            return projection.reduce(projection.decode(raw))
        except _UNREADABLE as error:
            raise UnreadableObjectError(f"the API server gave an unreadable {kind}: {error}") from error

    def decode_list(self, kind: Kind, raw: bytes) -> tuple[list[Object], str, str]:
        """(objects, resourceVersion, continue) of one chunk of a list. Raises UnreadableObjectError."""
        projection = self._projections[kind]
        try:
            found = projection.decode_list(raw)
        except _UNREADABLE as error:
            raise UnreadableObjectError(
                f"the API server gave a list of {kind} that cannot be read: {error}"
            ) from error
        objects = list(map(projection.reduce, found.items or ()))
        return objects, found.metadata.resource_version, found.metadata.continue_

    def decode_event(self, kind: Kind, line: bytes) -> Event:
        """One line of a watch. Raises UnreadableObjectError on anything that is not an event of that kind."""
        projection = self._projections[kind]
        try:
            found = projection.decode_event(line)
        except _UNREADABLE as error:
            return _other_event(kind, line, error)
        version = found.object.metadata.resource_version
        if found.type in {"ADDED", "MODIFIED", "DELETED"}:
            return Event(found.type, version, projection.reduce(found.object))
        return _other_event(kind, line, ValueError(f"unknown type {found.type!r}"))

    def project_dict(self, kind: Kind, obj: dict[str, Any]) -> Object:
        """One object from a file, as a YAML or JSON parser gives it; null counts as absent, as on the server.

        Raises UnreadableObjectError with the path of the field that the API server would refuse.
        """
        projection = self._projections[kind]
        try:
            return projection.reduce(msgspec.convert(_plain(obj), projection.wire))
        except msgspec.ValidationError as error:
            raise UnreadableObjectError(f"the API server would refuse this {kind}: {error}") from error


def _other_event(kind: Kind, line: bytes, problem: Exception) -> Event:
    """A bookmark, whose object is empty but for its version (`"selector": null`), or an ERROR."""
    with suppress(*_UNREADABLE):
        bookmark = _decode_bookmark(line)
        if bookmark.type == "BOOKMARK":
            return Event(bookmark.type, bookmark.object.metadata.resource_version)
    with suppress(*_UNREADABLE):
        found = _decode_error(line)
        if found.type == "ERROR":
            return Event(found.type, status=found.object)
    raise UnreadableObjectError(
        f"the watch of {kind} gave a line that cannot be read: {problem}"
    ) from problem


def _plain(value: Any) -> Any:
    """The value without nulls in mappings; dates that a YAML parser made are text again."""
    if isinstance(value, dict):
        return {key: _plain(child) for key, child in value.items() if child is not None}
    if isinstance(value, list):
        return [_plain(child) for child in value]
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    return value
