"""A Git repository on this machine, that tests commit manifests to and Argo CD reads.

Made by `argocd.ArgoCD.repository`.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.lab.errors import LabError

Content = str | Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
"""Text, an object, a list of them, or None to remove the file."""

# Neither the person's Git settings nor the machine's: they may sign, or run hooks.
_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "Shop Team",
    "GIT_AUTHOR_EMAIL": "shop@example.com",
    "GIT_COMMITTER_NAME": "Shop Team",
    "GIT_COMMITTER_EMAIL": "shop@example.com",
}


class Repository:
    """One repository with one branch."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self.directory = directory
        self._git("init", "--quiet", "--initial-branch=main")

    @property
    def url(self) -> str:
        """What an Application names as its source."""
        return self.directory.as_uri()

    @property
    def head(self) -> str:
        """The hash of the newest commit."""
        return self._git("rev-parse", "HEAD")

    def commit(self, files: Mapping[str, Content], message: str) -> str:
        """Write files, by their path, and commit them; returns the commit's hash."""
        for path, content in files.items():
            file = self.directory / path
            if content is None:
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(_text(content))
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", f"--message={message}")
        return self.head

    def _git(self, *arguments: str) -> str:
        argv = ["git", "-C", str(self.directory), *arguments]
        environment = {**os.environ, **_ENVIRONMENT}
        result = subprocess.run(argv, check=False, capture_output=True, text=True, env=environment)
        if result.returncode != 0:
            raise LabError(f"git {' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout.strip()


def _text(content: str | Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    """JSON is YAML, and several objects of one file are documents."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        return json.dumps(content, indent=1)
    return "\n---\n".join(json.dumps(one, indent=1) for one in content)
