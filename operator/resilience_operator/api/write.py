"""The only module that writes to objects that others own: one request, and what became of it as a value.

Called by `apply`. Every write is fenced by the Lease in the instant it is sent, bears uid and
resourceVersion (the caller puts them into the body or the operations), and is never repeated here: a
refused precondition means that the decision is old, and is decided anew. What the API server answered goes
to `on_written`, so that nothing is decided on data older than our own last write.
"""

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resilience_operator.api.answers import deleted, meta, whole
from resilience_operator.api.client import Client
from resilience_operator.core.errors import ApiError, NotLeader, RequestFailed
from resilience_operator.core.kinds import Kind
from resilience_operator.core.refs import ObjectRef
from resilience_operator.core.state import FIELD_MANAGER

log = logging.getLogger(__name__)

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
JSON = "application/json"
MESSAGE_LENGTH = 1000

# The API server's own words (1.36.3), where a code alone does not tell.
_PATCH_DOES_NOT_FIT = "the server rejected our request due to an error in our request"
_UNKNOWN_FIELD = "failed to create typed patch object"
_STRICT = "strict decoding error: "
# The authorizer's words; admission (quotas, webhooks) forbids in others.
_LACKS_RIGHT = re.compile(r'cannot \w+ resource "')


@dataclass(frozen=True, slots=True)
class Written:
    """Accepted; `raw` is the object as it is now, its resourceVersion unchanged where nothing changed."""

    raw: bytes
    resource_version: str


@dataclass(frozen=True, slots=True)
class Stale:
    """The object changed since it was read: read it, and decide anew."""

    message: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Refused for what it says, not for when it came: the same again is refused until something changes."""

    message: str
    status: int


@dataclass(frozen=True, slots=True)
class Forbidden:
    """This user lacks the right: for a person to grant; nothing about the object would change the answer."""

    message: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The object is not there any more, or another one bears its name."""

    message: str


@dataclass(frozen=True, slots=True)
class Failed:
    """To be tried again, not before `retry_after` seconds where given; `unknown`: it may have been done."""

    message: str
    retry_after: float | None = None
    unknown: bool = True


@dataclass(frozen=True, slots=True)
class NotLeading:
    """Not sent: another replica writes, or we may not write yet."""

    message: str = ""


Outcome = Written | Stale | Refused | Forbidden | Gone | Failed | NotLeading


class Writer:
    """Sends single writes of the operator's field manager; `timeout` seconds end each of them."""

    def __init__(
        self,
        client: Client,
        fence: Callable[[], None],
        on_written: Callable[[Kind, bytes], None],
        on_deleted: Callable[[Kind, ObjectRef], None] = lambda kind, ref: None,
        timeout: float = 10.0,
    ) -> None:
        self._client = client
        self._fence = fence
        self._on_written = on_written
        self._on_deleted = on_deleted
        self._timeout = timeout

    async def json_patch(
        self,
        kind: Kind,
        ref: ObjectRef,
        ops: list[dict[str, Any]],
        *,
        dry_run: bool = False,
        fenced: bool = True,
    ) -> Outcome:
        """A JSON patch (RFC 6902), whose first operations test what it was decided on.

        `dry_run`: the API server judges it, admission included, and stores nothing. `fenced`: only while this replica
        leads; without, those tests alone let one of several replicas through.
        """
        params = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        params |= {"dryRun": "All"} if dry_run else {}
        path = kind.path(ref.namespace, ref.name)
        body = (json.dumps(ops).encode(), JSON_PATCH)
        return await self._send("PATCH", kind, path, params, body, fenced=fenced)

    async def annotate(self, kind: Kind, ref: ObjectRef, annotations: dict[str, str]) -> Outcome:
        """Set annotations of that very object, whatever its version."""
        params = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        body = {"metadata": {"uid": ref.uid, "annotations": annotations}}
        path = kind.path(ref.namespace, ref.name)
        return await self._send("PATCH", kind, path, params, (json.dumps(body).encode(), MERGE_PATCH))

    async def report(self, kind: Kind, ref: ObjectRef, body: dict[str, Any]) -> Outcome:
        """Set conditions in the status of that very object of Kubernetes, whatever its version; others' stay."""
        params = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        whole = {"metadata": {"uid": ref.uid}, **body}
        path = kind.path(ref.namespace, ref.name, "status")
        return await self._send(
            "PATCH", kind, path, params, (json.dumps(whole).encode(), STRATEGIC_MERGE_PATCH)
        )

    async def create(self, kind: Kind, ref: ObjectRef, body: dict[str, Any]) -> Outcome:
        """Make an object that is not there; Stale where one of its name is."""
        params = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        return await self._send(
            "POST", kind, kind.path(ref.namespace), params, (json.dumps(body).encode(), JSON)
        )

    async def delete(self, kind: Kind, ref: ObjectRef) -> Outcome:
        """Remove that very object, whatever its status says by now; Stale where another has its name."""
        fence = {"uid": ref.uid}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": fence}
        body = (json.dumps(options).encode(), JSON)
        outcome = await self._send("DELETE", kind, kind.path(ref.namespace, ref.name), {}, body)
        if isinstance(outcome, Written | Gone):
            self._on_deleted(kind, ref)
        return outcome

    async def read(self, kind: Kind, ref: ObjectRef) -> dict[str, Any]:
        """The whole object as it is now. Raises ApiError (404: gone), or Unreachable where nothing sensible came."""
        path = kind.path(ref.namespace, ref.name)
        return whole(await self._client.request("GET", path, timeout=self._timeout))

    async def refresh(self, kind: Kind, ref: ObjectRef) -> bool:
        """Read an object whose last write had no answer; True once what is there (or that it is gone) is known."""
        try:
            raw = await self._client.request("GET", kind.path(ref.namespace, ref.name), timeout=self._timeout)
            meta(raw)
        except ApiError as error:
            if error.status == 404:
                self._on_deleted(kind, ref)
            return error.status == 404
        except RequestFailed:
            return False
        self._on_written(kind, raw)
        return True

    async def _send(
        self,
        method: str,
        kind: Kind,
        path: str,
        params: dict[str, str],
        body: tuple[bytes, str],
        *,
        fenced: bool = True,
    ) -> Outcome:
        try:
            raw = await self._client.request(
                method,
                path,
                params=params,
                body=body[0],
                content_type=body[1],
                timeout=self._timeout,
                before_send=self._fence if fenced else _unfenced,
            )
        except NotLeader as error:
            return NotLeading(str(error))
        except ApiError as error:
            return judge(error)
        except RequestFailed as error:
            return Failed(str(error))
        try:
            if method == "DELETE":
                deleted(raw)
                return Written(raw, "")
            version = meta(raw).resource_version
        except RequestFailed as error:
            return Failed(str(error))
        if "dryRun" not in params:
            self._on_written(kind, raw)
        return Written(raw, version)


def _unfenced() -> None:
    """Sends without the Lease: nothing has to hold."""


def judge(error: ApiError) -> Outcome:
    """What a refusal of the API server means for the decision that was sent (measured on 1.36.3)."""
    match error.status:
        case 403 if _LACKS_RIGHT.search(error.message):
            return Forbidden(error.message[:MESSAGE_LENGTH])
        case 404:
            return Gone(error.message)
        case 409:
            return _conflict(error)
        case 422:
            return _invalid(error)
        case 401 | 429:
            return Failed(error.message, error.retry_after, unknown=False)
        case status if status >= 500 and _UNKNOWN_FIELD not in error.message:
            return Failed(error.message, error.retry_after)
    return Refused(_words(error), error.status)


def _conflict(error: ApiError) -> Outcome:
    return Gone(error.message) if "uid mismatch" in error.message else Stale(error.message)


def _invalid(error: ApiError) -> Outcome:
    if any(cause.field == "metadata.uid" for cause in error.causes):
        return Gone(error.message)
    if not error.causes and error.message == _PATCH_DOES_NOT_FIT:
        return Stale(
            "the object changed since it was read: a test of the JSON patch, or a path in it, failed"
        )
    return Refused(_words(error), error.status)


def _words(error: ApiError) -> str:
    """What is wrong, without the object: that may hold what must not stand in a log, and is long."""
    _, found, problem = error.message.rpartition(_STRICT)
    return (found + problem)[:MESSAGE_LENGTH]
