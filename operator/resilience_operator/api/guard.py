"""Proves that the API server guards what the operator's user may write (manifests/enforce), again and again.

Run by wiring, asked by reconcile before anything is written. A guard is not there because somebody installed it: its
binding may be deleted, and under another name or namespace it speaks of a user that does not exist. So the operator
tries what the guard must refuse, in dry runs that change nothing: a budget that stops every eviction, and a label on an
object of each kind that it may patch. What its user lacks the right for can do no harm either. Doubt proves nothing.
"""

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from resilience_operator.api.client import Client, Clock
from resilience_operator.core.errors import ApiError, RequestFailed
from resilience_operator.core.kinds import BUDGET, Kind

log = logging.getLogger(__name__)

DRY = {"dryRun": "All", "fieldManager": "resilience-operator"}
REFUSES = "ValidatingAdmissionPolicy"
"""Stands in the message of every refusal by one (admission plugin ValidatingAdmissionPolicy)."""

NOT_YET = "unguarded: it is not yet proved that the API server guards what the operator writes"
LIFT = "install manifests/enforce whole and unrenamed, or run with --allow-unguarded"

Place = tuple[Kind, str, str]
"""(kind, namespace, name) of an object that the operator may patch."""


@dataclass(frozen=True, slots=True)
class _Trial:
    """A forbidden write: `what` it is in words."""

    method: str
    path: str
    body: bytes
    content_type: str
    what: str
    kind: str
    """The kind of its object."""


class GuardProof:
    """Tries every `every` seconds; `on_change` is called when the answer changed.

    `places`: objects to try a forbidden label on, one of a kind is enough; those of a kind that is not there are none.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        places: Callable[[], Iterable[Place]],
        on_change: Callable[[], None],
        clock: Clock | None = None,
        every: float = 180.0,
        first: float = 2.0,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._places = places
        self._on_change = on_change
        self._clock = clock or Clock()
        self._every, self._first = every, first
        self._why = NOT_YET
        self._kinds: frozenset[str] = frozenset()

    def unguarded(self) -> str:
        """Why nothing may be enforced, as a sentence; "" where the guard is proved to be in force."""
        return self._why

    def guarded(self) -> frozenset[str]:
        """Kinds over which it is proved, also where the rest has no answer: a dead webhook refuses all other trials."""
        return self._kinds if self._why in ("", NOT_YET) else frozenset()

    async def run(self) -> None:
        """Prove it again and again, for ever; sooner while it is not proved."""
        while True:
            await self.look()
            await self._clock.sleep(self._first if self._why else self._every)

    async def look(self) -> None:
        """Try everything once. What has no answer leaves the last verdict as it is."""
        passed, guarded, silent = [], set(), None
        for trial in self._trials():
            try:
                refused = await self._refused(trial)
            except RequestFailed as error:
                silent = error
                continue
            guarded |= {trial.kind} if refused else set()
            passed += [] if refused else [trial.what]
        news, self._kinds = guarded - self._kinds, frozenset(guarded)
        if silent is not None:
            log.warning(
                "the guard cannot be proved, %s: %s", "nothing is enforced" if self._why else "so far", silent
            )
            if news:
                self._on_change()
            return
        why = f"unguarded: the API server lets this user {passed[0]}; {LIFT}" if passed else ""
        if why != self._why:
            self._why = why
            log.warning("%s", why) if why else log.info("guarded: the API server refuses what is forbidden")
            self._on_change()

    def _trials(self) -> list[_Trial]:
        name = "resilience-operator-guard-proof"
        spec = {"maxUnavailable": 0, "selector": {"matchLabels": {"app": name}}}
        identity = {"apiVersion": BUDGET.api_version, "kind": BUDGET.kind, "metadata": {"name": name}}
        body = json.dumps({**identity, "spec": spec}).encode()
        what = "make a PodDisruptionBudget that stops every eviction"
        trials = [_Trial("POST", BUDGET.path(self._namespace), body, "application/json", what, BUDGET.kind)]
        label = json.dumps({"metadata": {"labels": {"resilience.dev/guard-proof": "forbidden"}}}).encode()
        for kind, namespace, name in self._places():
            path, what = kind.path(namespace, name), f"label {kind.kind} {f'{namespace}/{name}'.lstrip('/')}"
            trials.append(_Trial("PATCH", path, label, "application/merge-patch+json", what, kind.kind))
        return trials

    async def _refused(self, trial: _Trial) -> bool:
        """True where it is refused for what it is, or this user lacks the right. Raises RequestFailed otherwise."""
        request = {"params": DRY, "body": trial.body, "content_type": trial.content_type, "timeout": 10.0}
        try:
            await self._client.request(trial.method, trial.path, **request)  # type: ignore[arg-type]
        except ApiError as error:
            if error.status == 404 or (error.status == 403 and REFUSES not in error.message):
                return True
            if error.status in (403, 422) and REFUSES in error.message:
                return True
            raise
        return False
