"""From the text of a file to decoded documents with their lines, as the API server would read them.

Used by cli/files/manifests. Composed by libyaml and decoded here, because PyYAML's own decoding takes three times as
long, silently accepts duplicate keys, and reads fewer words as booleans than Kubernetes does (sigs.k8s.io/yaml).
One broken document does not hide the others: the text is cut at its `---` lines first.
"""

import json
import operator
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import yaml
from yaml import MappingNode, ScalarNode, SequenceNode
from yaml.cyaml import CParser  # type: ignore[attr-defined]

from resilience_operator.cli.files.scalars import plain_value, tagged_value

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
class Fault:
    """Something that cannot be read: the line (from 1) and a sentence that says what to do."""

    line: int
    message: str


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


def documents(text: str, *, is_json: bool = False) -> Iterator[Document | Fault]:
    """Every document of a text in order, or what is wrong with it. Documents of comments alone are left out."""
    if is_json:
        yield _json(text)
        return
    for offset, part in _parts(text):
        try:
            yield from _composed(part, offset)
        except (BrokenDocumentError, yaml.YAMLError, RecursionError) as error:
            yield _fault(part, offset, error)


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


def _composed(part: str, offset: int) -> Iterator[Document]:
    composer = _Composer(part)
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
        elif key in result:
            raise _duplicate(key, key_node, node)
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


def _duplicate(key: str, key_node: Node, node: Node) -> BrokenDocumentError:
    keys = (each for each, _ in node.value)
    first = next(each for each in keys if key in (each.value, _plain_key(str(each.value))))
    line = key_node.start_mark.line
    above = line - first.start_mark.line
    return BrokenDocumentError(line, f"duplicate key {key!r} (the first is {above} lines above); remove one")


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


def _json(text: str) -> Document | Fault:
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        template = template_line(text)
        if template is not None:
            return Fault(template, TEMPLATE)
        return Fault(error.lineno, f"is not JSON: {error.msg}, column {error.colno}")
    except BrokenDocumentError as error:
        key = re.escape(json.dumps(str(error)))
        seen = [text.count("\n", 0, match.start()) for match in re.finditer(key + r"\s*:", text)]
        return Fault(seen[-1] + 1 if seen else 1, f"duplicate key {str(error)!r}; remove one")
    except RecursionError:
        return Fault(1, "is nested too deeply")
    try:
        # The lines of JSON are a luxury: libyaml refuses tabs between tokens and some escapes.
        node = _Composer(text.replace("\t", " ")).get_single_node()
    except yaml.YAMLError:
        node = None
    return Document(value, node)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise BrokenDocumentError(0, next(name for name in names if names.count(name) > 1))
    return {name: value for name, value in pairs if value is not None}


def _fault(part: str, offset: int, error: Exception) -> Fault:
    template = template_line(part)
    if template is not None:
        return Fault(offset + template, TEMPLATE)
    if isinstance(error, BrokenDocumentError):
        return Fault(offset + error.line + 1, str(error))
    if isinstance(error, RecursionError):
        return Fault(offset + 1, "is nested too deeply, or an alias contains itself")
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        what = " ".join(text for text in (error.context, error.problem) if text)
        last = part.rstrip().count("\n")  # An end that comes too soon is seen after the last line.
        return Fault(offset + min(error.problem_mark.line, last) + 1, f"is not YAML: {what}")
    return Fault(offset + 1, f"is not YAML: {' '.join(str(error).split())}")


TEMPLATE = "looks like a Helm template; render it first (helm template ... | kubectl-resilience check -)"
_ACTION = re.compile(r"\{\{.*?\}\}", re.DOTALL)


def template_line(text: str) -> int | None:
    """The line (from 1) of the first `{{ ... }}`, or None."""
    match = _ACTION.search(text)
    return None if match is None else text.count("\n", 0, match.start()) + 1
