"""Reads the API server's audit log: who wrote what, with the bodies, and who read what.

Used by tests as `lab.audit`. The log is written before a client has its answer, so what a test did is in it.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
QUESTIONS = "authorization.k8s.io"
"""The group of reviews: they are created, and stored nowhere."""


class Mark(NamedTuple):
    """A position in the log."""

    offset: int


@dataclass(frozen=True)
class Read:
    """One finished read, or one watch that was opened."""

    verb: str
    user: str
    user_agent: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    time: datetime.datetime
    uri: str


@dataclass(frozen=True)
class Write(Read):
    """One finished write: accepted or refused, as its code says."""

    request_object: Any
    response_object: Any

    @property
    def resource_version(self) -> str:
        """The revision that the write made; empty when the answer holds no object."""
        return str(((self.response_object or {}).get("metadata") or {}).get("resourceVersion", ""))

    @property
    def succeeded(self) -> bool:
        """Whether the API server accepted it."""
        return 200 <= self.code < 300

    @property
    def asks_the_guard(self) -> bool:
        """Whether it is a dry run by which the operator proves that it is guarded (api.guard), and no other.

        The log has no body of what was refused for want of a right.
        """
        proof = self.request_object is None or "guard-proof" in json.dumps(self.request_object)
        return "dryRun=All" in self.uri and proof


class Audit:
    """The audit log of one lab."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def mark(self) -> Mark:
        """The present end of the log, to be given to `writes` and `reads`."""
        return Mark(self.file.stat().st_size if self.file.exists() else 0)

    def writes(
        self,
        since: Mark | None = None,
        user: str | None = None,
        user_agent: str | None = None,
        resource: str | None = None,
        namespace: str | None = None,
        name: str | None = None,
    ) -> list[Write]:
        """Finished writes in the log's order; each filter is an exact value, user_agent a part of it.

        A client's question what it may do is created, and is no write.
        """
        wanted = _wanted(user=user, resource=resource, namespace=namespace, name=name)
        events = self._events(since, namespace)
        found = (_write(event) for event in events if event["verb"] in WRITES and _complete(event))
        return [each for each in found if each.group != QUESTIONS and _fits(each, wanted, user_agent)]

    def reads(
        self,
        since: Mark | None = None,
        user: str | None = None,
        user_agent: str | None = None,
        resource: str | None = None,
        namespace: str | None = None,
        name: str | None = None,
    ) -> list[Read]:
        """Reads in the log's order, as `writes`; those of the control plane itself are not logged."""
        wanted = _wanted(user=user, resource=resource, namespace=namespace, name=name)
        events = self._events(since, namespace)
        found = (Read(**_common(event)) for event in events if event["verb"] not in WRITES and _seen(event))
        return [each for each in found if _fits(each, wanted, user_agent)]

    def _events(self, since: Mark | None, namespace: str | None) -> Iterator[dict[str, Any]]:
        # Most lines of a long run belong to other tests, and parsing them all would take seconds.
        needle = f'"namespace":{json.dumps(namespace)}'.encode() if namespace else b""
        if not self.file.exists():
            return
        with self.file.open("rb") as stream:
            stream.seek(since.offset if since else 0)
            for line in stream:
                if line.endswith(b"\n") and needle in line:
                    yield json.loads(line)


def _complete(event: dict[str, Any]) -> bool:
    return bool(event["stage"] == "ResponseComplete")


def _seen(event: dict[str, Any]) -> bool:
    # A watch completes when it ends; it counts once, when it is answered, or when it is refused at once.
    if event["verb"] != "watch":
        return _complete(event)
    refused = (event.get("responseStatus") or {}).get("code", 0) >= 400
    return bool(event["stage"] == "ResponseStarted") or (refused and _complete(event))


def _wanted(**filters: str | None) -> dict[str, str]:
    return {key: value for key, value in filters.items() if value is not None}


def _fits(found: Read, wanted: dict[str, str], user_agent: str | None) -> bool:
    agent = user_agent is None or user_agent in found.user_agent
    return agent and all(getattr(found, key) == value for key, value in wanted.items())


def _write(event: dict[str, Any]) -> Write:
    return Write(
        **_common(event),
        request_object=event.get("requestObject"),
        response_object=event.get("responseObject"),
    )


def _common(event: dict[str, Any]) -> dict[str, Any]:
    target = event.get("objectRef") or {}
    user = event.get("impersonatedUser") or event["user"]
    return {
        "verb": event["verb"],
        "user": user.get("username", ""),
        "user_agent": event.get("userAgent", ""),
        "group": target.get("apiGroup", ""),
        "resource": target.get("resource", ""),
        "subresource": target.get("subresource", ""),
        "namespace": target.get("namespace", ""),
        "name": target.get("name") or _created_name(event),
        "code": int((event.get("responseStatus") or {}).get("code", 0)),
        "time": datetime.datetime.fromisoformat(event["stageTimestamp"]),
        "uri": event["requestURI"],
    }


def _created_name(event: dict[str, Any]) -> str:
    # A create with generateName is addressed to the collection; the answer has the name.
    return str(((event.get("responseObject") or {}).get("metadata") or {}).get("name", ""))
