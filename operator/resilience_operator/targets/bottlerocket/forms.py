"""Forms of TOML that are valid, and that EKS or an old release of Bottlerocket does not read. Used by validate.

EKS reads the user data of managed node groups to add its own (Amazon EKS user guide, "Customize managed nodes with
launch templates"), and names what it does not support.
"""

from collections.abc import Iterator
from typing import Any

from resilience_operator.targets.bottlerocket.document import Document, decoded
from resilience_operator.targets.bottlerocket.problems import Judge, Problem, Surroundings, sentence

ROOT_KEYS_SINCE = (1, 20, 0)
_QUOTES = "\"'"


def judge(document: Document, around: Surroundings) -> Iterator[Problem]:
    """The problems of a document's form."""
    for header in document.headers:
        if any(key[0] in _QUOTES for key in header.keys):
            message = (
                f"[{'.'.join(header.keys)}] has a quoted part; write it as a quoted key below a plain header"
            )
            yield _eks(document, header.start, message)
    for entry in document.entries:
        if any(set(decoded(key)) & set(_QUOTES) for key in entry.keys):
            yield _eks(document, entry.start, f"the key {'.'.join(entry.keys)} has quotes inside its quotes")
        written = document.text[entry.value : entry.end]
        if written[0] == '"' and '\\"' in written:
            message = (
                f"{'.'.join(entry.keys) or 'a value'} has escaped quotes; write the value in single quotes"
            )
            yield _eks(document, entry.value, message)
        elif written[0] == "[" and _is_mixed(_value_at(document, entry.path)):
            message = f"{'.'.join(map(str, entry.path))} is a list of several types"
            yield _eks(document, entry.value, message)
    yield from _old_parser(document, around)


def _eks(document: Document, at: int, message: str) -> Problem:
    text = sentence(f"{message}: EKS does not read that in a managed node group")
    return Problem("EKSRejects", frozenset({Judge.EKS}), "", document.line(at), text)


def _value_at(document: Document, path: tuple[str | int, ...]) -> Any:
    value: Any = document.tree
    for part in path:
        value = value[part]
    return value


def _is_mixed(value: Any) -> bool:
    return isinstance(value, list) and len({type(one) for one in value}) > 1


def _old_parser(document: Document, around: Surroundings) -> Iterator[Problem]:
    if around.release is None or around.release >= ROOT_KEYS_SINCE:
        return
    root = next((one for one in document.entries if not one.base and len(one.keys) > 1), None)
    if root is not None and document.headers:
        message = (
            f"{'.'.join(root.keys)} at the root beside [{'.'.join(document.headers[0].keys)}]: releases before 1.20.0 "
            "refuse the whole user data; write headers alone"
        )
        line = document.line(root.start)
        yield Problem("KeysBesideHeaders", frozenset({Judge.BOTTLEROCKET}), "", line, sentence(message))
