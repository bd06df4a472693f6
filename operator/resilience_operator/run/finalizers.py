"""Our finalizer on policies: on before the first write, off once nothing is to be given back. Used by reconcile."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from resilience_operator.api.client import NotLeader
from resilience_operator.api.recorder import Notice
from resilience_operator.api.status import FINALIZER
from resilience_operator.core.errors import RequestFailed
from resilience_operator.core.plain import named, plain
from resilience_operator.core.refs import Key, key_of
from resilience_operator.engine.change import Change
from resilience_operator.engine.queue import Schedule
from resilience_operator.engine.status import not_served
from resilience_operator.policy.policy import Policy
from resilience_operator.run import events as announce
from resilience_operator.run.decisions import Decided, served_by
from resilience_operator.run.memory import LostRight, Memory
from resilience_operator.run.services import Services
from resilience_operator.targets import parse
from resilience_operator.targets.workloads.budgets import POLICY_LABEL, ours
from resilience_operator.targets.workloads.view import DeploymentView

log = logging.getLogger(__name__)

LETTING_GO = "letting go of policy"

HOLD_RETRY = 5.0
"""Seconds between two tries to put our finalizer on a policy."""


class Finalizers:
    """Holds policies and lets them go; it reads what the passes decided and remember."""

    def __init__(self, services: Services, cluster: Decided, memory: Memory) -> None:
        self._services = services
        self._cluster = cluster
        self._memory = memory
        self._leaving: dict[str, Policy] = {}
        self._owed: list[Change] = []

    async def hold(self, change: Change) -> bool:
        """True once every policy that the change serves bears our finalizer: before the first write, not after."""
        for policy in change.policies:
            if FINALIZER in policy.finalizers or policy.deleting or policy.uid in self._memory.held:
                continue
            try:
                await self._services.status.hold(policy.ref)
            except Exception as error:  # noqa: BLE001 - without it nothing is written, whatever the error
                log.warning(
                    "policy %s cannot be held by its finalizer: %s",
                    policy.name,
                    plain(str(error)),
                    extra={"policies": [policy.name]},
                )
                why = f"putting our finalizer on policy {policy.name} failed: {plain(str(error))}"
                self._memory.unheld[policy.uid] = LostRight(why, self._services.monotonic() + HOLD_RETRY)
                return False
            self._memory.unheld.pop(policy.uid, None)
            self._memory.held.add(policy.uid)
        return True

    def owe(self, change: Change) -> None:
        """Remember what was written while no policy could be held: its policies are held as soon as one can."""
        self._owed.append(change)

    async def hold_owed(self) -> None:
        """Hold the policies of what was written before they could be."""
        self._owed = [change for change in self._owed if not await self.hold(change)]

    def leave(self, raws: Sequence[Mapping[str, Any]]) -> bool:
        """Take the policies that are outside the selector; True where one of them was served by us before."""
        home = self._services.settings.namespace
        served = [raw for raw in raws if (raw.get("status") or {}).get("servedBy") == home]
        self._leaving = {policy.uid: policy for policy, _ in map(parse, served)}
        self._memory.held -= self._leaving.keys()
        return bool(self._leaving)

    async def let_leave(self) -> list[Notice]:
        """Take our finalizer off the policies that left the selector, and say so in their status."""
        settings, notices = self._services.settings, []
        why = (
            f"not served: its labels do not match --policy-selector {plain(settings.policy_selector, 80)} of the "
            f"operator in namespace {settings.namespace}; what was written for it stays"
        )
        for policy in list(self._leaving.values()):
            try:
                await self._services.status.let_go(policy.ref)
                await self._services.status.write(policy.ref, not_served(policy, why))
            except (RequestFailed, NotLeader) as error:
                log.warning(
                    "policy %s, which left the selector, keeps its finalizer: %s",
                    policy.name,
                    error,
                    extra={"policies": [policy.name]},
                )
                continue
            del self._leaving[policy.uid]
            notices.append(announce.about_policy(policy, "NotServed", why))
        return notices

    async def let_go(self, plan: Schedule) -> list[Notice]:
        """Let policies go that are being deleted, once nothing is to be given back for them any more.

        Objects that are paused, unhealthy or refuse it are waited for as long as a rollout may take; then what is ours
        on them stays, their annotations say what it is, and the Events that are returned say so.
        """
        notices: list[Notice] = []
        for step in [step for step in self._memory.faults if step.startswith(LETTING_GO)]:
            del self._memory.faults[step]
        for known in list(self._cluster.policies.values()):
            policy = known.policy
            if not policy.deleting or FINALIZER not in policy.finalizers:
                continue
            try:
                left = self._left(policy, plan) if self._gives_back(policy) else ()
                if left is None:
                    continue
                await self._services.status.let_go(policy.ref)
                self._memory.stuck.pop(policy.uid, None)
                notices += left
            except (RequestFailed, NotLeader) as error:
                log.warning(
                    "policy %s keeps its finalizer: %s", policy.name, error, extra={"policies": [policy.name]}
                )
            except Exception as error:
                log.exception("policy %s keeps its finalizer", policy.name, extra={"policies": [policy.name]})
                self._memory.faults[f"{LETTING_GO} {policy.name}"] = named(error)
        return notices

    def _may_hold(self, uid: str, key: Key) -> bool:
        """True where the policy holds something on an object about which nothing can be decided, or nobody can tell."""
        services = self._services
        try:
            view = services.store.look(key, services.now(), services.server_version)
            made = ours(view) if isinstance(view, DeploymentView) else ()
        except Exception:  # noqa: BLE001 - whatever it is, there is doubt
            return True
        labels = {budget.metadata.labels[POLICY_LABEL] for budget in made}
        return view is not None and uid in labels | view.state.uids()

    def _left(self, policy: Policy, plan: Schedule) -> Sequence[Notice] | None:
        """The Events about what is left behind; None while there is a prospect that it is given back."""
        stuck, notices = not self._cluster.everything, []
        for decision in self._cluster.active:
            for change in decision.changes:
                if policy not in change.policies or not change.gives_back:
                    continue
                why = plan.waiting.get(key_of(change.object), "")
                theirs = why == decision.blocked or change.object.key in self._memory.backoffs
                stuck = stuck and bool(why) and theirs
                notices.append(announce.left_behind(change, policy, why))
        monotonic, limits = self._services.monotonic(), policy.limits_of(())
        if not stuck:
            self._memory.stuck.pop(policy.uid, None)
            return None
        since = self._memory.stuck.setdefault(policy.uid, monotonic)
        over = monotonic >= since + limits.progress_deadline_seconds + limits.soak_seconds
        return notices if over else None

    def _gives_back(self, policy: Policy) -> bool:
        """True while something of the policy's is to be given back, or an object that it wrote is not yet read anew."""
        if self._cluster.everything:
            return True  # The decisions are older than the policies.
        unknown = {key_of(one.ref) for one in self._memory.unknown.values()}
        if any(key in unknown or self._may_hold(policy.uid, key) for key in self._memory.broken):
            return True
        unread = unknown | self._cluster.due
        if any(policy.uid in served_by(self._cluster.get(key)) for key in unread):
            return True
        changes = (change for decision in self._cluster.active for change in decision.changes)
        return any(change.gives_back and policy in change.policies for change in changes)
