"""A cluster, its controller and an operator together: what the tests of the simulation drive."""

import copy
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from resilience_operator.engine.queue import OperatorLimits
from tests.sim.cluster import MANAGER, Cluster, Key
from tests.sim.controller import Controller
from tests.sim.leaves import STATE_KEY, Raw, pod_spec
from tests.sim.operator import CrashError, Operator

ALL_RULES: dict[str, Any] = {"spread": {}, "gracefulShutdown": {}, "dnsConfig": {}}
TWO_AT_ONCE = {"soakSeconds": 0, "maxConcurrent": 2, "maxConcurrentPerNamespace": 2}


def workload(name: str, namespace: str = "shop", replicas: int = 3, **pod: Any) -> Raw:
    """A Deployment as its owner writes it."""
    container = {"name": "web", "image": "shop/web:1", "ports": [{"containerPort": 80}]}
    labels = {"app": name}
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {**labels}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {**labels}},
            "template": {"metadata": {"labels": {**labels}}, "spec": {"containers": [container], **pod}},
        },
    }


@dataclass
class World:
    """`peak`: the most rollouts of ours that ever ran at once; seen after every write and every sync."""

    cluster: Cluster = field(default_factory=Cluster)
    peak: int = 0

    def __post_init__(self) -> None:
        self.controller = Controller(self.cluster)
        self.operator = Operator(self.cluster, OperatorLimits(max_rollouts=2, max_unhealthy_percent=100))

    def create(self, *names: str, origin: str = "kubectl apply", **pod: Any) -> None:
        """Deployments of one pod spec, rolled out."""
        for name in names:
            self.cluster.create(workload(name, **pod), origin)
        self.controller.settle()

    def turn(self, seconds: float = 5) -> None:
        """One pass, one sync, and time goes on; a crashed operator is started anew by the next turn."""
        with suppress(CrashError):
            self.operator.one_pass()
        self._look()
        self.controller.step()
        self._look()
        self.cluster.tick(seconds)

    def turns(self, count: int = 60, seconds: float = 5) -> None:
        """Many turns."""
        for _ in range(count):
            self.turn(seconds)

    def until(self, probe: Callable[[], bool], count: int = 400, seconds: float = 5) -> None:
        """Turn until the probe is true."""
        for _ in range(count):
            if probe():
                return
            self.turn(seconds)
        raise AssertionError("it never came true")

    def pod(self, name: str) -> Raw:
        """The pod spec of a Deployment."""
        return copy.deepcopy(pod_spec(self.cluster.stored[("shop", name)].raw))

    def edit(self, name: str, manager: str, **pod: Any) -> None:
        """A manager sets fields of the pod spec by Update; None removes one."""

        def change(raw: Raw) -> None:
            for field_name, value in pod.items():
                if value is None:
                    pod_spec(raw).pop(field_name, None)
                else:
                    pod_spec(raw)[field_name] = copy.deepcopy(value)

        self.cluster.update(("shop", name), manager, change)

    def push(self, name: str, image: str) -> None:
        """The owner's new image."""

        def change(raw: Raw) -> None:
            pod_spec(raw)["containers"][0]["image"] = image

        self.cluster.update(("shop", name), "owner", change)

    def label(self, name: str, **labels: str | None) -> None:
        """kubectl label; None removes one."""

        def change(raw: Raw) -> None:
            for label, value in labels.items():
                raw["metadata"]["labels"].pop(label.replace("__", "/"), None)
                if value is not None:
                    raw["metadata"]["labels"][label.replace("__", "/")] = value

        self.cluster.update(("shop", name), "kubectl-label", change)

    def states(self, policy: str = "p") -> dict[str, list[str]]:
        """Name -> the states of its findings."""
        return {
            key[1]: [f"{one.finding.rule} {one.state}" for one in decision.of(policy)]
            for key, decision in self.operator.decisions().items()
        }

    def converged(self) -> bool:
        """Nothing is proposed, nothing runs, no finding stands."""
        decisions = self.operator.decisions().values()
        return not any(one.change or one.rollout.running or one.judged for one in decisions)

    def quiet(self) -> bool:
        """Nothing is proposed, nothing runs; findings may stand."""
        decisions = self.operator.decisions().values()
        return not any(one.change or one.rollout.running for one in decisions)

    def traces(self, name: str) -> list[str]:
        """What is left of us on an object."""
        raw = self.cluster.read(("shop", name))
        found = [STATE_KEY] if STATE_KEY in raw["metadata"].get("annotations", {}) else []
        return found + [
            entry["operation"] for entry in raw["metadata"]["managedFields"] if entry["manager"] == MANAGER
        ]

    def _look(self) -> None:
        self.peak = max(self.peak, len(self.cluster.rolling(MANAGER)))


def key(name: str) -> Key:
    """The key of a Deployment of the simulation."""
    return ("shop", name)
