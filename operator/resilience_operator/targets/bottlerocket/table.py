"""Every setting that a Kubernetes node of Bottlerocket takes: read once from settings.toml. Used by validate, docs."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Union

from resilience_operator.targets.bottlerocket.values import NAMES, Check, check_of

Release = tuple[int, ...]
"""(1, 57, 0)."""
EACH = "[]"
"""Stands in a key for each entry of a list."""


def release(text: str) -> Release | None:
    """A release out of `1.57.0`, `v1.57.0` or `1.57.0-a1b2c3d4`; None where it is none, such as `latest`."""
    parts = text.removeprefix("v").partition("-")[0].split(".")
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else None


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting; `key` holds placeholders such as <name>."""

    key: str
    kind: str
    since: Release
    karpenter: str
    """"string", "int", "bool", "list": Karpenter's Go type; "dropped"; "" where it passes on what it finds."""
    kept_since: Release
    check: Check
    required: bool = False
    """The model refuses the table in which it is not."""


Node = Union["Setting", dict[str, "Node"]]
"""A setting, or a table of them by key, placeholder or EACH."""


@cache
def tree() -> dict[str, Node]:
    """All settings as the tree below [settings]."""
    root: dict[str, Node] = {}
    for setting in settings():
        *tables, last = _parts(setting.key)
        place = root
        for part in tables:
            below = place.setdefault(part, {})
            assert isinstance(below, dict)  # noqa: S101 - the table is ours
            place = below
        place[last] = setting
    return root


@cache
def settings() -> tuple[Setting, ...]:
    """All settings in the order of the table."""
    text = files(__package__).joinpath("settings.toml").read_text(encoding="utf-8")
    return tuple(_settings(tomllib.loads(text)))


def _settings(rows: dict[str, dict[str, str]]) -> Iterator[Setting]:
    for key, row in rows.items():
        kept = release(row.get("kept-since", "0.14.0")) or ()
        yield Setting(
            key,
            row["type"],
            release(row["since"]) or (),
            row.get("karpenter", ""),
            kept,
            check_of(row["type"]),
            "required" in row,
        )


def _parts(key: str) -> list[str]:
    return key.split(".")


def below(node: dict[str, Node], key: str) -> tuple[Node | None, str]:
    """(what a key stands for in a table, the placeholder that it would have to fit); None where it fits none."""
    if key in node:
        return node[key], ""
    wild = next((name for name in node if name in NAMES), "")
    if wild and NAMES[wild][0].fullmatch(key):
        return node[wild], wild
    return None, wild
