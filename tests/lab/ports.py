"""Ports on loopback that stay a lab's own while it lives.

Called by `cluster`. A part that is killed must come back on the same port, so the ports are taken below the
kernel's ephemeral range, where no outgoing connection borrows one in between, and a lock file per port keeps
two labs that start at once apart.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
from pathlib import Path
from types import TracebackType

from tests.lab.errors import LabError

_FIRST, _LAST = 20000, 32000
_TRIES = 2000


class Ports:
    """A reservation; `close` gives the ports back."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._locks: list[int] = []

    def take(self) -> int:
        """A port that is free, and that no other lab has taken."""
        for _ in range(_TRIES):
            port = random.randrange(_FIRST, _LAST)  # noqa: S311
            if self._lock(port):
                return port
        raise LabError(f"no free port between {_FIRST} and {_LAST}")

    def _lock(self, port: int) -> bool:
        descriptor = os.open(self._directory / str(port), os.O_CREAT | os.O_RDWR, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(descriptor)
            return False
        self._locks.append(descriptor)
        return True

    def close(self) -> None:
        """Release the locks; closing a descriptor drops its lock."""
        while self._locks:
            os.close(self._locks.pop())

    def __enter__(self) -> Ports:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
