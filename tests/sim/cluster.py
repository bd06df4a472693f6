"""The API server of the simulation: objects, resourceVersions, and who owns which published leaf.

Server-side apply and Update as measured on kube-apiserver 1.36: an apply is the whole of what its manager owns,
a change by Update takes a leaf from everybody else, defaults belong to whoever created by Update.
"""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.sim.leaves import DNS, GRACE, Leaf, Raw, drop, fields_v1, pod_spec, present, put

START = datetime(2026, 11, 22, 8, tzinfo=UTC)
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MANAGER = "resilience-operator"
Key = tuple[str, str]
Owner = tuple[str, str]
"""(manager, operation)."""


class StaleError(Exception):
    """409: the object changed since it was read."""


class ConflictError(Exception):
    """409 with causes: another manager owns what was not to be taken."""


@dataclass
class ReplicaSet:
    """A ReplicaSet: its template, its size and how many of its pods are well."""

    hash: str
    template: Raw
    revision: int
    created: datetime
    annotations: dict[str, str]
    pods: int = 0


@dataclass
class Stored:
    """A Deployment as stored; `owners`: manager -> its leaves; `times`: when each wrote last.

    `rolling_by`: whose change of the template is being rolled out, "" where nothing rolls.
    """

    raw: Raw
    owners: dict[Owner, frozenset[Leaf]] = field(default_factory=dict)
    times: dict[Owner, datetime] = field(default_factory=dict)
    replica_sets: list[ReplicaSet] = field(default_factory=list)
    rolling_by: str = ""

    @property
    def template(self) -> Raw:
        """The pod template."""
        found: Raw = self.raw["spec"]["template"]
        return found


class Cluster:
    """Deployments by (namespace, name), and a clock."""

    def __init__(self) -> None:
        self.now = START
        self.stored: dict[Key, Stored] = {}
        self.version = 0
        self.uids = 0

    def tick(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def create(self, body: Raw, origin: str = "kubectl apply") -> Key:
        """Create a Deployment as kubectl apply, kubectl create or server-side apply do."""
        raw = copy.deepcopy(body)
        meta = raw["metadata"]
        self.uids += 1
        meta |= {"uid": f"u-{self.uids}", "generation": 1, "creationTimestamp": _stamp(self.now)}
        chosen = frozenset(present(raw))
        pod_spec(raw).setdefault("terminationGracePeriodSeconds", 30)
        if origin == "kubectl apply":
            meta.setdefault("annotations", {})[LAST_APPLIED] = json.dumps(body)
        raw["status"] = {}
        owner = ("owner", "Apply") if origin == "server-side apply" else ("owner", "Update")
        one = Stored(raw, {owner: chosen if owner[1] == "Apply" else frozenset(present(raw))})
        one.times[owner] = self.now
        key = (meta["namespace"], meta["name"])
        self.stored[key] = one
        self._commit(one)
        return key

    def read(self, key: Key) -> Raw:
        """GET: a copy with managedFields."""
        one = self.stored[key]
        raw = copy.deepcopy(one.raw)
        raw["metadata"]["managedFields"] = [
            {
                "manager": manager,
                "operation": operation,
                "time": _stamp(one.times[(manager, operation)]),
                "fieldsV1": fields_v1(owned),
            }
            for (manager, operation), owned in sorted(one.owners.items())
        ]
        return raw

    def update(self, key: Key, manager: str, change: Callable[[Raw], None]) -> None:
        """A write without server-side apply: whoever changes a leaf owns it alone."""
        one = self.stored[key]
        before, spec, noted = present(one.raw), copy.deepcopy(one.raw["spec"]), _annotations(one)
        change(one.raw)
        pod_spec(one.raw).setdefault("terminationGracePeriodSeconds", 30)
        after = present(one.raw)
        changed = {leaf for leaf in {*before, *after} if before.get(leaf) != after.get(leaf)}
        for owner, owned in list(one.owners.items()):
            one.owners[owner] = owned - changed
        mine = (manager, "Update")
        one.owners[mine] = one.owners.get(mine, frozenset()) | (changed & after.keys())
        one.times[mine] = self.now
        self._settle(one, spec, noted, manager)

    def apply(self, body: Raw, manager: str, *, force: bool) -> None:
        """Server-side apply with preconditions; raises StaleError or ConflictError."""
        meta = body["metadata"]
        one = self.stored.get((meta["namespace"], meta["name"]))
        if one is None or one.raw["metadata"]["uid"] != meta["uid"]:
            raise StaleError("gone")
        if meta["resourceVersion"] != one.raw["metadata"]["resourceVersion"]:
            raise StaleError("modified")
        self.apply_leaves(one, present(body), manager, force=force)

    def apply_leaves(self, one: Stored, sent: dict[Leaf, Any], manager: str, *, force: bool) -> None:
        """The leaves of an apply: the whole of what the manager owns."""
        mine, now_there = (manager, "Apply"), present(one.raw)
        spec, noted = copy.deepcopy(one.raw["spec"]), _annotations(one)
        taken = {leaf for leaf, value in sent.items() if now_there.get(leaf) != value}
        rivals = {
            owner: owned & taken for owner, owned in one.owners.items() if owner != mine and owned & taken
        }
        if rivals and not force:
            raise ConflictError(str(rivals))
        for owner in rivals:
            one.owners[owner] -= taken
        for leaf in one.owners.get(mine, frozenset()) - sent.keys():
            if not any(leaf in owned for owner, owned in one.owners.items() if owner != mine):
                drop(one.raw, leaf)
        for leaf, value in sent.items():
            put(one.raw, leaf, copy.deepcopy(value))
        one.owners[mine], one.times[mine] = frozenset(sent), self.now
        self._settle(one, spec, noted, manager)

    def patch(self, key: Key, ops: tuple[dict[str, Any], ...], manager: str) -> None:
        """A JSON patch (RFC 6902) with removal of managedFields entries; raises StaleError where its test fails."""
        one, entries = self.stored[key], self.read(key)["metadata"]["managedFields"]
        dropped = []

        def change(raw: Raw) -> None:
            for op in ops:
                steps = [step.replace("~1", "/").replace("~0", "~") for step in op["path"].split("/")[1:]]
                if steps[:2] == ["metadata", "managedFields"]:
                    if op["op"] == "test" and entries[int(steps[2])]["manager"] != op["value"]:
                        raise StaleError("test failed")
                    dropped.extend([entries[int(steps[2])]] if op["op"] == "remove" else [])
                elif op["op"] == "test":
                    if _parent(raw, steps)[_index(steps[-1])] != op["value"]:
                        raise StaleError("test failed")
                elif steps[-1] == "-":
                    _parent(raw, steps).append(copy.deepcopy(op["value"]))
                elif op["op"] == "remove":
                    del _parent(raw, steps)[_index(steps[-1])]
                else:
                    _parent(raw, steps)[_index(steps[-1])] = copy.deepcopy(op["value"])
            if raw["metadata"].get("annotations") == {}:
                del raw["metadata"]["annotations"]

        self.update(key, manager, change)
        for entry in dropped:
            one.owners.pop((entry["manager"], entry["operation"]), None)

    def delete(self, key: Key) -> None:
        """Delete a Deployment."""
        self.version += 1
        del self.stored[key]

    def commit_status(self, one: Stored, status: Raw, revision: int) -> None:
        """The controller's write: status and revision, no new generation."""
        annotations = one.raw["metadata"].setdefault("annotations", {})
        known = (one.raw["status"], annotations.get("deployment.kubernetes.io/revision"))
        if known != (status, str(revision)):
            one.raw["status"] = status
            annotations["deployment.kubernetes.io/revision"] = str(revision)
            self._commit(one)

    def rolling(self, manager: str) -> list[str]:
        """The Deployments whose rollout that manager caused."""
        return [name for (_, name), one in sorted(self.stored.items()) if one.rolling_by == manager]

    def _settle(self, one: Stored, spec: Raw, noted: dict[str, str], manager: str) -> None:
        if one.raw["spec"]["template"] != spec["template"]:
            one.rolling_by = manager
        for owner in [owner for owner, owned in one.owners.items() if not owned and owner[0] == MANAGER]:
            del one.owners[owner]
        if one.raw["spec"] != spec or _annotations(one) != noted:
            one.raw["metadata"]["generation"] += 1
        self._commit(one)

    def _commit(self, one: Stored) -> None:
        self.version += 1
        one.raw["metadata"]["resourceVersion"] = str(self.version)


def _annotations(one: Stored) -> dict[str, str]:
    return dict(one.raw["metadata"].get("annotations", {}))


def _parent(at: Any, steps: list[str]) -> Any:
    for step in steps[:-1]:
        at = at[_index(step)]
    return at


def _index(step: str) -> str | int:
    return int(step) if step.isdigit() else step


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


__all__ = ["DNS", "GRACE", "START", "Cluster", "ConflictError", "ReplicaSet", "StaleError", "Stored"]
