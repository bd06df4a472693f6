"""Random user data in every style that people write, and random patches. Used by test_merge."""

import json
import random
from typing import Any

LEAVES: dict[str, list[Any]] = {
    "kubernetes.max-pods": [110, 58],
    "kubernetes.pod-pids-limit": [1024, 4096],
    "kubernetes.image-gc-high-threshold-percent": ["85", "80"],
    "kubernetes.eviction-hard.memory.available": ["100Mi", "5%"],
    "kubernetes.eviction-hard.nodefs.available": ["10%", "15%"],
    "kubernetes.node-labels.team": ["shop", "it's"],
    "kubernetes.cpu-manager-policy-options": [["full-pcpus-only"], []],
    "kernel.lockdown": ["none", "integrity"],
    "kernel.sysctl.net.core.somaxconn": ["1024", "4096"],
    "kernel.sysctl.vm.swappiness": ["1", "60"],
    "host-containers.admin.enabled": [True, False],
    "host-containers.control.enabled": [True, False],
    "motd": ["hello", "a # b", 'say "x"', "a = [1]"],
    "metrics.send-metrics": [True, False],
}
"""Dotted path below settings -> values; what follows these tables is one key with its dots."""
LISTS = (
    "[[settings.container-registry.mirrors]]\nregistry = '*'\nendpoint = ['https://a', \"https://b\"]\n",
    "[[settings.a.mirrors]]\nregistry='a' # one\n[[settings.a.mirrors]]\nregistry='b'",
    "[settings.container-registry]\nmirrors = [\n  {registry = 'a', endpoint = []}, # one\n  {registry = 'b'},\n]\n",
    '[settings.updates]\nversion-lock = """a\\\n   b""" # [settings]\nseed = 1_000\n',
    "[settings.pki.a]\ndata = '''\n[settings.kernel]\nlockdown = 'x'\n'''\n",
    "[other]\nlockdown = 1979-05-27 07:32:00\n[[other.list]]\n[other.list.kernel]\nlockdown = inf\n",
)
WHOLE = ("kubernetes.eviction-hard.", "kernel.sysctl.", "kubernetes.node-labels.")


def path_of(name: str) -> tuple[str, ...]:
    for start in WHOLE:
        if name.startswith(start):
            return ("settings", *start[:-1].split("."), name[len(start) :])
    return ("settings", *name.split("."))


def tree_of(leaves: dict[str, Any]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for name, value in leaves.items():
        *tables, last = path_of(name)
        place = root
        for part in tables:
            place = place.setdefault(part, {})
        place[last] = value
    return root


def patch(source: random.Random) -> dict[str, Any]:
    names = source.sample(sorted(LEAVES), source.randint(1, 4))
    return tree_of({name: source.choice(LEAVES[name]) for name in names})


def document(source: random.Random) -> str:
    names = source.sample(sorted(LEAVES), source.randint(0, 8))
    root = tree_of({name: source.choice(LEAVES[name]) for name in names})
    writer = Writer(source)
    style = source.choice(("headers", "headers", "headers", "dotted", "mixed"))
    writer.table(root, (), style)
    lines = writer.root + [line for block in writer.blocks() for line in block]
    text = "\n".join(lines) + source.choice(("\n", "", "\n\n", "\n# the end"))
    if source.random() < 0.2:
        text += "\n" + source.choice(LISTS)
    return text.replace("\n", "\r\n") if source.random() < 0.15 else text


class Writer:
    """Writes a tree as TOML: root keys, headers, dotted keys and braces, with comments and odd spaces."""

    def __init__(self, source: random.Random) -> None:
        self.source = source
        self.root: list[str] = []
        self.sections: list[list[str]] = []

    def blocks(self) -> list[list[str]]:
        if self.source.random() < 0.3:
            self.source.shuffle(self.sections)
        return self.sections

    def table(self, values: dict[str, Any], path: tuple[str, ...], style: str) -> None:
        lines = self.root if not path else []
        if path:
            indent = self.source.choice(("", "", "  ", "\t"))
            lines = [
                *self._noise(),
                f"{indent}[{self._joined(path)}]{self.source.choice(('', ' # about it'))}",
            ]
        for name, value in values.items():
            if not isinstance(value, dict):
                lines += self._pair((name,), value)
            elif style == "headers" or (style == "mixed" and self.source.random() < 0.6):
                deferred = (value, (*path, name))
                self._later(*deferred, style)
            elif self.source.random() < 0.2:
                lines += self._pair((name,), value)
            else:
                lines += self._dotted((name,), value)
        if path and (len(lines) > 1 or self.source.random() < 0.5 or not values):
            self.sections.append(lines)

    def _later(self, values: dict[str, Any], path: tuple[str, ...], style: str) -> None:
        self.table(values, path, style)

    def _dotted(self, path: tuple[str, ...], values: dict[str, Any]) -> list[str]:
        lines = []
        for name, value in values.items():
            deeper = isinstance(value, dict) and self.source.random() < 0.8
            lines += self._dotted((*path, name), value) if deeper else self._pair((*path, name), value)
        return lines

    def _pair(self, path: tuple[str, ...], value: Any) -> list[str]:
        equals = self.source.choice((" = ", "=", "  =  ", "\t= "))
        comment = self.source.choice(("", "", " # why", "# x = 1"))
        return [*self._noise(), f"{self._joined(path)}{equals}{self._value(value)}{comment}"]

    def _noise(self) -> list[str]:
        return self.source.choice(([], [], [], [""], ["# [settings.kernel]"], ["  # lockdown = 'none'"]))

    def _joined(self, path: tuple[str, ...]) -> str:
        return self.source.choice((".", ".", " . ")).join(map(self._key, path))

    def _key(self, part: str) -> str:
        if "." in part:
            return self.source.choice((f'"{part}"', f"'{part}'"))
        return self.source.choice((part, part, part, f'"{part}"'))

    def _value(self, value: Any) -> str:
        if isinstance(value, dict):
            return (
                "{"
                + ", ".join(f"{self._key(name)} = {self._value(one)}" for name, one in value.items())
                + "}"
            )
        if isinstance(value, list):
            return "[" + ", ".join(map(self._value, value)) + self.source.choice(("", "\n # more\n")) + "]"
        if isinstance(value, str) and "'" not in value and self.source.random() < 0.4:
            return self.source.choice(
                (f"'{value}'", f"'''{value}'''", f'"""\n{value}"""' if '"' not in value else f"'{value}'")
            )
        return json.dumps(value)
