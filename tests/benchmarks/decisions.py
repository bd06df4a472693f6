"""The whole operator in this process, noting when each Deployment was decided at which version; told so by SIGTERM.

`python -m tests.benchmarks.decisions FILE FLAG...` runs it with those flags, and writes FILE when it ends:
`namespace/name resourceVersion arrived decided` a line, in monotonic seconds.
"""

import sys
import time
from datetime import datetime
from pathlib import Path

from resilience_operator.cluster.objects.workloads import Object
from resilience_operator.cluster.unreadable_keys import Unreadable
from resilience_operator.core.kinds import DEPLOYMENT, Kind
from resilience_operator.core.refs import Key
from resilience_operator.engine.decide import Surroundings
from resilience_operator.policy.policy import Policy
from resilience_operator.run.host import main
from resilience_operator.run.reconcile import Reconciler
from resilience_operator.run.services import Services
from resilience_operator.run.wiring import Reconciling

LINES: list[str] = []
ARRIVED: dict[Key, float] = {}


class Noting(Reconciler):
    """The operator's reconciler, which notes what it decided."""

    def _evaluate_one(
        self, key: Key, now: datetime, accepted: tuple[Policy, ...], around: Surroundings
    ) -> None:
        super()._evaluate_one(key, now, accepted, around)
        found = self._services.store.get(DEPLOYMENT, key[0], key[1]) if len(key) == 2 else None
        version = found.metadata.resource_version if found is not None else "0"
        LINES.append(f"{key[0]}/{key[1]} {version} {ARRIVED.get(key, 0.0):.6f} {time.monotonic():.6f}")


def noting(services: Services) -> Reconciling:
    """In place of the operator's own; notes as well when the watch brought a Deployment."""
    put = services.store.put

    def noted(kind: Kind, new: Object | Unreadable) -> None:
        if kind == DEPLOYMENT:
            ARRIVED[(new.metadata.namespace, new.metadata.name)] = time.monotonic()
        put(kind, new)

    services.store.put = noted  # type: ignore[method-assign]
    return Noting(services)


if __name__ == "__main__":
    code = main(["run", "--allow-unguarded", *sys.argv[2:]], noting)
    Path(sys.argv[1]).write_text("\n".join(LINES))
    sys.exit(code)
