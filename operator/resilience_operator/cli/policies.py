"""The policy that `check` judges by: a file's, or the recommended one that is shipped. Used by cli."""

from importlib.resources import files
from typing import Any

from resilience_operator.cli.files.documents import Document, Fault, documents
from resilience_operator.cli.files.positions import child
from resilience_operator.core.errors import OperatorError
from resilience_operator.policy.policy import Policy
from resilience_operator.targets import parse, validate


class BadPolicyError(OperatorError):
    """A policy that an API server would refuse, or a file that holds none; one line of text for each reason."""


def recommended_text() -> str:
    """The built-in policy as it is shipped."""
    return files("resilience_operator").joinpath("data/recommended.yaml").read_text(encoding="utf-8")


def recommended() -> Policy:
    """The built-in policy; a test holds it to be valid."""
    return _parsed(_only(recommended_text(), "recommended.yaml"), "recommended.yaml")


def load_policy(file: str) -> Policy:
    """The one ResiliencePolicy in a file. Raises BadPolicyError."""
    try:
        with open(file, encoding="utf-8") as stream:
            text = stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise BadPolicyError(f"{file}: cannot be read: {error}") from error
    document = _only(text, file)
    problems = validate(document.value)
    if problems:
        raise BadPolicyError(
            "\n".join(
                f"{file}:{_line(document, one.path)}: {one.path + ': ' if one.path else ''}{one.message}"
                for one in problems
            )
        )
    return _parsed(document, file)


def _only(text: str, file: str) -> Document:
    found = list(documents(text))
    faults = [one for one in found if isinstance(one, Fault)]
    if faults:
        raise BadPolicyError("\n".join(f"{file}:{one.line}: {one.message}" for one in faults))
    if len(found) != 1 or not isinstance(found[0], Document):
        raise BadPolicyError(f"{file}: holds {len(found)} documents; write one ResiliencePolicy")
    return found[0]


def _parsed(document: Document, file: str) -> Policy:
    raw: dict[str, Any] = document.value
    policy, problems = parse(raw)
    if problems:
        raise BadPolicyError("\n".join(f"{file}:{_line(document, one.path)}: {one}" for one in problems))
    return policy


def _line(document: Document, path: str) -> int:
    """The line of the deepest field of a path such as `spec.windows.allow[0].timeZone` that stands in the file."""
    node = document.node
    line = node.start_mark.line if node is not None else 0
    for field in path.split("."):
        name, _, index = field.partition("[")
        key_line, value = child(node, name)
        if value is None:
            break
        node, line = value, key_line
        if index and isinstance(node.value, list) and int(index.rstrip("]")) < len(node.value):
            node = node.value[int(index.rstrip("]"))]
            line = node.start_mark.line
    return line + document.offset + 1
