"""Kubeconfig files for the lab's API server: a client certificate or a token, everything inlined.

Called by `cluster` for the parts, and by `Lab.kubeconfig` for tests.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any


def certificate(certificate_file: Path, key_file: Path) -> dict[str, str]:
    """The `user` entry of somebody who shows a client certificate."""
    return {"client-certificate-data": _inline(certificate_file), "client-key-data": _inline(key_file)}


def token(value: str) -> dict[str, str]:
    """The `user` entry of somebody who sends a bearer token."""
    return {"token": value}


def write(file: Path, server: str, authority: Path, name: str, user: dict[str, str]) -> Path:
    """Write a kubeconfig with one cluster, one user, one context; JSON is YAML."""
    cluster = {"server": server, "certificate-authority-data": _inline(authority)}
    content: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name, "namespace": "default"}}],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(content, stream, indent=2)
    return file


def _inline(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
