"""From the text of a file to decoded documents with their lines, as the API server would read them.

Used by cli/files/manifests. Composed by libyaml and decoded here, because PyYAML's own decoding takes three times as
long, and reads fewer words as booleans than Kubernetes does (sigs.k8s.io/yaml). Of equal keys the last counts, and of
equal anchors the last before the alias, as for kubectl. One broken document does not hide the others: the text is cut
at its `---` lines first, and what nobody wants is not even composed.
"""

import json
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import yaml
from yaml import MappingNode, ScalarNode, SequenceNode
from yaml.composer import Composer
from yaml.cyaml import CParser  # type: ignore[attr-defined]

from resilience_operator.cli.files.scalars import plain_value, real, tagged_value

Node = Any
"""A composed yaml.Node; its subclasses differ in what `value` is."""
SPARE_VALUES = 100_000
"""How many values aliases may add to a document beyond one for each of its characters."""

_CUT = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_UNTAGGED = ""
_MERGE: Final = object()


@dataclass(frozen=True, slots=True)
class Document:
    """A decoded document: its value without nulls, and the node that knows the lines; `offset` lines before it."""

    value: Any
    node: Node | None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Unwanted:
    """An object of a kind that was not asked for, as its top-level lines say."""

    version: str
    kind: str


Wanted = Callable[[str, str, str], bool]
"""Of (API version, kind, the text that holds it): whether it is to be read."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that cannot be read: the line (from 1) and a sentence that says what to do.

    `foreign`: nobody would apply it either: a template, or a file of another program.
    """

    line: int
    message: str
    foreign: bool = False


class BrokenDocumentError(Exception):
    """A document that the API server would not read either; `line` counts from 0 within the document."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class _Composer(CParser):
    """libyaml's composer, without PyYAML's guess of what a plain scalar means."""

    def resolve(self, _kind: type, _value: str, _implicit: object) -> str:
        """Every untagged node stays untagged."""
        return _UNTAGGED

    # Nothing depends on where a node stands. Called for every node: built-in functions that do nothing of note.
    descend_resolver = staticmethod(operator.is_)
    ascend_resolver = staticmethod(bool)


class _Again(Composer, CParser):
    """The same in Python, which lets an anchor be defined again: the alias means the last one before it."""

    def __init__(self, text: str) -> None:
        CParser.__init__(self, text)
        Composer.__init__(self)

    def compose_node(self, parent: Node, index: Any) -> Node:
        """The next node, whose anchor forgets its namesake."""
        event = self.peek_event()
        if isinstance(event, yaml.NodeEvent) and not isinstance(event, yaml.AliasEvent):
            self.anchors.pop(event.anchor, None)
        return super().compose_node(parent, index)

    resolve = _Composer.resolve
    descend_resolver = staticmethod(operator.is_)
    ascend_resolver = staticmethod(bool)


def documents(
    text: str, *, is_json: bool = False, wanted: Wanted | None = None
) -> Iterator[Document | Unwanted | Fault]:
    """Every document of a text in order, or what is wrong with it. Documents of comments alone are left out.

    What begins with a brace is read as JSON first, as kubectl does, and several values in a row are as many documents.
    `is_json`: it is called JSON; then what begins as JSON is nothing else. `wanted`: what of it is to be read;
    everything by default.
    """
    if is_json and _OPENS.match(text):
        yield from _json(text, 0, wanted)
        return
    foreign = is_json and not _MANIFEST.search(text)
    for found in _yaml(text, wanted):
        yield replace(found, foreign=True) if foreign and isinstance(found, Fault) else found


def _yaml(text: str, wanted: Wanted | None) -> Iterator[Document | Unwanted | Fault]:
    for offset, part in _parts(text):
        if _brace(part):
            values = list(_json(part, offset, wanted))
            if not isinstance(values[-1], Fault) or not _is_flow(part):
                yield from values
                continue
        head = _head(part) if wanted is not None else None
        if wanted is not None and head is not None and not wanted(*head, part):
            yield Unwanted(*head)
        else:
            yield from _read(part, offset)


_OPENS = re.compile(r"\s*(?:\[|\{(?!\{))")
_START = re.compile(r"\s*(?:---[ \t]*(?:#[^\n]*)?\n\s*)?(\{(?!\{))?")


def _brace(part: str) -> bool:
    match = _START.match(part)
    return match is not None and match[1] is not None


def _is_flow(part: str) -> bool:
    """True where what begins with a brace, and is no JSON, is YAML: its words stand without quotes."""
    try:
        return _Composer(part).get_single_node() is not None
    except yaml.YAMLError:
        return False


_WORD = re.compile(r"[A-Za-z][A-Za-z0-9./-]*", re.ASCII)


def _head(part: str) -> tuple[str, str] | None:
    """API version and kind as they stand at the start of a line; None where they have to be read to be known."""
    if "{{" in part:
        return None
    found = []
    for key in ("\napiVersion:", "\nkind:"):
        text = part if part.startswith("---") else f"\n{part}"
        at = text.find(key)
        if at < 0 or text.find(key, at + 1) >= 0:
            return None
        line = text[at + len(key) : text.find("\n", at + 1) if text.find("\n", at + 1) >= 0 else None]
        word = line.partition(" #")[0].strip()
        if not _WORD.fullmatch(word):
            return None
        found.append(word)
    return found[0], found[1]


def _read(part: str, offset: int) -> Iterator[Document | Fault]:
    """The documents between two `---` lines: one, or more where they end in `...`."""
    done: list[Document] = []
    try:
        done += _composed(_Composer(part), part, offset)
    except yaml.composer.ComposerError as error:
        if "duplicate anchor" not in str(error):
            yield from done
            yield _fault(part, offset, error)
            return
        done.clear()
        try:
            done += _composed(_Again(part), part, offset)
        except (BrokenDocumentError, yaml.YAMLError, RecursionError) as again:
            yield from done
            yield _fault(part, offset, again)
            return
    except (BrokenDocumentError, yaml.YAMLError, RecursionError) as error:
        yield from done
        yield _fault(part, offset, error)
        return
    yield from done


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """(lines before it, text) of each part between `---` lines."""
    starts = [match.start() for match in _CUT.finditer(text)]
    if not starts:
        yield 0, text
        return
    if starts[0] > 0:
        starts.insert(0, 0)
    line = 0
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        part = text[start:end]
        yield line, part
        line += part.count("\n")


def _composed(composer: Any, part: str, offset: int) -> Iterator[Document]:
    budget = _Budget(len(part) + SPARE_VALUES) if "*" in part else None
    while composer.check_node():
        node = composer.get_node()
        value = _decode(node, budget)
        if value is not None:
            yield Document(value, node, offset)


@dataclass(slots=True)
class _Budget:
    """How many values a document may still have: what stops aliases of aliases."""

    left: int

    def spend(self, node: Node) -> None:
        """Count a collection's entries. Raises BrokenDocumentError where there are too many."""
        self.left -= len(node.value) + 1
        if self.left < 0:
            line = node.start_mark.line
            raise BrokenDocumentError(line, "its aliases (*name) expand to too many values; write them out")


def _decode(node: Node, budget: _Budget | None) -> Any:
    if type(node) is ScalarNode:
        return _scalar(node)
    if budget is not None:
        budget.spend(node)
    if type(node) is MappingNode:
        return _mapping(node, budget)
    return [_decode(child, budget) for child in node.value]


def _scalar(node: Node) -> Any:
    if node.tag != _UNTAGGED:
        try:
            return tagged_value(node.tag, node.value)
        except ValueError as error:
            raise BrokenDocumentError(node.start_mark.line, str(error)) from error
    return node.value if node.style else plain_value(node.value)


def _mapping(node: Node, budget: _Budget | None) -> dict[str, Any]:
    """An object without its nulls: for the API server a null is an absent field."""
    result: dict[str, Any] = {}
    merges = []
    for key_node, child in node.value:
        plain = type(key_node) is ScalarNode and not key_node.style
        key = _plain_key(key_node.value) if plain else _other_key(key_node)
        if key is _MERGE:
            merges.append(child)
        else:
            result[key] = _scalar(child) if type(child) is ScalarNode else _decode(child, budget)
    if None in result.values():
        result = {key: value for key, value in result.items() if value is not None}
    return _merged(merges, budget) | result if merges else result


def _other_key(node: Node) -> str:
    """A key in quotes."""
    if type(node) is not ScalarNode:
        raise BrokenDocumentError(node.start_mark.line, "a key is a list or an object; write a string")
    return str(node.value)


@lru_cache(maxsize=4096)
def _plain_key(text: str) -> Any:
    """A key without quotes as JSON has it: `on` is true, and as a key the string "true"; _MERGE for `<<`."""
    if text == "<<":
        return _MERGE
    value = plain_value(text)
    return text if value is None or isinstance(value, str) else json.dumps(value)


def _merged(merges: list[Node], budget: _Budget | None) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for merge in merges:
        for source in merge.value if type(merge) is SequenceNode else [merge]:
            value = _decode(source, budget)
            if not isinstance(value, dict):
                line = source.start_mark.line
                raise BrokenDocumentError(line, "<< merges objects; write an alias of one")
            result = value | result
    return result


_GAP = re.compile(r"(?:\s|^---[ \t]*(?:#.*)?$|^\.\.\.[ \t]*$)*", re.MULTILINE)
_FULL = json.JSONDecoder(object_pairs_hook=lambda pairs: _without_nulls(pairs), parse_float=real)


def _without_nulls(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in dict(pairs).items() if value is not None}


def _json(text: str, offset: int, wanted: Wanted | None) -> Iterator[Document | Unwanted | Fault]:
    """The values that stand one after the other."""
    at = _after_gap(text, 0)
    while at < len(text):
        try:
            value, end = _FULL.raw_decode(text, at)
        except json.JSONDecodeError as error:
            template = _template_to_blame(text, {error.lineno - 1})
            if template is not None:
                yield Fault(offset + template, TEMPLATE, foreign=True)
                return
            message = f"is not JSON: {error.msg}, column {error.colno}"
            yield Fault(offset + error.lineno, message, foreign='"apiVersion"' not in text)
            return
        except RecursionError:
            yield Fault(offset + 1, "is nested too deeply")
            return
        lines = offset + text.count("\n", 0, at)
        head = _said(value)
        if wanted is not None and head is not None and not wanted(*head, text[at:end]):
            yield Unwanted(*head)
        else:
            yield Document(value, _node(text[at:end]), lines)
        at = _after_gap(text, end)


def _after_gap(text: str, at: int) -> int:
    match = _GAP.match(text, at)
    return match.end() if match is not None else at


def _said(value: Any) -> tuple[str, str] | None:
    version, kind = (value.get("apiVersion"), value.get("kind")) if isinstance(value, dict) else (None, None)
    return (version, kind) if isinstance(version, str) and isinstance(kind, str) else None


def _node(text: str) -> Node | None:
    """The lines of JSON are a luxury: libyaml refuses tabs between tokens and some escapes."""
    try:
        return _Composer(text.replace("\t", " ")).get_single_node()
    except yaml.YAMLError:
        return None


def _fault(part: str, offset: int, error: Exception) -> Fault:
    marks = (getattr(error, "problem_mark", None), getattr(error, "context_mark", None))
    lines = {mark.line for mark in marks if mark is not None}
    lines |= {error.line} if isinstance(error, BrokenDocumentError) else set()
    template = _template_to_blame(part, lines)
    if template is not None:
        return Fault(offset + template, TEMPLATE, foreign=True)
    if isinstance(error, BrokenDocumentError):
        return Fault(offset + error.line + 1, str(error), foreign=not _MANIFEST.search(part))
    if isinstance(error, RecursionError):
        return Fault(offset + 1, "is nested too deeply, or an alias contains itself")
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        what = " ".join(text for text in (error.context, error.problem) if text)
        last = part.rstrip().count("\n")  # An end that comes too soon is seen after the last line.
        return Fault(offset + min(error.problem_mark.line, last) + 1, f"is not YAML: {what}")
    return Fault(offset + 1, f"is not YAML: {' '.join(str(error).split())}")


_MANIFEST = re.compile(r"^[\"']?(?:apiVersion|kind)[\"']?\s*:", re.MULTILINE)
_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'')
_CONTROL = re.compile(
    r"^[ \t]*(?:\{\{-?[ \t]*(?:if|else|end|range|with|include|define|template|block|/\*|\$|\.)|\{%)",
    re.MULTILINE,
)


def _template_to_blame(text: str, lines: set[int]) -> int | None:
    """The line (from 1) of the first action, where one made what stands there unreadable.

    One in quotes is a string like any other; text that a program fills in later has many of those.
    """
    if _CONTROL.search(text) is None:
        written = text.split("\n")
        near = "\n".join(written[at] for line in lines for at in (line - 1, line) if 0 <= at < len(written))
        if "{{" not in _QUOTED.sub("", near) and "{%" not in near:
            return None
    return template_line(text) or 1


TEMPLATE = "looks like a Helm template; render it first (helm template ... | kubectl-resilience check -)"
_ACTION = re.compile(r"\{\{.*?\}\}", re.DOTALL)


def template_line(text: str) -> int | None:
    """The line (from 1) of the first `{{ ... }}`, or None."""
    match = _ACTION.search(text)
    return None if match is None else text.count("\n", 0, match.start()) + 1
