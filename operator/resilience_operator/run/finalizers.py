"""Our finalizer on policies: on before the first write, off once nothing is to be given back. Used by reconcile."""

import logging

from resilience_operator.api.client import NotLeader
from resilience_operator.api.status import FINALIZER
from resilience_operator.core.errors import RequestFailed
from resilience_operator.core.refs import Key, key_of
from resilience_operator.engine.change import Change, Verb
from resilience_operator.policy.policy import Policy
from resilience_operator.run.decisions import Decided, served_by
from resilience_operator.run.memory import Memory
from resilience_operator.run.services import Services
from resilience_operator.targets.workloads.budgets import POLICY_LABEL, ours
from resilience_operator.targets.workloads.view import DeploymentView

log = logging.getLogger(__name__)


class Finalizers:
    """Holds policies and lets them go; it reads what the passes decided and remember."""

    def __init__(self, services: Services, cluster: Decided, memory: Memory) -> None:
        self._services = services
        self._cluster = cluster
        self._memory = memory

    async def hold(self, change: Change) -> bool:
        """True once every policy that the change serves bears our finalizer: before the first write, not after."""
        for policy in change.policies:
            if FINALIZER in policy.finalizers or policy.deleting or policy.uid in self._memory.held:
                continue
            try:
                await self._services.status.hold(policy.ref)
            except (RequestFailed, NotLeader, LookupError) as error:
                log.warning("policy %s cannot be held by its finalizer: %s", policy.name, error)
                return False
            self._memory.held.add(policy.uid)
        return True

    async def let_go(self) -> None:
        """Let policies go that are being deleted, once nothing is to be given back for them any more."""
        for known in list(self._cluster.policies.values()):
            policy = known.policy
            if not policy.deleting or FINALIZER not in policy.finalizers or self._gives_back(policy):
                continue
            try:
                await self._services.status.let_go(policy.ref)
            except (RequestFailed, NotLeader) as error:
                log.warning("policy %s keeps its finalizer: %s", policy.name, error)

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

    def _gives_back(self, policy: Policy) -> bool:
        """True while something of the policy's is to be given back, or an object that it wrote is not yet read anew."""
        if self._cluster.everything:
            return True  # The decisions are older than the policies.
        unknown = {key_of(ref) for ref in self._memory.unknown.values()}
        if any(key in unknown or self._may_hold(policy.uid, key) for key in self._memory.broken):
            return True
        unread = unknown | self._cluster.due
        if any(policy.uid in served_by(self._cluster.get(key)) for key in unread):
            return True
        changes = (change for decision in self._cluster.active for change in decision.changes)
        giving = (Verb.WITHDRAW, Verb.LET_GO, Verb.DELETE)  # What lets go comes before what gives back.
        return any(change.verb in giving and policy in change.policies for change in changes)
