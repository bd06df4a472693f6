"""What a person's `revert` leaves behind for others: an Event on the object, and a record in the policy's status.

Used by cli/giving_back. With the caller's own rights: where they do not allow it, the values are given back all the
same, and stderr says what is not told.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from resilience_operator.api.client import Client, micro_time
from resilience_operator.cli.held import Step
from resilience_operator.core.errors import RequestFailed
from resilience_operator.core.kinds import EVENT, POLICY
from resilience_operator.core.refs import ObjectRef
from resilience_operator.engine.change import Result
from resilience_operator.engine.records import MAX_RECORDS, stamp
from resilience_operator.engine.wording import enumerated, sentence, several, short

REPORTER = "resilience.dev/kubectl"
JSON_PATCH = "application/json-patch+json"


@dataclass(slots=True)
class Told:
    """Tells of what was given back of one policy; `policy` without a uid is gone."""

    client: Client
    policy: ObjectRef
    complained: bool = False

    async def reverted(self, step: Step, paths: Sequence[str]) -> None:
        """One object was given back: `paths` of it, or the whole object, which was ours."""
        now, ref = datetime.now(UTC), step.ref
        rules = {step.ruled[path] for path in paths if path in step.ruled}
        rules |= set(step.ruled.values() if step.whole else () if rules else step.opt_out)
        what = "removed, for it was ours" if step.whole else f"gave back {several(paths) or 'nothing'}"
        out = f"; opted out of {enumerated(step.opt_out)}" if step.opt_out else ""
        said = sentence(f"policy {short(self.policy.name)}: {what}{out} (kubectl resilience revert)")
        await self._try("an Event", self._event(ref, said, now))
        if self.policy.uid:
            await self._try("a record in the policy's status", self._record(ref, sorted(rules), said, now))

    async def _try(self, what: str, telling: Any) -> None:
        try:
            await telling
        except RequestFailed as error:
            if not self.complained:
                print(f"{what} about it could not be left: {error}", file=sys.stderr)
            self.complained = True

    async def _event(self, ref: ObjectRef, said: str, now: datetime) -> None:
        namespace = ref.namespace or "default"
        body = {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"generateName": "resilience-revert-", "namespace": namespace},
            "eventTime": micro_time(now),
            "reportingController": REPORTER,
            "reportingInstance": "kubectl-resilience",
            "action": "Withdraw",
            "reason": "Reverted",
            "type": "Normal",
            "regarding": ref.as_status() | ({"uid": ref.uid} if ref.uid else {}),
            "note": said,
        }
        if self.policy.uid:
            body["related"] = self.policy.as_status() | {"uid": self.policy.uid}
        await self.client.request("POST", EVENT.path(namespace), body=json.dumps(body).encode())

    async def _record(self, ref: ObjectRef, rules: Sequence[str], said: str, now: datetime) -> None:
        """One for each rule, put first in the list; the operator takes them over from there."""
        raw = json.loads(await self.client.request("GET", POLICY.path("", self.policy.name)))
        present = (raw.get("status") or {}).get("remediations") or []
        new = [
            {
                "time": stamp(now),
                "rule": rule,
                "object": ref.as_status(),
                "result": str(Result.REVERTED),
                "message": said,
            }
            for rule in rules
        ]
        ops = [
            {"op": "test", "path": "/metadata/uid", "value": self.policy.uid},
            *([] if raw.get("status") else [{"op": "add", "path": "/status", "value": {}}]),
            {"op": "add", "path": "/status/remediations", "value": [*new, *present][:MAX_RECORDS]},
        ]
        await self.client.request(
            "PATCH",
            POLICY.path("", self.policy.name, "status"),
            params={"fieldManager": "kubectl-resilience"},
            body=json.dumps(ops).encode(),
            content_type=JSON_PATCH,
        )
