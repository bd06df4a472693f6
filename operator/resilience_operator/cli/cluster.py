"""A cluster read once, for commands that look at one: the same store, views and decisions as the operator's.

Used by check --cluster, plan, report and revert.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from resilience_operator import __version__
from resilience_operator.api.session import Session
from resilience_operator.cli.reading import FORBIDDEN, NOT_FOUND, Seen, read_store
from resilience_operator.cli.scope import Scope
from resilience_operator.cluster.store import Store
from resilience_operator.core.errors import ApiError, ConfigurationError
from resilience_operator.core.kinds import LEASE, POLICY, Kind
from resilience_operator.core.refs import Key
from resilience_operator.engine.change import Decision
from resilience_operator.engine.decide import PolicyVerdict, Surroundings
from resilience_operator.engine.failures import Stopped, failures_of, stopped_by
from resilience_operator.policy.policy import Policy
from resilience_operator.targets import judge, parse, verdict_of
from resilience_operator.targets.workloads.view import View

NOT_INSTALLED = (
    "this cluster does not know ResiliencePolicy: install it (kubectl apply -k crds), or choose another context; "
    "kubectl resilience check --cluster needs no policy"
)
NO_RIGHT = (
    "this user may not read policies: bind ClusterRole resilience-policies-view to it by a ClusterRoleBinding; "
    "kubectl resilience check --cluster -n NAMESPACE needs no policy"
)
LEASE_NAME = "resilience-operator"
HOME = "resilience-system"
"""Where the operator lives of which no status says it."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What was read: the objects, every policy that can be honoured by name, and the server's version.

    `uids`: name -> uid of every policy, also of those that cannot be honoured.
    """

    store: Store
    policies: Mapping[str, Policy]
    refused: Mapping[str, str]
    version: tuple[int, int]
    now: datetime
    uids: Mapping[str, str] = field(default_factory=dict)
    installed: bool = True
    """False where the API server does not know the kind of our policies."""
    lease: str = ""
    """What is amiss with the operator's Lease: a status that nobody keeps is no truth."""
    unread: frozenset[Kind] = frozenset()
    """Kinds that this user may not read."""

    def require(self) -> None:
        """Raises ConfigurationError where there can be no policy, and tells on stderr of a Lease that is old."""
        if not self.installed:
            raise ConfigurationError(NOT_INSTALLED)
        if self.lease:
            print(self.lease, file=sys.stderr)

    def look(self, key: Key) -> View | None:
        """The view of the object with that key; None where there is none."""
        return Seen(self.store, self.unread).look(key, self.now, self.version)

    def policy(self, name: str) -> Policy:
        """A policy by name. Raises ConfigurationError with the names that there are."""
        if name in self.refused:
            raise ConfigurationError(f"policy {name} cannot be honoured: {self.refused[name]}")
        if name not in self.policies:
            known = ", ".join(sorted(self.policies)) or "none"
            raise ConfigurationError(f"there is no policy {name} in the cluster (there are: {known})")
        return self.policies[name]

    def proposals(self, policies: Mapping[str, Policy]) -> list[Decision]:
        """The same without regard to who stopped: what waits for that is shown as waiting."""
        return self._decide(policies, {policy.uid: policy for policy in policies.values()}, Stopped())

    def decisions(self, policies: Mapping[str, Policy] | None = None) -> list[Decision]:
        """What the operator would decide about every object, under these policies (default: the cluster's)."""
        asked = self.policies if policies is None else policies
        directory = {policy.uid: policy for policy in asked.values()}
        found = self._decide(asked, directory, Stopped())
        stopped = stopped_by(failures_of(found, directory), directory)
        return self._decide(asked, directory, stopped) if stopped != Stopped() else found

    def verdicts(self, view: View) -> tuple[PolicyVerdict, ...]:
        """What the rules of the cluster's policies say about an object, as `decisions` has it from them."""
        found = (verdict_of(policy, view) for policy in self.policies.values())
        return tuple(one for one in found if one is not None)

    def _decide(
        self, asked: Mapping[str, Policy], directory: Mapping[str, Policy], stopped: Stopped
    ) -> list[Decision]:
        found = []
        for key in self.store.subjects():
            view = self.look(key)
            around = Surroundings(directory, stopped=stopped.of(key[0]))
            decision = judge(view, tuple(asked.values()), around) if view is not None else None
            if decision is not None:
                found.append(decision)
        return sorted(found, key=lambda decision: decision.key)


async def connect(kubeconfig: str, context: str) -> Session:
    """The session of a command. Raises ConfigurationError where there is no usable configuration."""
    agent = f"kubectl-resilience/{__version__}"
    return await Session.connect(kubeconfig or None, context or None, qps=20.0, burst=20, user_agent=agent)


async def read(session: Session, scope: Scope | None = None) -> Cluster:
    """Read the policies, and every kind that rules look at. Raises RequestFailed, ConfigurationError."""
    raws = await _policies(session)
    seen = await read_store(session, scope)
    policies: dict[str, Policy] = {}
    refused: dict[str, str] = {}
    uids: dict[str, str] = {}
    for raw in raws or ():
        policy, problems = parse(raw)
        uids[policy.name] = policy.uid
        if problems:
            refused[policy.name] = "; ".join(f"{one.path}: {one.message}" for one in problems)
        else:
            policies[policy.name] = policy
    version = await session.server_version()
    now = datetime.now(UTC)
    homes = {(raw.get("status") or {}).get("servedBy") or HOME for raw in raws or ()}
    lease = [await _lease(session, home, now) for home in sorted(homes)]
    told = " ".join(filter(None, lease))
    return Cluster(seen.store, policies, refused, version, now, uids, raws is not None, told, seen.unread)


async def _policies(session: Session) -> list[dict[str, Any]] | None:
    """All policies; None where the API server does not know their kind. Raises RequestFailed."""
    try:
        body: dict[str, Any] = json.loads(await session.request("GET", POLICY.path()))
    except ApiError as error:
        if error.status == NOT_FOUND:
            return None
        if error.status == FORBIDDEN:
            raise ConfigurationError(NO_RIGHT) from error
        raise
    items: list[dict[str, Any]] = body["items"]
    return items


async def _lease(session: Session, home: str, now: datetime) -> str:
    """What is amiss with the Lease in that namespace, as a sentence; "" where it is renewed."""
    where = f"the operator in namespace {home}"
    try:
        spec = json.loads(await session.request("GET", LEASE.path(home, LEASE_NAME))).get("spec") or {}
        renewed = datetime.fromisoformat(str(spec.get("renewTime")))
    except ApiError as error:
        why = "there is no Lease of it" if error.status == NOT_FOUND else str(error)
        return f"Nobody can tell whether {where} runs: {why}; a policy's status may be old."
    except (ValueError, AttributeError):
        return f"Nobody can tell whether {where} runs: its Lease was never renewed; a policy's status may be old."
    age = (now - renewed).total_seconds()
    if spec.get("holderIdentity") and age <= OLD * float(spec.get("leaseDurationSeconds") or 15):
        return ""
    return f"{where[0].upper()}{where[1:]} has not renewed its Lease for {spoken(age)}: a policy's status is as old."


OLD = 3
"""So many durations after its last renewal a Lease is called old."""


def spoken(seconds: float) -> str:
    """`40 s`, `12 min`, `1 h 10 min`, `3 days`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} days"
