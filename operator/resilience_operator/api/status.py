"""Writes what the operator found into the status of policies, and its finalizer onto them.

Reconcile hands in whole statuses as often as it likes; a task of its own (`run`, started by the host) sends
the newest of each policy, at most one per second, and only where the server has a different one: converged
means no write.
"""

import asyncio
import json
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resilience_operator.api.answers import whole
from resilience_operator.api.client import Client, Clock
from resilience_operator.api.write import JSON_PATCH
from resilience_operator.core.errors import ApiError, NotLeader, RequestFailed
from resilience_operator.core.kinds import POLICY
from resilience_operator.core.plain import named
from resilience_operator.core.refs import ObjectRef

log = logging.getLogger(__name__)

FINALIZER = "resilience.dev/release"
STATUS_MANAGER = "resilience-operator-status"
APPLY = "application/apply-patch+yaml"
_LONGEST_WAIT = 60.0
_ATTEMPTS = 4

Status = dict[str, Any]


@dataclass(slots=True)
class _Desk:
    """One policy's status: what shall be there, what is there, when the next write may go.

    `accepted`: our last write, and what the server made of it; the two differ where the schema drops or adds.
    """

    ref: ObjectRef
    wanted: Status
    accepted: tuple[Status, Status] | None = None
    stored: Status | None = None
    not_before: float = 0.0
    failures: int = 0
    settled: bool = False


class StatusWriter:
    """Status and finalizer of ResiliencePolicies, each write fenced by the Lease."""

    def __init__(
        self,
        client: Client,
        fence: Callable[[], None],
        clock: Clock | None = None,
        every: float = 1.0,
        timeout: float = 10.0,
    ) -> None:
        self._client = client
        self._fence = fence
        self._clock = clock or Clock()
        self._every = every
        self._timeout = timeout
        self._desks: dict[str, _Desk] = {}
        self._wake = asyncio.Event()

    async def write(self, policy: ObjectRef, status: Status) -> None:
        """Take the newest status of a policy (conditions without lastTransitionTime); it is sent by `run`."""
        desk = self._desks.get(policy.uid)
        if desk is None:
            desk = self._desks[policy.uid] = _Desk(policy, status)
        desk.wanted, desk.settled = status, False
        self._wake.set()

    def seen(self, raw: dict[str, Any]) -> None:
        """Compare with what a watch or a list says is there: an edit by somebody else is written over."""
        desk = self._desks.get(raw.get("metadata", {}).get("uid", ""))
        stored = raw.get("status") or {}
        if desk is not None and desk.settled and stored != desk.stored:
            desk.stored, desk.settled = None, False
            self._wake.set()

    def forget(self, uid: str) -> None:
        """The policy is gone."""
        self._desks.pop(uid, None)

    def keep(self, uids: frozenset[str]) -> None:
        """These are all policies that there are."""
        for uid in self._desks.keys() - uids:
            self.forget(uid)

    async def run(self) -> None:
        """Send what is due, for ever."""
        while True:
            self._wake.clear()
            for desk in [desk for desk in self._desks.values() if self._due(desk)]:
                await self._send(desk)
            await self._rest()

    async def flush(self) -> None:
        """Send what is waiting once, without the pause between two writes; for the end of the program."""
        for desk in [desk for desk in self._desks.values() if not desk.settled]:
            await self._send(desk)

    async def hold(self, policy: ObjectRef) -> None:
        """Add our finalizer, so that the policy stays until its values are given back.

        Raises RequestFailed or NotLeader; LookupError where the policy is gone.
        """
        await self._finalizers(policy, lambda names: [*names, FINALIZER] if FINALIZER not in names else names)

    async def let_go(self, policy: ObjectRef) -> None:
        """Remove our finalizer; no error where the policy is gone. Raises RequestFailed or NotLeader."""
        try:
            await self._finalizers(policy, lambda names: [name for name in names if name != FINALIZER])
        except LookupError:
            return

    def _due(self, desk: _Desk) -> bool:
        return not desk.settled and self._clock.monotonic() >= desk.not_before

    async def _rest(self) -> None:
        now = self._clock.monotonic()
        waits = [desk.not_before - now for desk in self._desks.values() if not desk.settled]
        if waits:
            await self._clock.wait(self._wake, min(waits))
        else:
            await self._wake.wait()

    async def _send(self, desk: _Desk) -> None:
        wanted = desk.wanted
        try:
            self._fence()
            if desk.stored is None:
                desk.stored = await self._stored(desk.ref)
            await self._write(desk, wanted)
        except LookupError:
            self._desks.pop(desk.ref.uid, None)
        except NotLeader:
            # The next leader judges for itself; what this replica knew of the server is then old.
            desk.settled, desk.stored = True, None
        except RequestFailed as error:
            self._later(desk, wanted, error)
        except Exception as error:
            log.exception(
                "the status of policy %s cannot be written",
                desk.ref.name,
                extra={"policies": [desk.ref.name]},
            )
            self._later(desk, wanted, RequestFailed(named(error)))
        else:
            desk.failures = 0
            desk.settled = desk.wanted is wanted

    async def _write(self, desk: _Desk, wanted: Status) -> None:
        status = with_times(wanted, desk.stored or {}, self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"))
        if status == desk.stored or (status, desk.stored) == desk.accepted:
            return
        desk.not_before = self._clock.monotonic() + self._every
        body = {
            "apiVersion": POLICY.api_version,
            "kind": POLICY.kind,
            "metadata": {"name": desk.ref.name, "uid": desk.ref.uid},
            "status": status,
        }
        answer = await self._patch(desk.ref, body)
        desk.stored = answer.get("status") or {}
        desk.accepted = (status, desk.stored)

    def _later(self, desk: _Desk, wanted: Status, error: RequestFailed) -> None:
        desk.stored = desk.accepted = None
        if isinstance(error, ApiError) and _permanent(error):
            log.error(
                "the status of policy %s was refused: %s",
                desk.ref.name,
                error,
                extra={"policies": [desk.ref.name]},
            )
            desk.settled = desk.wanted is wanted
            return
        desk.failures += 1
        wait = min(_LONGEST_WAIT, self._every * 2 ** min(desk.failures, 8))
        desk.not_before = self._clock.monotonic() + wait * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        log.warning(
            "the status of policy %s waits: %s", desk.ref.name, error, extra={"policies": [desk.ref.name]}
        )

    async def _read(self, policy: ObjectRef) -> dict[str, Any]:
        try:
            answer = await self._client.request("GET", POLICY.path("", policy.name), timeout=self._timeout)
        except ApiError as error:
            if error.status == 404:
                raise LookupError(policy.name) from error
            raise
        body = whole(answer)
        if body["metadata"].get("uid") != policy.uid:
            raise LookupError(f"{policy.name} is another policy now")
        return body

    async def _stored(self, policy: ObjectRef) -> Status:
        return (await self._read(policy)).get("status") or {}

    async def _patch(self, policy: ObjectRef, body: dict[str, Any]) -> dict[str, Any]:
        params = {"fieldManager": STATUS_MANAGER, "force": "true", "fieldValidation": "Strict"}
        try:
            answer = await self._client.request(
                "PATCH",
                POLICY.path("", policy.name, "status"),
                params=params,
                body=json.dumps(body).encode(),
                content_type=APPLY,
                timeout=self._timeout,
                before_send=self._fence,
            )
        except ApiError as error:
            if error.status == 404 or "uid mismatch" in error.message or "metadata.uid" in error.message:
                raise LookupError(policy.name) from error
            raise
        return whole(answer)

    async def _finalizers(self, policy: ObjectRef, change: Callable[[list[str]], list[str]]) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            body = await self._read(policy)
            present: list[str] = body["metadata"].get("finalizers") or []
            if change(present) == present:
                return
            try:
                await self._replace_finalizers(policy, body["metadata"]["resourceVersion"], change(present))
                return
            except ApiError as error:
                if error.status not in (409, 422) or attempt == _ATTEMPTS:
                    raise

    async def _replace_finalizers(self, policy: ObjectRef, version: str, names: list[str]) -> None:
        ops = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/metadata/finalizers", "value": names},
        ]
        await self._client.request(
            "PATCH",
            POLICY.path("", policy.name),
            params={"fieldManager": STATUS_MANAGER},
            body=json.dumps(ops).encode(),
            content_type=JSON_PATCH,
            timeout=self._timeout,
            before_send=self._fence,
        )


def with_times(wanted: Status, stored: Status, now: str) -> Status:
    """Each condition with its lastTransitionTime: the stored one while its status is the same, else `now`."""
    known = {condition["type"]: condition for condition in stored.get("conditions") or []}
    conditions = []
    for condition in wanted.get("conditions") or []:
        before = known.get(condition["type"], {})
        same = before.get("status") == condition["status"] and "lastTransitionTime" in before
        conditions.append(condition | {"lastTransitionTime": before["lastTransitionTime"] if same else now})
    return wanted | {"conditions": conditions} if conditions else dict(wanted)


def _permanent(error: ApiError) -> bool:
    return error.status in (400, 422)
