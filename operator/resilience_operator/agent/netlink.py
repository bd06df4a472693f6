"""Netlink framing as values: what a datagram of the kernel holds, and what of it is not to be believed. No I/O.

Called by the ctnetlink codec and its socket. Every length is checked before it is used: a datagram can be cut off, or
no netlink at all. Facts: linux/netlink.h, all fields in host byte order but for attributes that say otherwise.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

REQUEST, MULTI, ACK, DUMP_INTERRUPTED, DUMP = 0x1, 0x2, 0x4, 0x10, 0x300
NOOP, ERROR, DONE, OVERRUN = 1, 2, 3, 4
_NESTED_AND_ORDER = 0xC000
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERRNO = struct.Struct("=i")
HEADER_SIZE = _HEADER.size


class MalformedError(ValueError):
    """Bytes that are not what the kernel promises: nothing in them is used."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What one datagram of a dump says."""

    hits: tuple[tuple[int, int], ...] = ()
    """Start and end of the payload of each message of the wanted type that holds a needle."""

    seen: int = 0
    """Messages of the wanted type."""

    strange: int = 0
    """Messages that are not an answer to this request: another sequence number or type. They are ignored."""

    done: bool = False
    """The dump ended with this datagram."""

    interrupted: bool = False
    """The table changed under the dump: entries may be missing in it."""

    error: int = 0
    """The errno that the kernel answered, positive; 0 for none."""


def message(kind: int, flags: int, sequence: int, payload: bytes) -> bytes:
    """One netlink message with its header, padded to four bytes."""
    head = _HEADER.pack(HEADER_SIZE + len(payload), kind, flags, sequence, 0)
    return head + payload + bytes(-len(payload) % 4)


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(payload), kind) + payload + bytes(-len(payload) % 4)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type (without its flags) and payload of each attribute in `data`.

    Raises MalformedError where a length is shorter than a header or longer than what is there.
    """
    position, end = 0, len(data)
    while end - position >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data, position)
        if length < _ATTRIBUTE.size or position + length > end:
            raise MalformedError(f"attribute of {length} bytes at {position} of {end}")
        yield kind & ~_NESTED_AND_ORDER, data[position + _ATTRIBUTE.size : position + length]
        position += (length + 3) & ~3
    if position < end:
        raise MalformedError(f"{end - position} bytes behind the last attribute")


def errno_of(payload: bytes) -> int:
    """The errno of the payload of an ERROR or DONE message, positive; 0 is an acknowledgement."""
    if len(payload) < _ERRNO.size:
        raise MalformedError(f"an error of {len(payload)} bytes")
    (number,) = _ERRNO.unpack_from(payload)
    return -int(number) if number < 0 else 0


def headers(data: bytes | bytearray, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Type, flags, sequence, start and end of the payload of each message in `data[:end]`.

    Raises MalformedError where a length is shorter than a header or longer than what is there.
    """
    position, unpack = 0, _HEADER.unpack_from
    while end - position >= HEADER_SIZE:
        length, kind, flags, sequence, _ = unpack(data, position)
        if length < HEADER_SIZE or position + length > end:
            raise MalformedError(f"message of {length} bytes at {position} of {end}")
        yield kind, flags, sequence, position + HEADER_SIZE, position + length
        position += (length + 3) & ~3
    if position < end:
        raise MalformedError(f"{end - position} bytes behind the last message")


def scan(data: bytes | bytearray, end: int, sequence: int, wanted: int, needles: Sequence[bytes]) -> Scan:
    """Read a datagram of a dump: find the messages that hold a needle, without a look into the others.

    `data[:end]` is the datagram, `wanted` the message type of entries. Raises MalformedError for the whole datagram: a
    length that is wrong once makes every later boundary a guess.
    """
    found = _positions(data, end, needles)
    hits: list[tuple[int, int]] = []
    seen = strange = error = step = 0
    done = interrupted = False
    for kind, flags, answered, start, stop in headers(data, end):
        if answered != sequence:
            strange += 1
        elif kind == wanted:
            seen += 1
            interrupted = interrupted or bool(flags & DUMP_INTERRUPTED)
            while step < len(found) and found[step] < start:
                step += 1
            if step < len(found) and found[step] < stop:
                hits.append((start, stop))
        elif kind in (DONE, ERROR):
            done = True
            interrupted = interrupted or bool(flags & DUMP_INTERRUPTED)
            error = errno_of(bytes(data[start:stop])) if stop > start else 0
        elif kind == OVERRUN:
            interrupted = True
        elif kind != NOOP:
            strange += 1
    return Scan(tuple(hits), seen, strange, done, interrupted, error)


def _positions(data: bytes | bytearray, end: int, needles: Sequence[bytes]) -> list[int]:
    found: list[int] = []
    for needle in needles:
        position = data.find(needle, 0, end)
        while position >= 0:
            found.append(position)
            position = data.find(needle, position + 1, end)
    if len(needles) > 1:
        found.sort()
    return found
