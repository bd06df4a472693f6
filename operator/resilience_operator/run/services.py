"""What reconcile works with: the adapters and the settings of this run, as one value made by the host."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from resilience_operator.api.lease import Lease
from resilience_operator.api.metrics import Metrics
from resilience_operator.api.pause import NAME as PAUSE_SWITCH
from resilience_operator.api.recorder import Recorder
from resilience_operator.api.status import StatusWriter
from resilience_operator.api.write import Writer
from resilience_operator.cluster.store import Store
from resilience_operator.outside.feed import AddonFeed
from resilience_operator.targets.workloads.mass_restarts import PERCENT


@dataclass(frozen=True, slots=True)
class Settings:
    """The flags of `resilience-operator run`; times in seconds.

    `namespace` is the home of the Lease, the pause switch and the operator itself. `policy_selector` is a
    label selector as kubectl writes it ("": every policy). `eks_cluster`: its name, "" where it is to be found.
    """

    kubeconfig: str = ""
    context: str = ""
    namespace: str = "resilience-system"
    identity: str = ""
    metrics_bind: str = ":8080"
    health_bind: str = ":8081"
    max_rollouts: int = 1
    max_unhealthy_percent: int = 20
    policy_selector: str = ""
    lease_duration: float = 15.0
    request_timeout: float = 10.0
    resync: float = 300.0
    stall_timeout: float = 90.0
    contest_window: float = 600.0
    contest_backoff: float = 600.0
    api_qps: float = 50.0
    api_burst: int = 100
    log_format: str = "text"
    log_level: str = "info"
    eks_cluster: str = ""
    eks_poll: float = 60.0
    allow_unguarded: bool = False
    max_restarting_percent: int = PERCENT


def not_asked() -> str:
    """Nobody asks whether our user is guarded: no reason against enforcing."""
    return ""


@dataclass(frozen=True, slots=True)
class Services:
    """Everything outside that a pass reads, asks or writes through.

    `now`: UTC time of day. `monotonic`: seconds. `paused`: the global stop; True also while it cannot be
    known. `fresh`: names of the streams that are stale or not read yet, empty where all is known.
    `server_version`: (major, minor) of the API server. `addons`: what asks AWS, None where nothing may. `unguarded`:
    why nothing may be enforced, "" where the API server is proved to guard our user, or need not.
    """

    settings: Settings
    store: Store
    writer: Writer
    recorder: Recorder
    status: StatusWriter
    metrics: Metrics
    lease: Lease
    paused: Callable[[], bool]
    fresh: Callable[[], tuple[str, ...]]
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    server_version: tuple[int, int]
    addons: AddonFeed | None = None
    unguarded: Callable[[], str] = not_asked
    guarded: Callable[[], frozenset[str]] = frozenset
    """Kinds over which the guard is proved, while it may not be as a whole."""
    unread: Callable[[], bool] = lambda: False
    """True while the global stop is not known, which counts as a stop."""

    def paused_by(self) -> str:
        """By what everything is paused, as a sentence; "" where it is not."""
        if not self.paused():
            return ""
        switch = f"ConfigMap {self.settings.namespace}/{PAUSE_SWITCH}"
        return f"{switch} cannot be read" if self.unread() else f"paused by {switch} (pause: true)"
