"""A standard output whose reader may have enough: what was found still decides the exit code. Used by cli/main."""

import io
import os
import sys


class _Patient(io.RawIOBase):
    """A file descriptor that takes everything, also once nobody reads it any more."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number
        self._read = True

    def fileno(self) -> int:
        """The descriptor."""
        return self._number

    def isatty(self) -> bool:
        """True on a terminal."""
        return os.isatty(self._number)

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: object) -> int:
        """Write what there is a reader for, and drop the rest."""
        taken = bytes(memoryview(data))  # type: ignore[arg-type]
        if self._read:
            try:
                return os.write(self._number, taken)
            except BrokenPipeError:
                self._read = False
        return len(taken)


def outlive_the_reader() -> None:
    """`... | head` ends the output, and not the command. Nothing happens where a test has put another in its place."""
    if sys.stdout is not sys.__stdout__ or sys.stdout is None:
        return
    sys.stdout.flush()
    raw = io.BufferedWriter(_Patient(sys.stdout.fileno()))
    lines = os.isatty(sys.stdout.fileno())
    sys.stdout = io.TextIOWrapper(raw, encoding=sys.stdout.encoding, errors="replace", line_buffering=lines)
