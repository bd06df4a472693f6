"""Settings of a policy into somebody's TOML: every byte that need not change stays. Used by placing.

Karpenter replaces every node of a class whose user data differs in a single byte, so what is equal in content is
left alone. Each result is held against a plain merge of the parsed trees before it is given away: where this
module errs it refuses, and never gives a document that says something else.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from resilience_operator.targets.bottlerocket import emit
from resilience_operator.targets.bottlerocket.document import (
    BARE,
    Document,
    Entry,
    NotTOMLError,
    Path,
    Tree,
    parse,
)

PLACEHOLDER = re.compile(r"\$\{|%\{|\{\{")
"""Terraform's and Helm's: within a string they would reach the node as they stand."""


MAX_LENGTH = 1 << 16
"""Characters; four times what EC2 takes."""


class MergeRefusedError(ValueError):
    """The document stays as it is; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Edit:
    """At an offset of the text as the edits before left it, what goes and what comes."""

    at: int
    removed: str
    added: str


@dataclass(frozen=True, slots=True)
class Merged:
    """The new text, the same one where nothing had to change, and the edits in the order in which they were made."""

    text: str
    edits: tuple[Edit, ...] = ()

    @property
    def changed(self) -> bool:
        """False where the document said it all before."""
        return bool(self.edits)

    def reverted(self) -> str:
        """The former text, byte for byte."""
        text = self.text
        for edit in reversed(self.edits):
            text = text[: edit.at] + edit.removed + text[edit.at + len(edit.added) :]
        return text


def merge(text: str, patch: Tree) -> Merged:
    """Put the leaves of `patch` (from the root: {"settings": {...}}) into a document.

    Tables are merged by key, everything else is replaced, as Bottlerocket does it with its defaults. Raises
    MergeRefusedError.
    """
    document = _readable(text)
    wanted = plain_merge(document.tree, patch)
    if same(document.tree, wanted):
        return Merged(text)
    edits: list[Edit] = []
    merged = text
    for path, value in _leaves(patch):
        document = _readable(merged)
        if (edit := _edit(document, path, value)) is not None:
            edits.append(edit)
            merged = merged[: edit.at] + edit.added + merged[edit.at + len(edit.removed) :]
    if not same(_readable(merged).tree, wanted):
        raise MergeRefusedError(
            "the document is written in a way that cannot be edited safely; nothing is written"
        )
    return Merged(merged, tuple(edits))


def plain_merge(tree: Tree, patch: Mapping[str, Any]) -> Tree:
    """The tree that a document must mean after the merge."""
    merged = dict(tree)
    for name, value in patch.items():
        present = merged.get(name)
        if isinstance(value, Mapping):
            merged[name] = plain_merge(present if isinstance(present, dict) else {}, value)
        else:
            merged[name] = value
    return merged


def same(left: Any, right: Any) -> bool:
    """Equal also in type: to TOML's readers 1, 1.0 and true are three values."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right) or left != left


def _readable(text: str) -> Document:
    match = PLACEHOLDER.search(text)
    if match is not None:
        line = text.count("\n", 0, match.start()) + 1
        raise MergeRefusedError(
            f"line {line}: {match[0]} is a placeholder of a template; merge what is rendered"
        )
    if len(text) > MAX_LENGTH:
        raise MergeRefusedError(f"is longer than {MAX_LENGTH:,} characters; EC2 takes 16 KiB")
    try:
        return parse(text)
    except NotTOMLError as error:
        raise MergeRefusedError(f"line {error.line}: is no TOML: {error}") from error


def _leaves(patch: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in patch.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value


def _edit(document: Document, path: tuple[str, ...], value: Any) -> Edit | None:
    """What one leaf changes; None where it is there already."""
    known: Any = document.tree
    depth = 0
    while depth < len(path) and isinstance(known, dict) and path[depth] in known:
        known = known[path[depth]]
        depth += 1
    written = ".".join(path)
    if depth == len(path):
        return _replace(document, path, known, value)
    if not isinstance(known, dict):
        raise MergeRefusedError(
            f"{'.'.join(path[:depth])} is no table, and {written} has to stand in it; remove it"
        )
    try:
        if value == {}:
            return _append(document, path, {})
        return _insert(document, path, depth, emit.value(value))
    except emit.UnwritableError as error:
        raise MergeRefusedError(f"{written}: {error}") from error


def _replace(document: Document, path: tuple[str, ...], known: Any, value: Any) -> Edit | None:
    if same(known, value) or (value == {} and isinstance(known, dict)):
        return None
    entry = next((one for one in document.entries if one.path == path), None)
    if entry is None or isinstance(known, dict) or isinstance(value, Mapping):
        raise MergeRefusedError(
            f"{'.'.join(path)} is a table where a value is wanted, or a value for a table; remove it"
        )
    try:
        return Edit(entry.value, document.text[entry.value : entry.end], emit.value(value))
    except emit.UnwritableError as error:
        raise MergeRefusedError(f"{'.'.join(path)}: {error}") from error


def _insert(document: Document, path: tuple[str, ...], depth: int, written: str) -> Edit:
    """A key that is not there, in the deepest table that is; `depth`: how many parts of the path are there."""
    if any(header.path == path[:-1] for header in document.headers):
        return _below(document, path[:-1], path[-1:], written)
    for length in range(depth, 0, -1):
        parent = path[:length]
        inline = next((one for one in document.entries if one.path == parent), None)
        if inline is not None:
            return _within(document, inline, path[length:], written)
        # The table exists by the dotted keys of others: no header may open it again.
        beside = [one for one in document.entries if one.path[:length] == parent and len(one.base) < length]
        if beside:
            return _after(document, beside[-1], path[len(beside[-1].base) :], written)
        if any(header.path[:length] == parent for header in document.headers):
            break
    return _append(document, path, written)


def _below(document: Document, table: Path, rest: tuple[str, ...], written: str) -> Edit:
    """A line under the header of the table, after its last key."""
    own = [one for one in document.entries if one.base == table]
    if own:
        return _after(document, own[-1], rest, written)
    header = next(one for one in document.headers if one.path == table)
    return _line(document, header.start, header.end, rest, written)


def _after(document: Document, entry: Entry, rest: tuple[str, ...], written: str) -> Edit:
    """After a key: on a line of its own, or within the braces in which that key stands."""
    if _inside(document, entry):
        return Edit(entry.end, "", f", {'.'.join(map(emit.key, rest))} = {written}")
    return _line(document, entry.start, entry.end, rest, written)


def _line(document: Document, start: int, end: int, rest: tuple[str, ...], written: str) -> Edit:
    """A new line after the one that ends at `end`, indented as the one that begins at `start`."""
    text = document.text
    line_start = text.rfind("\n", 0, start) + 1
    indent = text[line_start:start] if not text[line_start:start].strip(" \t") else ""
    line_end = text.find("\n", end)
    new = f"{indent}{'.'.join(map(emit.key, rest))} = {written}"
    if line_end < 0:
        return Edit(len(text), "", newline(text) + new)
    return Edit(line_end + 1, "", new + newline(text))


def _within(document: Document, inline: Entry, rest: tuple[str, ...], written: str) -> Edit:
    """Into the braces of an inline table, after its last pair."""
    pair = f"{'.'.join(map(emit.key, rest))} = {written}"
    inner = [
        one for one in document.entries if one.base == inline.path and inline.value < one.start < inline.end
    ]
    if inner:
        return Edit(inner[-1].end, "", f", {pair}")
    removed = document.text[inline.value : inline.end]
    return Edit(inline.value, removed, f"{{ {pair} }}")


def _inside(document: Document, entry: Entry) -> bool:
    """True where the entry stands within the value of another."""
    return any(one.value < entry.start < one.end for one in document.entries)


def _append(document: Document, path: tuple[str, ...], written: str | dict[str, Any]) -> Edit:
    """A table of its own at the end; its header holds no part that needs quotes."""
    table = path if written == {} else path[:-1]
    bare = next((at for at, part in enumerate(table) if not BARE.fullmatch(part)), len(table))
    if not bare or (written == {} and bare < len(table)):
        raise MergeRefusedError(
            f"{'.'.join(path)} would need a quoted part in a table's header: EKS refuses that"
        )
    text, end = document.text, newline(document.text)
    gap = "" if not text else end if text.endswith("\n") else end * 2
    new = f"{gap}[{'.'.join(table[:bare])}]{end}"
    if isinstance(written, str):
        new += f"{'.'.join(map(emit.key, path[bare:]))} = {written}{end}"
    return Edit(len(text), "", new)


def newline(text: str) -> str:
    """How the document ends its lines."""
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"
