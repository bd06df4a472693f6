"""Whole passes over the simulated cluster: its API server answers as a real one does, except where a test says so.

Used by tests that ask what one object, one namespace or one answer does to all the others.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

from resilience_operator.api.status import FINALIZER, StatusWriter
from resilience_operator.api.write import Writer
from resilience_operator.core import kinds
from resilience_operator.core.errors import ApiError
from resilience_operator.run.reconcile import Reconciler
from resilience_operator.run.services import Services, Settings
from resilience_operator.targets import project
from tests.run.test_reconcile import Desk, services
from tests.sim.cluster import MANAGER, Key
from tests.sim.world import World, workload

DNS: dict[str, Any] = {"dnsConfig": {}}
PAGE = b"<html><body>Sign in to the network</body></html>"

Answer = Callable[[], bytes]
"""What is answered in place of the API server; it may raise ApiError."""


def page() -> bytes:
    """200 with a page of somebody's proxy."""
    return PAGE


def other_json() -> bytes:
    """200 with JSON that is no object of Kubernetes."""
    return b'{"error": {"code": 7}, "metadata": []}'


def refused(status: int, message: str = "", retry_after: float | None = None) -> Answer:
    """An error of the API server."""

    def answer() -> bytes:
        raise ApiError(status, "", message or f"answered {status}", retry_after=retry_after)

    return answer


class Api:
    """Reads and writes of Deployments and policies; `struck`: (method, end of the path) -> what is answered instead."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.struck: dict[tuple[str, str], Answer] = {}
        self.asked: list[tuple[str, str]] = []

    async def request(self, method: str, path: str, **options: Any) -> bytes:
        """Answer as the API server, or as a test says."""
        self.asked.append((method, path))
        for (verb, end), answer in self.struck.items():
            if verb == method and path.endswith(end):
                return answer()
        if "/resiliencepolicies/" in path:
            return self._policy(method, path, options.get("body"))
        parts = path.split("/")
        key = (parts[-3], parts[-1])
        if method == "PATCH":
            body = json.loads(options["body"])
            if isinstance(body, list):
                self.world.cluster.patch(key, tuple(body), MANAGER)
            else:
                force = options["params"]["force"] == "true"
                self.world.cluster.apply(body, MANAGER, force=force)
        return json.dumps(self.world.cluster.read(key)).encode()

    def _policy(self, method: str, path: str, body: bytes | None) -> bytes:
        name = path.split("/resiliencepolicies/")[1].split("/")[0]
        raw = self.world.operator.policies[name]
        raw["metadata"].setdefault("resourceVersion", "1")
        if method == "PATCH" and body is not None:
            sent = json.loads(body)
            if isinstance(sent, list):
                raw["metadata"]["finalizers"] = sent[1]["value"]
            else:
                raw["status"] = sent["status"]
        return json.dumps(raw).encode()

    def wrote(self) -> set[str]:
        """`namespace/name` of every Deployment that a PATCH was sent for."""
        return {
            "/".join(path.split("/")[-3::2])
            for method, path in self.asked
            if method == "PATCH" and "/deployments/" in path
        }


class Stage:
    """Deployments by `namespace/name`, policies, and a reconciler that begins its passes as a test says."""

    def __init__(self, *places: str, settings: Mapping[str, Any] | None = None) -> None:
        self.world = World()
        for place in places:
            namespace, name = place.split("/")
            self.world.cluster.create(workload(name, namespace))
        self.world.controller.settle()
        self.api, self.desk, self.monotonic = Api(self.world), Desk(), 0.0
        self.settings = dict(settings or {})

    def policy(self, name: str = "p", **spec: Any) -> None:
        """A policy with our finalizer on it."""
        rollout = {"soakSeconds": 0, "progressDeadlineSeconds": 60, **spec.pop("rollout", {})}
        self.world.operator.policy(name, **{"deployments": DNS, "rollout": rollout, **spec})
        self.world.operator.policies[name]["metadata"]["finalizers"] = [FINALIZER]

    def start(self) -> None:
        """The operator starts."""
        made = services(self.world, self.api, self.desk)
        store = made.store

        def written(kind: kinds.Kind, raw: bytes) -> None:
            store.put(kind, project(kind, raw))

        self.services: Services = dataclasses.replace(
            made,
            settings=Settings(**self.settings),
            writer=Writer(self.api, lambda: None, written),
            monotonic=lambda: self.monotonic,
        )
        self.reconciler = Reconciler(self.services)
        self.reconciler.policies_replaced(list(self.world.operator.policies.values()))

    def with_real_status(self) -> StatusWriter:
        """Use the real status writer from the start of the operator on."""
        self.desk_status = StatusWriter(self.api, lambda: None)
        self.services = dataclasses.replace(self.services, status=self.desk_status)
        self.reconciler = Reconciler(self.services)
        self.reconciler.policies_replaced(list(self.world.operator.policies.values()))
        return self.desk_status

    async def turn(self, seconds: float = 5.0) -> None:
        """One pass, one sync of the controllers, and time goes on."""
        await self.reconciler.guarded_pass()
        self.world.controller.step()
        fresh = self.world.operator.store()
        for kind in (kinds.DEPLOYMENT, kinds.REPLICA_SET):
            self.services.store.replace(kind, list(fresh.cache[kind]), "")
        self.world.cluster.tick(seconds)
        self.monotonic += seconds

    async def turns(self, count: int, seconds: float = 5.0) -> None:
        """Many turns."""
        for _ in range(count):
            await self.turn(seconds)

    def condition(self, kind: str, policy: str = "p") -> tuple[str, str, str]:
        """(status, reason, message) of a condition as it was told last."""
        (found,) = [one for one in self.told(policy)["conditions"] if one["type"] == kind]
        return found["status"], found["reason"], found["message"]

    def told(self, policy: str = "p") -> dict[str, Any]:
        """The newest status of a policy."""
        return next(status for name, status in reversed(self.desk.statuses) if name == policy)

    def finding(self, place: str, policy: str = "p") -> str:
        """The message of the first finding about a Deployment."""
        namespace, name = place.split("/")
        return next(
            str(one["message"])
            for one in self.told(policy)["findings"]
            if (one["object"]["namespace"], one["object"]["name"]) == (namespace, name)
        )

    def has_dns(self, place: str) -> bool:
        """True where the Deployment has what the policies ask for."""
        key: Key = tuple(place.split("/"))  # type: ignore[assignment]
        return "dnsConfig" in self.world.cluster.stored[key].template["spec"]
