"""Directories that kustomize or helm make manifests of, rendered by the program on the PATH. Used by `check --render`.

What is rendered is not read as files as well: a base without its patches, or a chart without its values, is nothing
that anybody applies. Without --render nothing is run, so that a result does not hang on what a machine has installed,
nor on the network: kustomize fetches remote bases.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from resilience_operator.cli.files.manifests import Loaded, Problem, read
from resilience_operator.core.plain import plain

KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
CHART = "Chart.yaml"
PATIENCE = 120.0
"""Seconds for one directory."""

PARTS = ("resources", "bases", "components", "patchesStrategicMerge", "patches", "crds", "configurations")
"""Keys of a kustomization that name files or directories."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What was rendered, and the files and directories that it was made of."""

    loaded: Loaded
    sources: frozenset[str]

    def made_of(self, file: str) -> bool:
        """Whether a file has its part in what was rendered."""
        return file in self.sources or any(above in self.sources for above in _above(file))


def render(directories: Iterable[str]) -> Rendered:
    """Render every chart, and every kustomization that no other takes in."""
    loaded, sources = Loaded(), set()
    charts, kustomizations = _found(directories)
    for chart in charts:
        sources.add(chart)
        loaded.add(_output(chart, ("helm", "template", os.path.basename(os.path.abspath(chart)), chart)))
    parts = {directory: set(_parts(directory)) for directory in kustomizations}
    for directory, named in parts.items():
        sources |= named | {os.path.join(directory, name) for name in KUSTOMIZATIONS}
        if not any(directory in others for other, others in parts.items() if other != directory):
            program = ("kustomize", "build") if shutil.which("kustomize") else ("kubectl", "kustomize")
            loaded.add(_output(directory, (*program, directory)))
    return Rendered(loaded, frozenset(sources - set(kustomizations)))


def _found(directories: Iterable[str]) -> tuple[list[str], list[str]]:
    """(charts, kustomizations) below; what lies in a chart belongs to it."""
    charts, kustomizations = [], []
    for top in directories:
        for directory, below, files in os.walk(top):
            below[:] = [] if CHART in files else sorted(name for name in below if not name.startswith("."))
            where = os.path.normpath(directory)
            if CHART in files:
                charts.append(where)
            elif not {*KUSTOMIZATIONS}.isdisjoint(files):
                kustomizations.append(where)
    return charts, kustomizations


def _parts(directory: str) -> Iterator[str]:
    """The paths that a kustomization names."""
    body = _kustomization(directory)
    named: list[Any] = [one for key in PARTS if isinstance(body.get(key), list) for one in body[key]]
    paths = [one.get("path") if isinstance(one, dict) else one for one in named]
    yield from (os.path.normpath(os.path.join(directory, path)) for path in paths if isinstance(path, str))


def _kustomization(directory: str) -> dict[str, Any]:
    for name in KUSTOMIZATIONS:
        try:
            with open(os.path.join(directory, name), "rb") as stream:
                body = yaml.load(stream, yaml.CSafeLoader)
        except (OSError, yaml.YAMLError, UnicodeDecodeError, RecursionError):
            continue  # kustomize says what is amiss.
        return body if isinstance(body, dict) else {}
    return {}


def _output(directory: str, command: tuple[str, ...]) -> Loaded:
    if shutil.which(command[0]) is None:
        return _problem(directory, f"--render needs {command[0]} on the PATH for it")
    try:
        ended = subprocess.run(command, check=False, capture_output=True, timeout=PATIENCE)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return _problem(directory, f"{command[0]} was not run to its end: {plain(str(error))}")
    if ended.returncode:
        last = plain(ended.stderr.decode(errors="replace").strip().rpartition("\n")[2])
        return _problem(directory, f"{' '.join(command[:2])} fails: {last}")
    return read(ended.stdout.decode(errors="replace"), f"{directory} ({' '.join(command[:2])})")


def _problem(directory: str, message: str) -> Loaded:
    return Loaded(problems=[Problem(directory, 0, message)])


def _above(file: str) -> Iterator[str]:
    while (parent := os.path.dirname(file)) not in ("", file):
        yield parent
        file = parent
