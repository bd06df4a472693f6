"""A shell around the real evaluation and planning: passes over the simulated cluster, with a crash at any write.

It keeps nothing between passes but the policies, which lie on the API server, so every pass is a restart.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from resilience_operator.cluster.store import Store
from resilience_operator.core import kinds
from resilience_operator.engine.change import Change, Decision, Verb
from resilience_operator.engine.contest import Patience
from resilience_operator.engine.decide import Surroundings
from resilience_operator.engine.queue import OperatorLimits, Schedule, schedule
from resilience_operator.engine.withdrawal import let_go, withdraw
from resilience_operator.policy.policy import Policy
from resilience_operator.targets import judge, new_store, parse, project
from tests.sim.cluster import MANAGER, Cluster, ConflictError, Key, StaleError
from tests.sim.leaves import Raw, changed


class CrashError(Exception):
    """The operator died at a write."""


@dataclass
class Operator:
    """`crash`: (number of the write, "before" or "after"); `writes`: every write that was done, as (verb, key).

    `let_go`: of which object the second, value-free patch was done; both kinds count for a crash.

    `touched`: every path that they changed; `refused`: what the API server refused.
    """

    cluster: Cluster
    limits: OperatorLimits = OperatorLimits()
    patience: Patience = Patience()
    crash: tuple[int, str] | None = None
    policies: dict[str, Raw] = field(default_factory=dict)
    writes: list[tuple[str, Key]] = field(default_factory=list)
    let_go: list[Key] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    numbers: int = 0
    namespaces: dict[str, Raw] = field(default_factory=dict)
    before_write: Callable[[Change], None] = lambda change: None

    @property
    def sent(self) -> int:
        """How many writes were done, of both kinds."""
        return len(self.writes) + len(self.let_go)

    def policy(self, name: str = "p", **spec: Any) -> None:
        """Create a policy, or change its spec."""
        body = {"mode": "Enforce", "rollout": {"soakSeconds": 0}, **spec}
        self.numbers += 1
        old = self.policies.get(name)
        if old is not None and old["spec"] == body:
            return
        meta = {"name": name, "uid": f"p-{self.numbers}", "generation": 1}
        if old is not None:
            meta |= {"uid": old["metadata"]["uid"], "generation": old["metadata"]["generation"] + 1}
        self.policies[name] = {"metadata": meta, "spec": body}

    def delete_policy(self, name: str = "p") -> None:
        """kubectl delete: it goes when nothing is to be given back for it any more."""
        if name in self.policies:
            self.policies[name]["metadata"]["deletionTimestamp"] = "2026-11-22T08:00:00Z"

    def decisions(self) -> dict[Key, Decision]:
        """The decision about every object, from what the API server has, and who is stopped by it."""
        found = self._decide(Schedule())
        plan = self.schedule(found)
        return self._decide(plan) if plan.stopped or plan.stopped_in else found

    def _decide(self, plan: Schedule) -> dict[Key, Decision]:
        store, policies = self.store(), self.parsed()
        directory = {policy.uid: policy for policy in policies.values()}
        found = {}
        for key in self.cluster.stored:
            view = store.look(key, self.cluster.now)
            assert view is not None
            around = Surroundings(directory, self.patience, stopped=plan.stopped_for(key[0]))
            decision = judge(view, policies.values(), around, "resilience-system")
            if decision is not None:
                found[key] = decision
        return found

    def plan(self) -> Schedule:
        """What a pass would do."""
        return self.schedule(self.decisions())

    def one_pass(self) -> Schedule:
        """Decide about everything, write what may go; raises CrashError at the chosen write."""
        decisions = self.decisions()
        plan = self.schedule(decisions)
        for change in plan.now:
            self.before_write(change)
            try:
                self._carry_out(change)
            except (StaleError, ConflictError) as error:
                self.refused.append(f"{change.object}: {error!r}")
        wanted = {policy.name for one in decisions.values() if one.change for policy in one.change.policies}
        for name, raw in list(self.policies.items()):
            if "deletionTimestamp" in raw["metadata"] and not plan.now and name not in wanted:
                del self.policies[name]
        return plan

    def schedule(self, decisions: Mapping[Key, Decision]) -> Schedule:
        """What would be done about these decisions."""
        policies = {policy.uid: policy for policy in self.parsed().values()}
        return schedule(decisions.values(), policies, self.limits, self.cluster.now)

    def parsed(self) -> dict[str, Policy]:
        """The policies as the operator reads them, by name."""
        found = {}
        for name, raw in self.policies.items():
            policy, problems = parse(raw)
            assert problems == ()
            found[name] = policy
        return found

    def _carry_out(self, change: Change) -> None:
        key, now = (change.object.namespace, change.object.name), self.cluster.now
        if change.verb is Verb.LET_GO:
            self._let_go(key)
            return
        if change.verb is Verb.APPLY:
            ops = tuple(change.patch(now))
            self._write("apply", key, lambda: self.cluster.patch(key, ops, MANAGER))
            self._let_go(key)
            return
        raw = self.cluster.read(key)
        if raw["metadata"]["resourceVersion"] != change.resource_version:
            raise StaleError("changed")
        ops = withdraw(raw, change.given_back, change.state).ops
        self._write("withdraw", key, lambda: self.cluster.patch(key, ops, MANAGER))
        self._let_go(key)

    def _let_go(self, key: Key) -> None:
        rest = let_go(self.cluster.read(key))
        if rest:
            self._write("let go", key, lambda: self.cluster.patch(key, rest, MANAGER))
            self.let_go.append(self.writes.pop()[1])

    def _write(self, verb: str, key: Key, send: Callable[[], None]) -> None:
        number = self.sent
        if self.crash == (number, "before"):
            self.crash = None
            raise CrashError
        before = self.cluster.read(key)
        send()
        self.writes.append((verb, key))
        after = self.cluster.read(key)
        before["metadata"].pop("managedFields")
        after["metadata"].pop("managedFields")
        self.touched |= changed(before, after)
        if self.crash == (number, "after"):
            self.crash = None
            if verb == "let go":
                self.let_go.append(self.writes.pop()[1])
            raise CrashError

    def store(self) -> Store:
        """All objects, as a watch would have brought them."""
        store = new_store()
        for number in range(3):
            store.put(kinds.NODE, project(kinds.NODE, _json(_node(f"node-{number}"))))
        for name, extra in self.namespaces.items():
            body = {"metadata": {"name": name, "resourceVersion": "1", **extra}}
            store.put(kinds.NAMESPACE, project(kinds.NAMESPACE, _json(body)))
        for (namespace, name), one in self.cluster.stored.items():
            store.put(
                kinds.DEPLOYMENT, project(kinds.DEPLOYMENT, _json(self.cluster.read((namespace, name))))
            )
            uid = one.raw["metadata"]["uid"]
            for rs in one.replica_sets:
                store.put(
                    kinds.REPLICA_SET,
                    project(kinds.REPLICA_SET, _json(_replica_set(namespace, name, uid, rs))),
                )
            store.put(kinds.SERVICE, project(kinds.SERVICE, _json(_service(namespace, name))))
        return store


def _node(name: str) -> Raw:
    return {
        "metadata": {"name": name, "resourceVersion": "1", "labels": {"kubernetes.io/hostname": name}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


def _service(namespace: str, name: str) -> Raw:
    meta = {"name": name, "namespace": namespace, "resourceVersion": "1"}
    return {"metadata": meta, "spec": {"selector": {"app": name}, "ports": [{"port": 80}]}}


def _replica_set(namespace: str, name: str, uid: str, rs: Any) -> Raw:
    owner = {"kind": "Deployment", "name": name, "uid": uid, "apiVersion": "apps/v1", "controller": True}
    return {
        "metadata": {
            "name": f"{name}-{rs.hash}",
            "namespace": namespace,
            "uid": f"{uid}-{rs.hash}",
            "resourceVersion": "1",
            "creationTimestamp": rs.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "labels": {"pod-template-hash": rs.hash},
            "annotations": {**rs.annotations, "deployment.kubernetes.io/revision": str(rs.revision)},
            "ownerReferences": [owner],
        },
        "spec": {"replicas": rs.pods},
    }


def _json(body: Raw) -> bytes:
    return json.dumps(body).encode()
