"""The connection tracking table of this network namespace, over a netlink socket. Called by the purge and the sampler.

Each dump has a socket of its own, so that an answer that was cut off cannot be taken for one to a later request. Needs
CAP_NET_ADMIN in the namespace: the count alone does as well. Synchronous: it belongs in a thread.
"""

import errno
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from resilience_operator.agent import conntrack, netlink
from resilience_operator.agent.conntrack import Deletion

_NETFILTER = 12
"""NETLINK_NETFILTER of linux/netlink.h."""

_RECEIVE = 65536
"""Bytes. The kernel fills at most 32 KiB a datagram of a dump."""

BATCH = 128
"""Deletes in one send: 10 us each instead of 24, and their answers fit the receive buffer."""

PACE_ABOVE = 100_000
"""Entries seen from which a dump pauses between datagrams: packets on its CPU wait less than a millisecond."""

PACE = 0.0002
"""Seconds of a pause."""

PAUSE_EACH = 4
"""Datagrams between two pauses: the kernel reads each in 0.3 ms, and lets packets through after it."""

DEADLINE = 30.0
"""Seconds. A dump of a million entries takes 2 s; what takes longer is given up."""


class TableError(OSError):
    """The kernel did not answer as asked; the sentence says what."""


@dataclass(slots=True)
class Dump:
    """How a dump went; filled while it is read."""

    seen: int = 0
    strange: int = 0
    interrupted: bool = False


def find(
    family: int, needles: Sequence[bytes], how: Dump, pace: float = PACE
) -> Iterator[tuple[bytearray, tuple[tuple[int, int], ...]]]:
    """Read the whole table of a family: each datagram that holds a needle, with the places of its messages.

    The buffer is used anew for the next datagram. Raises TableError where the kernel gives up (ENOBUFS), where a
    datagram is malformed, and after DEADLINE.
    """
    sequence = time.monotonic_ns() & 0x7FFFFFFF
    buffer = bytearray(_RECEIVE)
    with _connect() as channel:
        channel.send(conntrack.dump(sequence, family))
        until = time.monotonic() + DEADLINE
        done, read = False, 0
        while not done:
            if time.monotonic() > until:
                raise TableError(errno.ETIMEDOUT, f"the table was not read within {DEADLINE:.0f} s")
            end = _receive(channel, buffer)
            part = _scanned(buffer, end, sequence, needles)
            how.seen += part.seen
            how.strange += part.strange
            how.interrupted = how.interrupted or part.interrupted
            done = part.done
            if part.hits:
                yield buffer, part.hits
            read += 1
            if pace and how.seen > PACE_ABOVE and read % PAUSE_EACH == 0 and not done:
                time.sleep(pace)


def delete(deletions: Sequence[Deletion]) -> tuple[int, int]:
    """Delete entries: how many were there, and how many were gone already. At most BATCH of them.

    Raises TableError at any other answer; what was deleted before it stays deleted.
    """
    if not 0 < len(deletions) <= BATCH:
        raise ValueError(f"1 to {BATCH} entries at a time")
    first = time.monotonic_ns() & 0x3FFFFFFF
    last = first + len(deletions) - 1
    gone = 0
    buffer = bytearray(_RECEIVE)
    until = time.monotonic() + DEADLINE
    with _connect() as channel:
        channel.send(conntrack.delete(first, deletions))
        while True:
            if time.monotonic() > until:
                raise TableError(errno.ETIMEDOUT, "deletes without an answer")
            for sequence, number in _answers(channel, buffer):
                if number not in (0, errno.ENOENT):
                    raise TableError(
                        number, f"an entry was not deleted: {errno.errorcode.get(number, number)}"
                    )
                gone += number == errno.ENOENT and first <= sequence <= last
                if sequence == last:
                    return len(deletions) - gone, gone


def count() -> tuple[int, int]:
    """Entries and limit of this network namespace. Raises TableError, and PermissionError without CAP_NET_ADMIN."""
    sequence = time.monotonic_ns() & 0x7FFFFFFF
    buffer = bytearray(_RECEIVE)
    with _connect() as channel:
        channel.send(conntrack.count(sequence))
        for _ in range(8):
            end = _receive(channel, buffer)
            for kind, _flags, answered, start, stop in _headers(buffer, end):
                if answered != sequence:
                    continue
                if kind == netlink.ERROR:
                    number = netlink.errno_of(bytes(buffer[start:stop]))
                    raise _refused(number)
                if kind == conntrack.STATS:
                    return _numbers(bytes(buffer[start:stop]))
    raise TableError(errno.EPROTO, "the kernel did not answer the question for the number of entries")


def _refused(number: int) -> OSError:
    if number == errno.EPERM:
        return PermissionError(
            number, "conntrack is closed to this process: it needs the capability NET_ADMIN"
        )
    return TableError(number, f"conntrack answered {errno.errorcode.get(number, number)}")


def _connect() -> socket.socket:
    channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
    try:
        channel.bind((0, 0))
        channel.settimeout(5.0)
    except OSError:
        channel.close()
        raise
    return channel


def _receive(channel: socket.socket, buffer: bytearray) -> int:
    """One datagram of the kernel into the buffer; its length. Raises TableError for a cut one, ENOBUFS and silence."""
    try:
        for _ in range(64):
            end, _ancillary, flags, sender = channel.recvmsg_into([buffer])
            if flags & socket.MSG_TRUNC:
                raise TableError(errno.EMSGSIZE, "a datagram of the kernel was cut off")
            if sender[0] == 0:
                return end
    except TimeoutError:
        raise TableError(errno.ETIMEDOUT, "conntrack did not answer within 5 s") from None
    except OSError as error:
        if isinstance(error, TableError) or error.errno != errno.ENOBUFS:
            raise
        raise TableError(errno.ENOBUFS, "the kernel dropped an answer: its buffer was full") from None
    raise TableError(errno.EPROTO, "others than the kernel write to the socket")


def _scanned(buffer: bytearray, end: int, sequence: int, needles: Sequence[bytes]) -> netlink.Scan:
    try:
        part = netlink.scan(buffer, end, sequence, conntrack.ENTRY, needles)
    except netlink.MalformedError as error:
        raise TableError(errno.EPROTO, f"malformed netlink: {error}") from None
    if part.error:
        raise _refused(part.error)
    return part


def _headers(buffer: bytearray, end: int) -> list[tuple[int, int, int, int, int]]:
    try:
        return list(netlink.headers(buffer, end))
    except netlink.MalformedError as error:
        raise TableError(errno.EPROTO, f"malformed netlink: {error}") from None


def _answers(channel: socket.socket, buffer: bytearray) -> list[tuple[int, int]]:
    """Sequence number and errno of each acknowledgement in the next datagram."""
    end = _receive(channel, buffer)
    found = _headers(buffer, end)
    try:
        return [
            (at, netlink.errno_of(bytes(buffer[a:b]))) for kind, _, at, a, b in found if kind == netlink.ERROR
        ]
    except netlink.MalformedError as error:
        raise TableError(errno.EPROTO, f"malformed netlink: {error}") from None


def _numbers(payload: bytes) -> tuple[int, int]:
    try:
        return conntrack.numbers(payload)
    except netlink.MalformedError as error:
        raise TableError(errno.EPROTO, f"malformed netlink: {error}") from None
