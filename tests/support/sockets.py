"""Where a process listens, as the kernel tells it: for tests of what the lab opens to others."""

import contextlib
import ipaddress
import os
import sys
from pathlib import Path

LISTEN = "0A"
"""The state TCP_LISTEN of /proc/net/tcp (include/net/tcp_states.h)."""


def listening(pid: int) -> list[str]:
    """The addresses that a process listens on over TCP, one for each of its listeners."""
    rows = [line.split() for family in ("tcp", "tcp6") for line in table(family)]
    inodes = socket_inodes(pid)
    return [address(row[1].rpartition(":")[0]) for row in rows if row[3] == LISTEN and row[9] in inodes]


def table(family: str) -> list[str]:
    """The sockets of this network namespace, a line for each."""
    return Path(f"/proc/net/{family}").read_text().splitlines()[1:]


def address(words: str) -> str:
    """An address out of its 32-bit words in hexadecimal, each in the machine's own byte order."""
    parts = [int(words[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(words), 8)]
    return str(ipaddress.ip_address(b"".join(parts)))


def socket_inodes(pid: int) -> set[str]:
    """The sockets that a process holds."""
    links = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        # A busy process closes connections while they are listed; its listeners stay.
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(descriptor))
    return {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}
