"""Where everything stands in a TOML document: byte-true edits and line numbers rest on it. Used by merge and validate.

tomllib says what a document means, and whether it is TOML at all; the scanner here follows a document that tomllib
has accepted and only notes the places, so it need not know what is wrong with another one.
"""

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Tree = dict[str, Any]
"""A parsed table of TOML."""
Path = tuple[str | int, ...]
"""Keys from the root; a number counts the entries of a list, from 0."""

MAX_DEPTH = 64
"""What is nested deeper, and a key of more parts, is refused: nothing of Bottlerocket's goes beyond 6."""
BARE = re.compile(r"[A-Za-z0-9_-]+")
_SPACE = re.compile(r"[ \t]*")
_BETWEEN = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")|\'\'\'.*?\'{3,5}(?!\')|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL
)
_PLAIN = re.compile(r"[^,\]}#\r\n]*")


class NotTOMLError(ValueError):
    """The text is no TOML document; `line` counts from 1, 0 where it is not known."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key = value`, or one value of a list; offsets count characters of the text."""

    path: Path
    """From the root of the document."""
    base: Path
    """The table under whose header, or within whose braces, the key is written."""
    start: int
    """Where the key begins; of a list's value, where that begins."""
    value: int
    """Where the value begins."""
    end: int
    """Where the value ends."""
    keys: tuple[str, ...] = ()
    """The parts of the key as written, with their quotes."""


@dataclass(frozen=True, slots=True)
class Header:
    """A `[table]` or `[[list of tables]]`."""

    path: Path
    start: int
    end: int
    keys: tuple[str, ...]
    """Its parts as written, with their quotes."""


@dataclass(slots=True)
class Document:
    """A parsed document and the places of all that is in it, in their order."""

    text: str
    tree: Tree
    entries: list[Entry] = field(default_factory=list)
    headers: list[Header] = field(default_factory=list)
    _starts: dict[Path, int] = field(default_factory=dict)
    """Where each path is written; filled when it is first asked for."""

    def line(self, offset: int) -> int:
        """The line of an offset, from 1."""
        return self.text.count("\n", 0, offset) + 1

    def line_of(self, path: Path) -> int:
        """The line where a path is written, or its closest ancestor that is; 1 where none is."""
        if not self._starts:
            self._starts = dict(self._found())
        starts = self._starts
        for length in range(len(path), 0, -1):
            if (start := starts.get(path[:length])) is not None:
                return self.line(start)
        return 1

    def _found(self) -> Iterator[tuple[Path, int]]:
        """(path, its offset), what counts most last: the first key or header of that very name."""
        for header in reversed(self.headers):
            for length in range(1, len(header.path)):
                yield header.path[:length], header.start
        for entry in reversed(self.entries):
            for length in range(len(entry.base) + 1, len(entry.path) + 1):
                yield entry.path[:length], entry.start
        for header in reversed(self.headers):
            yield header.path, header.start


def parse(text: str) -> Document:
    """Read a document. Raises NotTOMLError, which says where."""
    _refuse_long_keys(text)
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise NotTOMLError(*_explained(text, str(error))) from None
    except RecursionError:
        raise NotTOMLError("is nested too deeply") from None
    except ValueError as error:  # Numbers of more digits than Python converts.
        raise NotTOMLError(str(error)) from None
    document = Document(text, tree)
    _Scanner(document).scan()
    return document


_LONG_KEY = re.compile(rf"(?:[\w\"'-]+[ \t]*\.[ \t]*){{{MAX_DEPTH + 1}}}")


def _refuse_long_keys(text: str) -> None:
    """tomllib takes a time for a key that grows with the square of its parts."""
    for number, line in enumerate(text.split("\n"), 1):
        key = line.partition("=")[0].lstrip("[ \t")
        if key.count(".") > MAX_DEPTH and _LONG_KEY.match(key):
            raise NotTOMLError("a key has too many parts", number)


_AT = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


def _explained(text: str, message: str) -> tuple[str, int]:
    match = _AT.search(message)
    if match is None:
        return message, 0
    line = int(match[1]) if match[1] else text.rstrip().count("\n") + 1
    words = message[: match.start()]
    if words.startswith(("Cannot declare", "Cannot overwrite")):
        # tomllib is at the end of what it reads; the line is the right one but for a header that ends it.
        words += "; write each table and each key once"
    return words, line


class _Scanner:
    """Walks over a valid document and notes the places."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.text = document.text
        self.at = 0
        self.counts: dict[Path, int] = {}

    def scan(self) -> None:
        """Note everything."""
        base: Path = ()
        while self._skip(_BETWEEN) < len(self.text):
            if self.text[self.at] == "[":
                base = self._header()
            else:
                self._pair(base, 0)

    def _skip(self, what: re.Pattern[str]) -> int:
        match = what.match(self.text, self.at)
        self.at = match.end() if match is not None else self.at
        return self.at

    def _header(self) -> Path:
        start = self.at
        is_list = self.text.startswith("[[", start)
        self.at += 1 + is_list
        keys = self._keys()
        self._skip(_SPACE)
        self.at += 1 + is_list
        path: Path = ()
        for number, key in enumerate(keys, 1):
            path = (*path, decoded(key))
            if path in self.counts and number < len(keys):
                path = (*path, self.counts[path])
        if is_list:
            self.counts[path] = self.counts.get(path, -1) + 1
            path = (*path, self.counts[path])
        self.document.headers.append(Header(path, start, self.at, keys))
        return path

    def _keys(self) -> tuple[str, ...]:
        keys = []
        while True:
            self._skip(_SPACE)
            start = self.at
            self._skip(_STRING if self.text[start] in "\"'" else BARE)
            keys.append(self.text[start : self.at])
            self._skip(_SPACE)
            if self.text[self.at : self.at + 1] != ".":
                return tuple(keys)
            self.at += 1

    def _pair(self, base: Path, depth: int) -> None:
        start = self.at
        keys = self._keys()
        self.at += 1  # the equals sign
        self._skip(_SPACE)
        self._value((*base, *map(decoded, keys)), base, start, keys, depth)

    def _value(self, path: Path, base: Path, start: int, keys: tuple[str, ...], depth: int) -> None:
        if depth > MAX_DEPTH:
            raise NotTOMLError("is nested too deeply", self.document.line(start))
        begin = self.at
        place = len(self.document.entries)
        first = self.text[begin]
        if first in "\"'":
            self._skip(_STRING)
        elif first == "[":
            self._several("]", lambda index: self._item((*path, index), depth + 1))
        elif first == "{":
            self._several("}", lambda _index: self._pair(path, depth + 1))
        else:
            self._skip(_PLAIN)
            self.at = begin + len(self.text[begin : self.at].rstrip())
        self.document.entries.insert(place, Entry(path, base, start, begin, self.at, keys))

    def _item(self, path: Path, depth: int) -> None:
        self._value(path, path[:-1], self.at, (), depth)

    def _several(self, close: str, each: Callable[[int], None]) -> None:
        """The values between brackets or braces; `self.at` stands on the opening one."""
        self.at += 1
        index = 0
        while self.text[self._skip(_BETWEEN)] != close:
            each(index)
            index += 1
            self._skip(_BETWEEN)
            if self.text[self.at] == ",":
                self.at += 1
        self.at += 1


def decoded(key: str) -> str:
    """A part of a key as it is meant."""
    if key[:1] not in ('"', "'"):
        return key
    return str(tomllib.loads(f"key = {key}")["key"])
