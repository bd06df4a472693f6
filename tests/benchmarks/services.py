"""3,000 Services, 30,000 pods and their EndpointSlices in the cache: evaluated, kept up to date, and what they hold.

In this process and without a server: what is measured is the rule and its views. The worst case is a cluster in which
no Service leads anywhere, each a letter off, so that for each the nearest labels are looked for.
"""

import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from resilience_operator.cluster.store import Store
from resilience_operator.core.kinds import DEPLOYMENT, POD, SERVICE, Kind
from resilience_operator.core.refs import Key
from resilience_operator.engine.decide import PolicyVerdict
from resilience_operator.policy.policy import Policy
from resilience_operator.targets import new_store, parse, project, verdict_of
from resilience_operator.targets.workloads.endpoint_slices import ENDPOINT_SLICE
from tests.benchmarks.fleet import deployment
from tests.benchmarks.memory import MIB, rss
from tests.benchmarks.report import Row, show

SERVICES, PODS_EACH, PER_NAMESPACE = 3_000, 10, 100
EVENTS = 30_000
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
AT = "2026-11-22T08:00:00Z"

Body = dict[str, Any]


def main() -> int:
    """Fill, evaluate, change, and print each figure beside its bar."""
    policy = _policy()
    store, filled, held = _filled(misspelt=False)
    well, found = _evaluated(store, policy)
    if found:
        raise RuntimeError(f"{found} findings on Services that lead somewhere")
    flips = _followed(store, policy)
    lost, _, _ = _filled(misspelt=True)
    ill, found = _evaluated(lost, policy)
    if found != SERVICES:
        raise RuntimeError(f"{found} findings, where all {SERVICES} Services lead nowhere")
    pods = SERVICES * PODS_EACH
    rows = [
        Row(f"{SERVICES} Services, {pods} pods, slices, Deployments into the cache, s", filled),
        Row("  all of it in memory, MiB", held / MIB, 192.0),
        Row("evaluation of all Services, which lead somewhere, s", well, 3.0),
        Row("evaluation of all Services, each a letter off, s", ill),
        Row(
            "events of pods and slices, decided about, 1,000 a second",
            EVENTS / flips / 1000,
            20.0,
            least=True,
        ),
    ]
    return show("services", rows)


def _policy() -> Policy:
    body = {
        "metadata": {"name": "bench", "uid": "p-1", "generation": 1},
        "spec": {"services": {"empty": {}}},
    }
    policy, problems = parse(body)
    if problems:
        raise RuntimeError(str(problems))
    return policy


def _filled(*, misspelt: bool) -> tuple[Store, float, int]:
    texts = [(kind, json.dumps(body).encode()) for kind, body in _objects(misspelt=misspelt)]
    before, started, store = rss(), time.monotonic(), new_store()
    for kind, text in texts:
        store.put(kind, project(kind, text))
    store.take_dirty()
    return store, time.monotonic() - started, rss() - before


def _objects(*, misspelt: bool) -> Iterator[tuple[Kind, Body]]:
    for number in range(SERVICES):
        space, name = f"fleet-{number // PER_NAMESPACE}", f"d{number}"
        meta = {"namespace": space, "resourceVersion": "1"}
        body = deployment(space, name)
        body["metadata"] |= meta | {"uid": f"d-{number}"}
        yield DEPLOYMENT, body
        selector = {"app": f"{name}x" if misspelt else name}
        ports = [{"port": 80, "targetPort": "http"}]
        yield (
            SERVICE,
            {
                "metadata": meta | {"name": name, "uid": f"s-{number}"},
                "spec": {"selector": selector, "ports": ports, "clusterIP": "10.0.0.1"},
            },
        )
        yield ENDPOINT_SLICE, _slice(number, 0 if misspelt else PODS_EACH, "1")
        for index in range(PODS_EACH):
            yield POD, _pod(number, index, "1", ready=True)


def _pod(number: int, index: int, version: str, *, ready: bool) -> Body:
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {
        "metadata": {
            "name": f"d{number}-{index}",
            "namespace": f"fleet-{number // PER_NAMESPACE}",
            "uid": f"p-{number}-{index}",
            "resourceVersion": version,
            "labels": {"app": f"d{number}", "pod-template-hash": "1"},
        },
        "spec": {"nodeName": f"node-{index}", "containers": [{"name": "web", "image": "shop/web:1.4"}]},
        "status": {"phase": "Running", "conditions": conditions},
    }


def _slice(number: int, ready: int, version: str) -> Body:
    labels = {
        "kubernetes.io/service-name": f"d{number}",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    wrote = {"manager": "kube-controller-manager", "operation": "Update", "time": AT}
    return {
        "metadata": {
            "name": f"d{number}-1",
            "namespace": f"fleet-{number // PER_NAMESPACE}",
            "uid": f"e-{number}",
            "resourceVersion": version,
            "labels": labels,
            "managedFields": [wrote],
        },
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": [f"10.0.0.{one}"], "conditions": {"ready": True}} for one in range(ready)
        ],
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    }


def _evaluated(store: Store, policy: Policy) -> tuple[float, int]:
    """Seconds of looking at every Service twice, the second time after its grace, and the findings."""
    keys = [key for key in store.subjects() if len(key) == 3 and key[2] == SERVICE.kind]
    for key in keys:
        store.look(key, NOW - timedelta(hours=1))
    started, found = time.monotonic(), 0
    for key in keys:
        verdict = _verdict(store, policy, key)
        found += len(verdict.verdict.findings) if verdict is not None else 0
    return time.monotonic() - started, found


def _verdict(store: Store, policy: Policy, key: Key) -> PolicyVerdict | None:
    view = store.look(key, NOW)
    return verdict_of(policy, view) if view is not None else None


def _followed(store: Store, policy: Policy) -> float:
    """Seconds for events of pods that cease to be ready and are ready again, each with its slice, in passes of 500."""
    texts = [
        (kind, json.dumps(body).encode())
        for turn in range(2, 2 + EVENTS // (2 * SERVICES))
        for number in range(SERVICES)
        for kind, body in (
            (POD, _pod(number, 0, str(turn), ready=bool(turn % 2))),
            (ENDPOINT_SLICE, _slice(number, PODS_EACH - (turn + 1) % 2, str(turn))),
        )
    ]
    started = time.monotonic()
    for at, (kind, text) in enumerate(texts, start=1):
        store.put(kind, project(kind, text))
        if at % 500 == 0:
            for key in store.take_dirty():
                if len(key) == 3 and key[2] == SERVICE.kind:
                    _verdict(store, policy, key)
    return time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
