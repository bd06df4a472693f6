"""A kubeconfig read as kubectl reads it: several files are one, and each path in it is relative to its own file.

Called by api/credentials alone. What it says of servers and users is checked here by type, and judged there.
"""

import base64
import binascii
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class KubeconfigError(ValueError):
    """What is amiss in a kubeconfig, as the rest of a sentence that begins with its name."""


@dataclass(frozen=True, slots=True)
class Section:
    """A cluster or a user, by what it is called, with the folder that its paths are relative to."""

    title: str
    values: Mapping[str, Any]
    folder: Path

    def text(self, key: str) -> str:
        """The string at `key`; "" where there is none. Raises KubeconfigError."""
        found = self.values.get(key)
        if found is not None and not isinstance(found, str):
            raise KubeconfigError(f"{key} of {self.title} is no string")
        return found or ""

    def path(self, key: str) -> Path | None:
        """The file that is named at `key`."""
        named = self.text(key)
        return self.folder / named if named else None

    def content(self, key: str) -> bytes:
        """What KEY-data holds, else the file at `key`, else nothing. Raises KubeconfigError, OSError."""
        if encoded := self.text(f"{key}-data"):
            try:
                return base64.b64decode(encoded, validate=True)
            except binascii.Error as error:
                raise KubeconfigError(f"{key}-data of {self.title} is no base64") from error
        file = self.path(key)
        return file.read_bytes() if file else b""

    def section(self, key: str) -> "Section | None":
        """What is nested at `key`. Raises KubeconfigError."""
        found = self.values.get(key)
        if found is None:
            return None
        if not isinstance(found, dict):
            raise KubeconfigError(f"{key} of {self.title} is no mapping")
        return Section(f"{key} of {self.title}", found, self.folder)


def read(paths: str, context: str | None) -> tuple[Section, Section]:
    """The cluster and the user of a context. `paths`: files as in $KUBECONFIG. Raises KubeconfigError, OSError."""
    files = [_File.read(file) for file in _existing(paths)]
    if not files:
        raise KubeconfigError("it is not there")
    name = context or next(filter(None, (file.current for file in files)), "")
    contexts = _names(files, "contexts")
    if not name:
        raise KubeconfigError(f"it names no current-context, and has these: {_listed(contexts)}")
    if name not in contexts:
        raise KubeconfigError(f"there is no context {name!r} in it, but these: {_listed(contexts)}")
    chosen = _find(files, "contexts", name)
    cluster = _find(files, "clusters", chosen.text("cluster"))
    user = chosen.text("user")
    return cluster, _find(files, "users", user) if user else Section("no user", {}, cluster.folder)


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    body: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "_File":
        try:
            body = yaml.safe_load(path.read_bytes())
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            where = getattr(error, "problem_mark", None)
            raise KubeconfigError(f"it is no YAML{f' (line {where.line + 1})' if where else ''}") from error
        if not isinstance(body, dict | None):
            raise KubeconfigError("it is no mapping of YAML")
        return cls(path, body or {})

    @property
    def current(self) -> str:
        return Section(str(self.path), self.body, self.path.parent).text("current-context")

    def named(self, plural: str) -> Iterator[tuple[str, Any]]:
        entries = self.body.get(plural) or []
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise KubeconfigError(f"{plural} is no list of mappings")
        yield from ((str(one.get("name")), one.get(plural[:-1])) for one in entries)


def _existing(paths: str) -> list[Path]:
    files = [Path(file).expanduser() for file in paths.split(os.pathsep) if file]
    return [file.absolute() for file in files if file.is_file()]


def _names(files: list[_File], plural: str) -> list[str]:
    return [name for file in files for name, _ in file.named(plural)]


def _find(files: list[_File], plural: str, name: str) -> Section:
    """The first of that name: later files do not change it."""
    title = f"{plural[:-1]} {name!r}"
    for file in files:
        for known, values in file.named(plural):
            if known == name:
                if not isinstance(values or {}, dict):
                    raise KubeconfigError(f"{title} is no mapping")
                return Section(title, values or {}, file.path.parent)
    raise KubeconfigError(f"it has no {title}, which the context names")


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (" …" if names[10:] else "") or "none"
