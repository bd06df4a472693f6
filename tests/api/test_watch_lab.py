"""Seven real watch streams with one fault each at the same time: all catch up, none lies about its age."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from resilience_operator.api.session import Session
from resilience_operator.api.watch import Reflector, Scope
from resilience_operator.cluster.store import Store
from resilience_operator.core.kinds import (
    DEPLOYMENT,
    NAMESPACE,
    NODE,
    POD,
    REPLICA_SET,
    SCALED_OBJECT,
    SERVICE,
    VOLUME_CLAIM,
    Kind,
)
from resilience_operator.targets import new_store
from tests.faults import Proxy, Stream
from tests.lab import Lab
from tests.lab.api import ApiError
from tests.standins.keda import scaled_object_crd

STALL_TIMEOUT = 15.0
"""Seconds; the beats below make no healthy stream silent for so long."""

BEAT = 1.0
CAUGHT_UP_WITHIN = 90.0
NOTICED_WITHIN = 2.0
"""Seconds between a change on the server and its event in a store that is well."""

STRUCK = (DEPLOYMENT, REPLICA_SET, POD, SERVICE, NAMESPACE, NODE, VOLUME_CLAIM)
"""The kinds of which a stream is struck; the others are mirrored by the same code."""

POD_SPEC = {"containers": [{"name": "app", "image": "app"}]}
SELECTOR = {"matchLabels": {"app": "beacon"}}
TEMPLATE = {
    "metadata": {"labels": {"app": "beacon"}},
    "spec": {"containers": [{"name": "app", "image": "app"}]},
}
SPECS: dict[Kind, dict[str, Any]] = {
    DEPLOYMENT: {"replicas": 0, "selector": SELECTOR, "template": TEMPLATE},
    REPLICA_SET: {"replicas": 0, "selector": SELECTOR, "template": TEMPLATE},
    POD: POD_SPEC,
    SERVICE: {"ports": [{"port": 80}]},
    NAMESPACE: {},
    NODE: {},
    VOLUME_CLAIM: {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


class Beacons:
    """One object of each kind that changes every second, and one to be deleted when the faults strike."""

    def __init__(self, lab: Lab, namespace: str) -> None:
        self.lab, self.namespace = lab, namespace
        self.changes: dict[Kind, list[tuple[float, int]]] = {kind: [] for kind in STRUCK}
        self._stop = threading.Event()
        for kind in STRUCK:
            for name in ("beacon", "victim"):
                body = {"metadata": {"name": self.name(kind, name)}, "spec": SPECS[kind]}
                lab.api.create(kind.path(namespace), body)

    def name(self, kind: Kind, name: str) -> str:
        """A name of this test's own for what has no namespace."""
        return name if kind.namespaced else f"{self.namespace}-{name}"

    def path(self, kind: Kind, name: str) -> str:
        """Where one of the objects lies."""
        return kind.path(self.namespace, self.name(kind, name))

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Change each beacon once a second; whatever the API server answers in an outage does not matter."""
        thread = threading.Thread(target=self._beat)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _beat(self) -> None:
        number = 0
        while not self._stop.wait(BEAT):
            number += 1
            for kind in STRUCK:
                with suppress(ApiError, OSError):
                    changed = self.lab.api.patch(
                        self.path(kind, "beacon"),
                        {"metadata": {"annotations": {"resilience.dev/beat": str(number)}}},
                    )
                    self.changes[kind].append((time.monotonic(), int(changed["metadata"]["resourceVersion"])))

    def delete_victims(self) -> None:
        """Delete the other object of each kind."""
        for kind in STRUCK:
            self.lab.api.request(
                "DELETE",
                self.path(kind, "victim"),
                {"gracePeriodSeconds": 0, "propagationPolicy": "Background"},
            )


class Witness:
    """What each stream says of itself, every 20 ms, beside what is true."""

    def __init__(self, reflectors: list[Reflector], store: Store, beacons: Beacons) -> None:
        self.reflectors, self.store, self.beacons = reflectors, store, beacons
        self.errors: dict[Kind, set[str]] = {kind: set() for kind in STRUCK}
        self.lies: list[str] = []
        self.stale: set[Kind] = set()
        self.caught_up: dict[Kind, float] = {}

    def known(self, kind: Kind, name: str) -> int:
        """The version of one of the objects in the store, 0 where it is not there."""
        names = self.store.cache[kind]
        found = names.get(self.beacons.namespace if kind.namespaced else "", self.beacons.name(kind, name))
        return int(found.metadata.resource_version) if found is not None else 0

    def behind(self, kind: Kind) -> float:
        """For how many seconds the store has not known of a change of the beacon."""
        known = self.known(kind, "beacon")
        missed = [at for at, version in list(self.beacons.changes[kind]) if version > known]
        return time.monotonic() - missed[0] if missed else 0.0

    def look(self, since: float) -> None:
        """Take one look at each stream."""
        for reflector in self.reflectors:
            kind = reflector.kind
            self.errors[kind].add(reflector.last_error)
            behind = self.behind(kind)
            if not reflector.fresh:
                self.stale.add(kind)
            elif behind > STALL_TIMEOUT + NOTICED_WITHIN:
                self.lies.append(f"{kind} says it is fresh, and is {behind:.1f} s behind")
            if behind == 0 and reflector.fresh and not self.known(kind, "victim"):
                self.caught_up.setdefault(kind, time.monotonic() - since)
            else:
                self.caught_up.pop(kind, None)


FAULTS: dict[Kind, Callable[[Stream], object]] = {
    DEPLOYMENT: lambda stream: stream.error(410),
    REPLICA_SET: lambda stream: stream.error(500),
    POD: lambda stream: stream.truncate(),
    SERVICE: lambda stream: stream.silence(),
    NAMESPACE: lambda stream: stream.reset(),
    VOLUME_CLAIM: lambda stream: stream.silence(),
}
"""Of each stream but that of nodes, whose fault is the restart of the API server, which meets the others as well.

That of claims is silent while an object is deleted, and is then told that its version has expired.
"""

SEEN: dict[Kind, str] = {
    DEPLOYMENT: "answered 410",
    REPLICA_SET: "answered 500",
    POD: "no complete answer",
    SERVICE: "SocketTimeoutError",
    NAMESPACE: "no complete answer",
    NODE: "no complete answer",
    VOLUME_CLAIM: "answered 410",
}


async def strike(proxy: Proxy, lab: Lab, beacons: Beacons) -> None:
    """All faults at once; nothing that is deleted meanwhile is seen by a stream that is struck."""
    streams = {kind: proxy.streams(f"/{kind.plural}$")[-1] for kind in STRUCK}
    for kind, fault in FAULTS.items():
        fault(streams[kind])
    await asyncio.to_thread(beacons.delete_victims)
    streams[VOLUME_CLAIM].error(410)
    broken = [streams[kind] for kind in FAULTS if kind != SERVICE]
    await asyncio.to_thread(proxy.wait, lambda: not any(stream.open for stream in broken), 10)
    assert streams[SERVICE].open
    assert streams[NODE].open
    await asyncio.to_thread(lab.restart, "kube-apiserver")


@pytest.mark.lab
async def test_seven_streams_with_one_fault_each_catch_up_and_none_says_it_is_fresh_when_it_is_not(
    own_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    lab = await asyncio.to_thread(own_lab, nodes=1)
    namespace = await asyncio.to_thread(lab.namespace)
    beacons = await asyncio.to_thread(Beacons, lab, namespace)
    store = new_store()
    with Proxy(lab.kubeconfig()) as proxy, beacons.beating():
        operator = proxy.kubeconfig(tmp_path / "operator")
        async with await Session.connect(
            str(operator), None, qps=9, burst=9, user_agent="operator/1"
        ) as session:
            scope = Scope(stall_timeout=STALL_TIMEOUT)
            reflectors = [Reflector(session, kind, store, time.monotonic, scope) for kind in STRUCK]
            tasks = [asyncio.create_task(reflector.run()) for reflector in reflectors]
            witness = Witness(reflectors, store, beacons)
            await asyncio.sleep(5)
            assert {kind for kind in STRUCK if witness.known(kind, "victim")} == set(STRUCK)
            assert [reflector.fresh for reflector in reflectors] == [True] * 7
            since = time.monotonic()
            striking = asyncio.create_task(strike(proxy, lab, beacons))
            while (
                not striking.done()
                or len(witness.caught_up) < 7
                or time.monotonic() - since < STALL_TIMEOUT + 5
            ):
                witness.look(since)
                assert time.monotonic() - since < CAUGHT_UP_WITHIN, (witness.caught_up, witness.errors)
                await asyncio.sleep(0.02)
            await striking
            ended = [task for task in tasks if task.done()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    print({kind.kind: round(seconds, 1) for kind, seconds in witness.caught_up.items()})
    assert ended == []
    assert witness.lies == []
    assert SERVICE in witness.stale
    assert {kind: [said for said in witness.errors[kind] if SEEN[kind] in said] != [] for kind in STRUCK} == (
        dict.fromkeys(STRUCK, True)
    )


@pytest.mark.lab
async def test_a_kind_that_the_cluster_lacks_is_no_fault_and_is_seen_once_it_is_there(
    own_lab: Callable[..., Lab],
) -> None:
    lab = await asyncio.to_thread(own_lab, nodes=1)
    store, scope = new_store(), Scope(stall_timeout=3.0)
    kubeconfig = str(lab.kubeconfig())
    async with await Session.connect(kubeconfig, None, qps=9, burst=9, user_agent="operator/1") as session:
        reflector = Reflector(session, SCALED_OBJECT, store, time.monotonic, scope)
        task = asyncio.create_task(reflector.run())
        await asyncio.sleep(5)
        assert (reflector.fresh, store.count(SCALED_OBJECT)) == (True, 0)
        crd = json.dumps(scaled_object_crd())
        await asyncio.to_thread(lab.kubectl, "apply", "--server-side", "-f", "-", input=crd)
        body = {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": "web"},
            "spec": {"scaleTargetRef": {"name": "web"}, "triggers": [{"type": "cron", "metadata": {}}]},
        }
        path = SCALED_OBJECT.path("default")
        await asyncio.to_thread(lab.wait, lambda: created(lab, path, body), 30, "the new kind is served")
        await asyncio.to_thread(lab.wait, lambda: store.count(SCALED_OBJECT) == 1, 30, "it is seen")
        assert (reflector.fresh, task.done()) == (True, False)
        task.cancel()


def created(lab: Lab, path: str, body: dict[str, Any]) -> bool:
    """True once an object could be made."""
    try:
        lab.api.create(path, body)
    except ApiError:
        return False
    return True
