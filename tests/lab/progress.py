"""What a build shows while it runs: a live line on a terminal, one line per step in a pipe.

Used by `build` and `toolchain`; everything goes to stderr.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType

_PAUSE = 0.2


class Progress:
    """Steps that begin one after the other, each with its elapsed seconds."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._step = 0
        self._what = ""
        self._began = self._first = time.monotonic()
        self._live = sys.stderr.isatty()

    def note(self, text: str) -> None:
        """A line of its own."""
        print(f"lab: {text}", file=sys.stderr, flush=True)

    def begin(self, what: str) -> None:
        """The next step begins, and the one before is done."""
        self._finish()
        self._step += 1
        self._what, self._began = f"lab: [{self._step}/{self._steps}] {what}", time.monotonic()
        _print(self._what)

    def tick(self) -> None:
        """Wait a moment and refresh the live line."""
        time.sleep(_PAUSE)
        if self._live:
            _print(f"\r{self._what}{self._elapsed()}\033[K")

    def _finish(self) -> None:
        if self._what:
            # A pipe has the step's name on this line already.
            _print(f"\r{self._what}{self._elapsed()}\033[K\n" if self._live else f"{self._elapsed()}\n")
        self._what = ""

    def _elapsed(self) -> str:
        return f" {time.monotonic() - self._began:.0f} s"

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._finish()
            self.note(f"done in {time.monotonic() - self._first:.0f} s")
        elif self._what:
            _print("\n")


def _print(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)
