"""A cluster read once, for commands that look at one: the same store, views and decisions as the operator's.

Used by check --cluster, plan, report and revert.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from resilience_operator import __version__
from resilience_operator.api.session import Session
from resilience_operator.cluster.store import Store
from resilience_operator.core.errors import ApiError, ConfigurationError
from resilience_operator.core.kinds import POLICY, Kind
from resilience_operator.core.refs import Key
from resilience_operator.engine.change import Decision
from resilience_operator.engine.decide import PolicyVerdict, Surroundings
from resilience_operator.engine.queue import stopped_policies
from resilience_operator.policy.policy import Policy
from resilience_operator.targets import KINDS, decode_list, judge, new_store, parse, verdict_of
from resilience_operator.targets.workloads.view import View

PAGE = 500
NOT_FOUND = 404
FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class Cluster:
    """What was read: the store, every policy that can be honoured by name, and the server's version.

    `uids`: name -> uid of every policy, also of those that cannot be honoured.
    """

    store: Store
    policies: Mapping[str, Policy]
    refused: Mapping[str, str]
    version: tuple[int, int]
    now: datetime
    uids: Mapping[str, str] = field(default_factory=dict)

    def look(self, key: Key) -> View | None:
        """The view of the object with that key; None where there is none."""
        return self.store.look(key, self.now, self.version)

    def policy(self, name: str) -> Policy:
        """A policy by name. Raises ConfigurationError with the names that there are."""
        if name in self.refused:
            raise ConfigurationError(f"policy {name} cannot be honoured: {self.refused[name]}")
        if name not in self.policies:
            known = ", ".join(sorted(self.policies)) or "none"
            raise ConfigurationError(f"there is no policy {name} in the cluster (there are: {known})")
        return self.policies[name]

    def decisions(self, policies: Mapping[str, Policy] | None = None) -> list[Decision]:
        """What the operator would decide about every object, under these policies (default: the cluster's)."""
        asked = self.policies if policies is None else policies
        directory = {policy.uid: policy for policy in asked.values()}
        found = self._decide(asked, Surroundings(directory))
        stopped = stopped_policies(found, directory)
        return self._decide(asked, Surroundings(directory, stopped=stopped)) if stopped else found

    def verdicts(self, view: View) -> tuple[PolicyVerdict, ...]:
        """What the rules of the cluster's policies say about an object, as `decisions` has it from them."""
        found = (verdict_of(policy, view) for policy in self.policies.values())
        return tuple(one for one in found if one is not None)

    def _decide(self, asked: Mapping[str, Policy], around: Surroundings) -> list[Decision]:
        found = []
        for key in self.store.subjects():
            view = self.look(key)
            decision = judge(view, tuple(asked.values()), around) if view is not None else None
            if decision is not None:
                found.append(decision)
        return sorted(found, key=lambda decision: decision.key)


async def connect(kubeconfig: str, context: str) -> Session:
    """The session of a command. Raises ConfigurationError where there is no usable configuration."""
    agent = f"kubectl-resilience/{__version__}"
    return await Session.connect(kubeconfig or None, context or None, qps=20.0, burst=20, user_agent=agent)


async def read(session: Session) -> Cluster:
    """Read every kind that rules look at, and the policies. Raises RequestFailed."""
    store = await read_store(session)
    policies: dict[str, Policy] = {}
    refused: dict[str, str] = {}
    uids: dict[str, str] = {}
    body = json.loads(await session.request("GET", POLICY.path()))
    for raw in body["items"]:
        policy, problems = parse(raw)
        uids[policy.name] = policy.uid
        if problems:
            refused[policy.name] = "; ".join(f"{one.path}: {one.message}" for one in problems)
        else:
            policies[policy.name] = policy
    version = await session.server_version()
    return Cluster(store, policies, refused, version, datetime.now(UTC), uids)


async def read_store(session: Session) -> Store:
    """Read every kind that rules look at; needs no policy in the cluster, nor their kind. Raises RequestFailed."""
    store = new_store()
    for kind in KINDS:
        await _read_kind(session, kind, store)
    return store


async def _read_kind(session: Session, kind: Kind, store: Store) -> None:
    objects: list[Any] = []
    proceed, version = "", ""
    while True:
        params = {"limit": str(PAGE)} | ({"continue": proceed} if proceed else {})
        try:
            raw = await session.request("GET", kind.path(kind.only_in), params=params, timeout=60.0)
        except ApiError as error:
            unreadable = kind.beside_the_point and error.status == FORBIDDEN
            if unreadable or (kind.optional and error.status == NOT_FOUND):
                return
            raise
        page, version, proceed = decode_list(kind, raw)
        objects += page
        if not proceed:
            break
    store.replace(kind, objects, version)
