"""The operator's own path from the API server into the cache, and on to decisions, in a process of its own.

Prints its figures as JSON: `python -m tests.benchmarks.ours KUBECONFIG`.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from resilience_operator.api.session import Session
from resilience_operator.api.watch import Reflector
from resilience_operator.cluster.cache import Described
from resilience_operator.cluster.store import Store
from resilience_operator.cluster.unreadable_keys import Unreadable
from resilience_operator.core.kinds import DEPLOYMENT, NAMESPACE, NODE, POD, REPLICA_SET, SERVICE, Kind
from resilience_operator.engine.decide import Surroundings
from resilience_operator.targets import TARGETS, judge, parse
from tests.benchmarks.memory import rss

KINDS = (DEPLOYMENT, NAMESPACE, NODE, REPLICA_SET, POD, SERVICE)
POLICY: dict[str, Any] = {
    "metadata": {"name": "bench", "uid": "bench", "generation": 1},
    "spec": {"mode": "Enforce", "deployments": {"spread": {}, "gracefulShutdown": {}, "dnsConfig": {}}},
}


class Listed(Store):
    """A store that says when a whole list has come."""

    def __init__(self) -> None:
        super().__init__(TARGETS)
        self.listed = asyncio.Event()

    def replace(self, kind: Kind, objects: Sequence[Described | Unreadable], resource_version: str) -> None:
        """Take it, and say so."""
        super().replace(kind, objects, resource_version)
        self.listed.set()


async def read(session: Session, store: Listed, kind: Kind) -> tuple[float, int]:
    """(seconds, bytes) until all objects of a kind are in the store."""
    before, started = rss(), time.monotonic()
    store.listed.clear()
    task = asyncio.create_task(Reflector(session, kind, store, time.monotonic).run())
    await store.listed.wait()
    seconds = time.monotonic() - started
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return seconds, rss() - before


def evaluate(store: Store) -> tuple[float, int, int]:
    """(seconds, decisions, findings) of every Deployment by all rules."""
    policy, problems = parse(POLICY)
    assert not problems
    around = Surroundings({policy.uid: policy})
    started = time.monotonic()
    now, decisions, findings = datetime.now(UTC), 0, 0
    for key in sorted(store.take_dirty()):
        view = store.look(key, now, (1, 36))
        decision = judge(view, (policy,), around) if view is not None else None
        decisions += decision is not None
        findings += len(decision.judged) if decision is not None else 0
    return time.monotonic() - started, decisions, findings


async def main(kubeconfig: str) -> dict[str, Any]:
    """Read kind after kind, and evaluate; every figure that is about the cache."""
    store = Listed()
    session = await Session.connect(kubeconfig, None, qps=50, burst=100, user_agent="benchmark")
    async with session:
        figures = {kind.kind: await read(session, store, kind) for kind in KINDS}
    seconds, decisions, findings = evaluate(store)
    return {
        "seconds": {kind: one for kind, (one, _) in figures.items()},
        "bytes": {kind: one for kind, (_, one) in figures.items()},
        "objects": {kind.kind: store.count(kind) for kind in KINDS},
        "evaluation": seconds,
        "decisions": decisions,
        "findings": findings,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(str(Path(sys.argv[1]))))))
