"""The Deployment controller of the simulation: revisions, ReplicaSets, conditions, a rollout of one pod per step."""

import copy
import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tests.sim.cluster import LAST_APPLIED, Cluster, Key, ReplicaSet, Stored
from tests.sim.leaves import Raw

REVISION = "deployment.kubernetes.io/revision"
NOT_COPIED = {LAST_APPLIED, REVISION}
Well = Callable[[Raw], bool]
"""Whether pods of a template become ready."""


def everything_is_well(template: Raw) -> bool:
    """No pod ever fails."""
    return bool(template)


class Controller:
    """Steps every Deployment; `well` decides which pods become ready."""

    def __init__(self, cluster: Cluster, well: Well = everything_is_well) -> None:
        self.cluster = cluster
        self.well = well

    def step(self) -> None:
        """One sync of every Deployment."""
        for key in sorted(self.cluster.stored):
            self.sync(self.cluster.stored[key])

    def settle(self, steps: int = 12) -> None:
        """Sync until rollouts are over or stuck."""
        for _ in range(steps):
            self.step()

    def sync(self, one: Stored) -> None:
        """One sync of one Deployment; one that is being deleted is left alone (syncDeployment: status only)."""
        if "deletionTimestamp" in one.raw["metadata"]:
            return
        if one.raw["spec"].get("paused"):
            status = {**one.raw["status"], "observedGeneration": one.raw["metadata"]["generation"]}
            self.cluster.commit_status(one, status, max((rs.revision for rs in one.replica_sets), default=0))
            return
        newest = self._newest(one)
        want = one.raw["spec"]["replicas"]
        others = [rs for rs in one.replica_sets if rs is not newest]
        well = self.well(one.template)
        if well and newest.pods < want:
            newest.pods += 1
        elif newest.pods > want:
            newest.pods = want
        elif not well and newest.pods == 0 and want:
            newest.pods = 1
        ready = newest.pods if well else 0
        surplus = ready + sum(rs.pods for rs in others) - want
        for rs in others:
            gone = min(rs.pods, max(0, surplus))
            rs.pods, surplus = rs.pods - gone, surplus - gone
        self.cluster.commit_status(one, self._status(one, newest, others, ready), newest.revision)

    def undo(self, key: Key) -> None:
        """`kubectl rollout undo`: the template and all annotations of the revision before."""
        one = self.cluster.stored[key]
        before = sorted(one.replica_sets, key=lambda rs: rs.revision)[-2]

        def back(raw: Raw) -> None:
            raw["spec"]["template"] = copy.deepcopy(before.template)
            kept = {name: text for name, text in raw["metadata"]["annotations"].items() if name in NOT_COPIED}
            raw["metadata"]["annotations"] = kept | before.annotations

        self.cluster.update(key, "kubectl-rollout", back)

    def _newest(self, one: Stored) -> ReplicaSet:
        highest = max((rs.revision for rs in one.replica_sets), default=0)
        found = next((rs for rs in one.replica_sets if rs.template == one.template), None)
        if found is None:
            canonical = json.dumps(one.template, sort_keys=True).encode()
            digest = hashlib.sha256(canonical).hexdigest()[:10]
            found = ReplicaSet(digest, copy.deepcopy(one.template), highest + 1, self.cluster.now, {})
            one.replica_sets.append(found)
        elif found.revision < highest:
            found.revision = highest + 1
        annotations = one.raw["metadata"].get("annotations", {})
        found.annotations |= {name: text for name, text in annotations.items() if name not in NOT_COPIED}
        return found

    def _status(self, one: Stored, newest: ReplicaSet, others: list[ReplicaSet], ready: int) -> Raw:
        want, old = one.raw["spec"]["replicas"], sum(rs.pods for rs in others)
        counts = {
            "observedGeneration": one.raw["metadata"]["generation"],
            "replicas": newest.pods + old,
            "updatedReplicas": newest.pods,
            "readyReplicas": ready + old,
            "availableReplicas": ready + old,
        }
        return counts | {"conditions": [self._progressing(one, counts, want)]}

    def _progressing(self, one: Stored, counts: dict[str, int], want: int) -> Raw:
        status, now = one.raw["status"], self.cluster.now
        before: dict[str, Any] = next(iter(status.get("conditions", [])), {})
        steady = before.get("reason") == "NewReplicaSetAvailable" and before.get("for") == _hash(one)
        if steady and counts["replicas"] == counts["updatedReplicas"]:
            return before
        if counts["replicas"] == counts["updatedReplicas"] == counts["availableReplicas"] == want:
            one.rolling_by = ""
            return _condition("True", "NewReplicaSetAvailable", now, one)
        parts = ("replicas", "updatedReplicas", "availableReplicas")
        moved = any(counts[part] != status.get(part, 0) for part in parts) or before.get("for") != _hash(one)
        if moved:
            return _condition("True", "ReplicaSetUpdated", now, one)
        since = datetime.fromisoformat(before["lastUpdateTime"])
        deadline = one.raw["spec"].get("progressDeadlineSeconds", 600)
        if before["status"] == "True" and now - since >= timedelta(seconds=deadline):
            return _condition("False", "ProgressDeadlineExceeded", now, one)
        return before


def _hash(one: Stored) -> str:
    return hashlib.sha256(json.dumps(one.template, sort_keys=True).encode()).hexdigest()


def _condition(status: str, reason: str, now: datetime, one: Stored) -> Raw:
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    times = {"lastUpdateTime": stamp, "lastTransitionTime": stamp}
    return {
        "type": "Progressing",
        "status": status,
        "reason": reason,
        "message": reason,
        "for": _hash(one),
        **times,
    }
