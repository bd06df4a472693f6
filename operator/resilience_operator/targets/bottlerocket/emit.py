"""Writes TOML in the forms that Bottlerocket, EKS and Karpenter all read. Used by merge, placing and docs.

EKS does not read all of TOML (Amazon EKS user guide, "Customize managed nodes with launch templates"): no quotes
inside quoted keys, no escaped quotes in values, no lists of several types, no quoted part in a table's header.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time

from resilience_operator.targets.bottlerocket.document import BARE, Tree

Value = object
"""What tomllib gives: str, int, float, bool, list, dict or a date."""


class UnwritableError(ValueError):
    """A value or key that has no form which all readers take."""


def key(part: str) -> str:
    """A part of a key. Raises UnwritableError."""
    if BARE.fullmatch(part):
        return part
    if not part or any(char in "\"'\\" or not char.isprintable() for char in part):
        raise UnwritableError(
            f"the key {part!r} is empty or holds quotes, a backslash or what is not printable"
        )
    return f'"{part}"'


def value(given: Value) -> str:
    """A value on one line. Raises UnwritableError."""
    if isinstance(given, str):
        return _string(given)
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, int):
        return _integer(given)
    if isinstance(given, float):
        return repr(given)
    if isinstance(given, (datetime, date, time)):
        raise UnwritableError("no setting of Bottlerocket is a date")
    if isinstance(given, list):
        return _list(given)
    if isinstance(given, dict):
        pairs = ", ".join(f"{key(name)} = {value(one)}" for name, one in given.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    raise UnwritableError(f"{type(given).__name__} has no form in TOML")


def _integer(given: int) -> str:
    if not -(2**63) <= given < 2**63:
        raise UnwritableError(f"{given} does not fit into 64 bits")
    return str(given)


def _string(given: str) -> str:
    if all(char.isprintable() or char == "\t" for char in given):
        if '"' not in given and "\\" not in given:
            return f'"{given}"'
        if "'" not in given:
            return f"'{given}'"
    raise UnwritableError(
        "a string with both kinds of quotes, or with what is not printable, has no safe form"
    )


def _list(given: Sequence[object]) -> str:
    if len({type(one) for one in given}) > 1:
        raise UnwritableError("a list of several types is nothing that EKS reads")
    return f"[{', '.join(map(value, given))}]"


def render(tree: Tree) -> str:
    """A whole document: a header for each table that holds values. Raises UnwritableError."""
    return "\n".join(_tables(tree, ()))


def _tables(tree: Tree, path: tuple[str, ...]) -> Iterator[str]:
    leaves = {name: one for name, one in tree.items() if not _is_table(name, one)}
    if leaves or (path and not tree):
        header = f"[{'.'.join(path)}]\n" if path else ""
        yield header + "".join(f"{key(name)} = {value(one)}\n" for name, one in leaves.items())
    for name, one in tree.items():
        if _is_table(name, one):
            yield from _tables(one, (*path, name))


def _is_table(name: str, given: Value) -> bool:
    """True where it gets a header of its own: not under a key that would need quotes there."""
    return isinstance(given, dict) and BARE.fullmatch(name) is not None
