"""ctnetlink as values: requests, and entries of the connection tracking table. No I/O.

Called by the socket and by the purge. Facts: linux/netfilter/nfnetlink_conntrack.h; addresses and ports are in network
byte order. A DELETE without a tuple that the kernel takes flushes the table, so `deletion` builds a request from
nothing but a complete tuple and the entry's own id. The tuple is the one of the answers: it holds the backend. By the
original one, a flow that was made anew to a live endpoint can be hit: its id may be the old one (measured, Linux 6.18).
"""

import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NewType

from resilience_operator.agent.netlink import (
    ACK,
    DUMP,
    REQUEST,
    MalformedError,
    attribute,
    attributes,
    message,
)

IPV4, IPV6 = int(socket.AF_INET), int(socket.AF_INET6)
UDP = int(socket.IPPROTO_UDP)
DST_NAT = 1 << 5
"""IPS_DST_NAT of the status: the kernel rewrites the destination of the flow."""

_SUBSYSTEM = 1 << 8
ENTRY = _SUBSYSTEM | 0
_GET, _DELETE, STATS = _SUBSYSTEM | 1, _SUBSYSTEM | 2, _SUBSYSTEM | 5
_FAMILY = struct.Struct("=BBH")
_BIG32 = struct.Struct(">I")
_TUPLE_ORIG, _TUPLE_REPLY, _STATUS, _ID, _ZONE = 1, 2, 3, 12, 18
_IP, _PROTO, _TUPLE_ZONE = 1, 2, 3
_SOURCE = {4: 1, 16: 3}
_DESTINATION = {4: 2, 16: 4}
_ADDRESS_SIZE = {IPV4: 4, IPV6: 16}
_NESTED = 0x8000
_ID_HEAD = struct.pack("=HH", 8, _ID)
LARGEST_ENTRY = 4096
"""Bytes. Real entries have 150 to 400; labels and helpers stay far below a page."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One direction of a flow, as the kernel keys it."""

    source: bytes
    """The address, 4 or 16 bytes."""

    destination: bytes
    """The address, as long as the source."""

    protocol: int
    """IANA number of the transport protocol."""

    source_port: int
    destination_port: int


@dataclass(frozen=True, slots=True)
class Key:
    """What names exactly one entry, with the backend that it leads to."""

    reply: Flow
    """The direction of answers: its source is the backend."""

    identity: bytes
    """CTA_ID, four bytes as the kernel gave them."""


Deletion = NewType("Deletion", bytes)
"""The body of a DELETE, made by `deletion` alone."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the table, with what a decision needs."""

    key: Key
    original: Flow
    """The direction of the first packet: its destination is what the client asked for."""

    status: int
    """Bits of enum ip_conntrack_status."""

    zoned: bool
    """The entry is in a conntrack zone: not one of kube-proxy's."""


def dump(sequence: int, family: int) -> bytes:
    """Ask for every entry of an address family. Without a filter: one that matches little holds a CPU's packets up."""
    return message(_GET, REQUEST | DUMP, sequence, _FAMILY.pack(family, 0, 0))


def count(sequence: int) -> bytes:
    """Ask for the number of entries and the limit of this network namespace."""
    return message(STATS, REQUEST, sequence, _FAMILY.pack(0, 0, 0))


def deletion(key: Key) -> Deletion:
    """What deletes one entry, without a sequence number: 64 bytes, so that many can wait.

    Raises ValueError unless the tuple and the id are complete, because less would mean more.
    """
    flow, size = key.reply, len(key.reply.source)
    family = {4: IPV4, 16: IPV6}.get(size)
    ports = (flow.source_port, flow.destination_port)
    if family is None or len(flow.destination) != size:
        raise ValueError("a DELETE needs both addresses of the entry")
    if flow.protocol != UDP or not all(0 < port <= 0xFFFF for port in ports):
        raise ValueError("a DELETE is for a UDP entry with both ports")
    if len(key.identity) != _BIG32.size:
        raise ValueError("a DELETE needs the id of the entry")
    shape = _SHAPES[size]
    values = (flow.source, flow.destination, flow.protocol, *(port.to_bytes(2, "big") for port in ports))
    tuple_ = shape.form.pack(*(part for pair in zip(shape.reply, values, strict=True) for part in pair))
    return Deletion(_FAMILY.pack(family, 0, 0) + tuple_ + _ID_HEAD + key.identity)


def delete(first: int, deletions: Sequence[Deletion]) -> bytes:
    """One request for each deletion, numbered from `first`; the last is acknowledged, and every failure is told."""
    last = len(deletions) - 1
    return b"".join(
        message(_DELETE, REQUEST | (ACK if step == last else 0), first + step, body)
        for step, body in enumerate(deletions)
    )


def needle(address: bytes) -> bytes:
    """The bytes that every UDP entry to this address holds: the attribute, and the head of the protocol behind it.

    A kernel that put them in another order would show no entry at all: nothing is found, and nothing deleted.
    """
    ports = struct.pack("=HH", _PORTS_SIZE, _PROTO | _NESTED)
    return attribute(_DESTINATION[len(address)], address) + ports + attribute(1, bytes([UDP]))[:5]


def entry(payload: bytes) -> Entry | None:
    """The entry in the payload of a message; None for one without ports (ICMP) or without what names it.

    Raises MalformedError where the bytes are not what the kernel promises.
    """
    if not _FAMILY.size <= len(payload) <= LARGEST_ENTRY:
        raise MalformedError(f"an entry of {len(payload)} bytes")
    size = _ADDRESS_SIZE.get(payload[0])
    if size is None:
        return None
    usual = _usual(payload, size)
    start = usual[2] if usual else _FAMILY.size
    found = _once(attributes(payload[start:]), (_TUPLE_ORIG, _TUPLE_REPLY, _STATUS, _ID, _ZONE))
    zoned = _ZONE in found
    if usual:
        original: Flow | None = usual[0]
        reply: Flow | None = usual[1]
        if found.keys() & {_TUPLE_ORIG, _TUPLE_REPLY}:
            raise MalformedError("a tuple comes twice")
    else:
        original, original_zoned = _flow(found.get(_TUPLE_ORIG, b""), size)
        reply, reply_zoned = _flow(found.get(_TUPLE_REPLY, b""), size)
        zoned = zoned or original_zoned or reply_zoned
    if original is None or reply is None or not {_STATUS, _ID} <= found.keys():
        return None
    (status,) = _BIG32.unpack(_exactly(found[_STATUS], 4))
    return Entry(Key(reply, _exactly(found[_ID], 4)), original, status, zoned)


def leads_to(payload: bytes | bytearray, start: int, stop: int) -> bytes:
    """Address and port (big endian) of the reply's source, read where the kernel puts them; b"" elsewhere.

    A shortcut of 1 us that may only spare an entry: what is deleted has been decoded whole.
    """
    size = _ADDRESS_SIZE.get(payload[start], 0) if start < stop else 0
    shape = _SHAPES.get(size)
    if shape is None or stop - start < _FAMILY.size + 2 * shape.size:
        return b""
    parts = shape.form.unpack_from(payload, start + _FAMILY.size + shape.size)
    return parts[1] + parts[7] if parts[::2] == shape.reply else b""


def numbers(payload: bytes) -> tuple[int, int]:
    """Entries and limit of an answer to `count`. Raises MalformedError where one is missing."""
    if len(payload) < _FAMILY.size:
        raise MalformedError("a count without a header")
    found = _once(attributes(payload[_FAMILY.size :]), (1, 2))
    if found.keys() != {1, 2}:
        raise MalformedError("a count without entries or limit")
    entries, limit = (_BIG32.unpack(_exactly(found[kind], 4))[0] for kind in (1, 2))
    return int(entries), int(limit)


_PORTS_SIZE = 4 + 8 + 8 + 8


@dataclass(frozen=True, slots=True)
class _Shape:
    """How the kernel writes a tuple of UDP or TCP: heads of attributes by turns with their values."""

    form: struct.Struct
    """Head, source, head, destination, head, protocol, head, source port, head, destination port."""

    size: int
    original: tuple[bytes, ...]
    """The heads of CTA_TUPLE_ORIG."""

    reply: tuple[bytes, ...]
    """The heads of CTA_TUPLE_REPLY."""


def _shape(size: int) -> _Shape:
    head = struct.Struct("=HH").pack
    addresses = 4 + 2 * (4 + size)
    whole = 4 + addresses + _PORTS_SIZE
    behind = (
        head(4 + size, _DESTINATION[size]),
        head(_PORTS_SIZE, _PROTO | _NESTED) + head(5, 1),
        head(6, 2),
        head(6, 3),
    )
    first = head(addresses, _IP | _NESTED) + head(4 + size, _SOURCE[size])
    return _Shape(
        struct.Struct(f"=12s{size}s4s{size}s8sB3x4s2s2x4s2s2x"),
        whole,
        (head(whole, _TUPLE_ORIG | _NESTED) + first, *behind),
        (head(whole, _TUPLE_REPLY | _NESTED) + first, *behind),
    )


_SHAPES = {size: _shape(size) for size in (4, 16)}


def _usual(payload: bytes, size: int) -> tuple[Flow, Flow, int] | None:
    """Both flows where the kernel puts them, and where the next attribute starts; None for another order.

    Every head is compared, so this reads what the walk over the attributes reads, in a tenth of its time.
    """
    shape = _SHAPES[size]
    end = _FAMILY.size + 2 * shape.size
    if len(payload) < end:
        return None
    first = shape.form.unpack_from(payload, _FAMILY.size)
    second = shape.form.unpack_from(payload, _FAMILY.size + shape.size)
    if first[::2] != shape.original or second[::2] != shape.reply:
        return None
    original, reply = (
        Flow(one[1], one[3], one[5], int.from_bytes(one[7], "big"), int.from_bytes(one[9], "big"))
        for one in (first, second)
    )
    return original, reply, end


def _flow(data: bytes, size: int) -> tuple[Flow | None, bool]:
    """The flow in a tuple (None without ports), and whether it has a zone."""
    parts = _once(attributes(data), (_IP, _PROTO, _TUPLE_ZONE))
    zoned = _TUPLE_ZONE in parts
    addresses = _once(attributes(parts.get(_IP, b"")), (_SOURCE[size], _DESTINATION[size]))
    protocol = _once(attributes(parts.get(_PROTO, b"")), (1, 2, 3))
    if len(addresses) != 2 or len(protocol) != 3:
        return None, zoned
    source, destination = (_exactly(addresses[kind[size]], size) for kind in (_SOURCE, _DESTINATION))
    ports = (int.from_bytes(_exactly(protocol[kind], 2), "big") for kind in (2, 3))
    return Flow(source, destination, _exactly(protocol[1], 1)[0], *ports), zoned


def _once(found: Iterable[tuple[int, bytes]], wanted: tuple[int, ...]) -> dict[int, bytes]:
    """The wanted attributes by type. Raises MalformedError for one that comes twice: which counts is a guess."""
    known: dict[int, bytes] = {}
    for kind, payload in found:
        if kind not in wanted:
            continue
        if kind in known:
            raise MalformedError(f"attribute {kind} comes twice")
        known[kind] = payload
    return known


def _exactly(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise MalformedError(f"{len(data)} bytes where {size} belong")
    return data
