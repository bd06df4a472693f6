"""From the API server's JSON to the few fields that are kept: objects, lists, the events of a watch, files.

Used by api/watch (lists and events), by whoever writes (the answer of our own patch) and cli (files). What
is kept of each kind says workloads/kinds.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec

from resilience_operator.cluster import unreadable
from resilience_operator.cluster.cache import Described as Object
from resilience_operator.cluster.unreadable_keys import Unreadable
from resilience_operator.cluster.wire import Wire
from resilience_operator.core.errors import UnreadableObjectError
from resilience_operator.core.kinds import Kind
from resilience_operator.core.target import Watched

D = TypeVar("D")
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
    object: Object | Unreadable | None = None
    status: Status | None = None


class _Items(Wire):
    """A list, its items still as text."""

    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _List(Wire, Generic[W]):
    metadata: _ListMeta
    items: list[W] | None = None


class _ObjectEvent(Wire):
    type: str
    object: msgspec.Raw


class _Projection(Generic[W]):
    """How one kind is decoded and reduced."""

    def __init__(self, wire: type[W], reduce: Callable[[W], Object]) -> None:
        self.wire = wire
        self.reduce = reduce
        self.decode = msgspec.json.Decoder(wire).decode
        # a type made at run time: no type checker can follow
        listed: Any = _List
        self.decode_list = msgspec.json.Decoder(listed[wire]).decode


_decode_bookmark = msgspec.json.Decoder(_Bookmark).decode
_decode_error = msgspec.json.Decoder(_ErrorEvent).decode
_decode_items = msgspec.json.Decoder(_Items).decode
_decode_event = msgspec.json.Decoder(_ObjectEvent).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Decoders:
    """Decodes the kinds that the targets declare."""

    def __init__(self, watched: Iterable[Watched]) -> None:
        self.watched: dict[Kind, Watched] = {one.kind: one for one in watched}
        """Every declared kind, once, in the order of the declarations."""
        self._projections: dict[Kind, _Projection[Any]] = {
            kind: _Projection(one.wire, one.keep) for kind, one in self.watched.items()
        }
        self.kinds: tuple[Kind, ...] = tuple(self._projections)
        self.by_name: dict[str, Kind] = {kind.kind: kind for kind in self.kinds}
        """The kinds by the word that manifests have for them."""

    def project(self, kind: Kind, raw: bytes | msgspec.Raw) -> Object:
        """One object as the API server gives it. Raises UnreadableObjectError, whatever is wrong with it."""
        projection = self._projections[kind]
        try:
            found = projection.reduce(projection.decode(raw))
            unreadable.demand_small(found, raw)
        except Exception as error:
            why = unreadable.sentence(error)
            raise UnreadableObjectError(f"the API server gave an unreadable {kind}: {why}") from error
        return found

    def decode_list(self, kind: Kind, raw: bytes) -> tuple[list[Object | Unreadable], str, str]:
        """(objects, resourceVersion, continue) of one chunk of a list; an item that cannot be read is Unreadable.

        Raises UnreadableObjectError where it is no list, or an item has no name.
        """
        try:
            whole, text = _shallow(_decode_items, raw)
        except _UNREADABLE as error:
            raise UnreadableObjectError(
                f"the API server gave a list of {kind} that cannot be read: {error}"
            ) from error
        items = whole.items or ()
        easy = text is raw and not any(map(unreadable.is_large, items))
        objects = (self._all_at_once(kind, raw) if easy else None) or [
            self._read(kind, item) for item in items
        ]
        return objects, whole.metadata.resource_version, whole.metadata.continue_

    def _all_at_once(self, kind: Kind, raw: bytes) -> list[Object | Unreadable] | None:
        """What is nearly always so, in the least time: every item can be read; None where one cannot."""
        projection = self._projections[kind]
        try:
            return list(map(projection.reduce, projection.decode_list(raw).items or ()))
        except Exception:  # noqa: BLE001 - each by itself is asked then
            return None

    def decode_event(self, kind: Kind, line: bytes) -> Event:
        """One line of a watch; an object that cannot be read is Unreadable.

        Raises UnreadableObjectError on anything that is not an event of that kind.
        """
        try:
            found, line = _shallow(_decode_event, line)
        except _UNREADABLE as error:
            return _other_event(kind, line, error)
        if found.type in {"ADDED", "MODIFIED", "DELETED"}:
            try:
                read = self._read(kind, found.object)
            except UnreadableObjectError as error:
                return _other_event(kind, line, error)
            return Event(found.type, read.metadata.resource_version, read)
        return _other_event(kind, line, ValueError(f"unknown type {found.type[:40]!r}"))

    def _read(self, kind: Kind, raw: msgspec.Raw) -> Object | Unreadable:
        """One object, or as much of it as can be told. Raises UnreadableObjectError where it has no name."""
        projection, text = self._projections[kind], bytes(raw)
        try:
            unreadable.demand_uncut(text)
            found = projection.reduce(projection.decode(text))
            unreadable.demand_small(found, text)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one is no reason to lose the others
            return self._without_owners(kind, text, error)
        return found

    def _without_owners(self, kind: Kind, text: bytes, problem: Exception) -> Object | Unreadable:
        projection = self._projections[kind]
        try:
            plain, meta = unreadable.identified(text)
        except Exception as error:
            why = unreadable.sentence(problem)
            raise UnreadableObjectError(f"the API server gave a {kind} that cannot be read: {why}") from error
        rest: Object | None = None
        with suppress(Exception):
            found = projection.reduce(msgspec.convert(plain, projection.wire))
            unreadable.demand_small(found, text)
            rest = found
        declared = self.watched[kind]
        ours = rest is not None and declared.owners_matter(rest)
        if rest is not None and not declared.subject and not ours:
            return rest  # Nobody asks who owns the fields of such an object: it is whole.
        return Unreadable(meta, unreadable.sentence(problem), None if ours else rest)

    def project_dict(self, kind: Kind, obj: dict[str, Any]) -> Object:
        """One object from a file, as a YAML or JSON parser gives it; null counts as absent, as on the server.

        Raises UnreadableObjectError with the path of the field that the API server would refuse.
        """
        projection = self._projections[kind]
        try:
            return projection.reduce(msgspec.convert(_plain(obj), projection.wire))
        except msgspec.ValidationError as error:
            raise UnreadableObjectError(f"the API server would refuse this {kind}: {error}") from error
        except (msgspec.DecodeError, RecursionError, ValueError, OverflowError) as error:
            why = unreadable.sentence(error)
            raise UnreadableObjectError(f"this {kind} cannot be read: {why}") from error


def _shallow(decode: Callable[[bytes], D], raw: bytes) -> tuple[D, bytes]:
    """What `decode` makes of the text, and the text: cut off below a depth, and marked, where it is too deep for it."""
    try:
        return decode(raw), raw
    except RecursionError:
        raw = unreadable.cut(raw)
        return decode(raw), raw


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
