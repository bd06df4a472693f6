"""The lab's own small client of its API server: JSON over one TLS connection per request.

Used by `cluster`, `nodes` and `pods` for what the lab does itself. Tests read the cluster through the client
libraries, so that the lab does not vouch for itself.
"""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PATCHES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


class ApiError(Exception):
    """The API server's answer was not a success."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Api:
    """Requests as one user of one API server."""

    def __init__(self, server: str, authority: Path, certificate: Path, key: Path) -> None:
        self._host = urlsplit(server).netloc
        self._tls = ssl.create_default_context(cafile=str(authority))
        self._tls.load_cert_chain(certificate, key)

    def get(self, path: str) -> Any:
        """GET a path, as JSON."""
        return self.request("GET", path)

    def create(self, path: str, body: Any) -> Any:
        """POST an object to its collection."""
        return self.request("POST", path, body)

    def patch(self, path: str, body: Any, kind: str = "merge") -> Any:
        """PATCH an object; the kind is one of PATCHES."""
        return self.request("PATCH", path, body, PATCHES[kind])

    def delete(self, path: str) -> Any:
        """DELETE a path."""
        return self.request("DELETE", path)

    def request(self, method: str, path: str, body: Any = None, content: str = "application/json") -> Any:
        """Send one request; ApiError unless the answer is a success."""
        connection = http.client.HTTPSConnection(self._host, context=self._tls, timeout=20)
        headers = {"Accept": "application/json", "Content-Type": content, "User-Agent": "resilience-lab"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        if response.status >= 400:
            raise ApiError(response.status, _message(text))
        return json.loads(text) if text.startswith(("{", "[")) else text


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()
