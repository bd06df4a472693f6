"""One webhook configuration with all that a decision about it may look at. Made by webhooks/views; fits engine/view."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property

from resilience_operator.cluster.argocd import Application
from resilience_operator.cluster.objects.meta import Meta
from resilience_operator.cluster.objects.neighbours import Namespace, Service
from resilience_operator.core.paths import JSON, Path
from resilience_operator.core.refs import ObjectRef
from resilience_operator.core.state import Held, ObjectState
from resilience_operator.core.target import FailingCall
from resilience_operator.engine.rollout import NO_ROLLOUT, OurRollout, Scaling
from resilience_operator.targets.webhooks.objects import ServiceReference, Webhook, WebhookConfiguration
from resilience_operator.targets.webhooks.reach import Labels, reach
from resilience_operator.targets.webhooks.requests import Request


@dataclass(frozen=True, slots=True)
class Backend:
    """What is known of the Service that a webhook is called through."""

    ready: int | None = None
    """How many of its endpoints are ready; None where that cannot be told."""
    why: str = ""
    """Why it cannot be told, as a clause."""
    down_since: datetime | None = None
    """Since when none has been seen ready; None where one is, or nobody can tell."""
    ready_since: datetime | None = None
    """Since when one has been seen ready; None where none is."""
    refused_until: datetime | None = None
    """Until when refusals say that it cannot be called, whatever its endpoints say; None where none says so."""

    @property
    def down(self) -> bool:
        """True where it is known that nobody answers."""
        return self.ready == 0 or self.refused_until is not None


UNKNOWN = Backend(why="its endpoints are not known")
AT_A_URL = Backend(why="it is called at a URL")
FRESH = timedelta(seconds=30)
"""So long after a failed call it counts as failing: a Lease is renewed more often than that."""


def of_service(found: Service | None) -> Backend | None:
    """The backend behind a Service of which no EndpointSlice tells; None of an ordinary one."""
    alias = found is not None and found.spec.type == "ExternalName"
    return Backend(why="its Service is an ExternalName") if alias else None


@dataclass(frozen=True, slots=True)
class Called:
    """A webhook that a request is sent to."""

    configuration: str
    webhook: Webhook
    mutating: bool


class Chain:
    """All webhooks of the cluster, and which of them a request is sent to; asked again and again, so remembered."""

    def __init__(self, configurations: tuple[WebhookConfiguration, ...], namespaces: Labels) -> None:
        self._configurations = configurations
        self.namespaces = namespaces
        self._called: dict[Request, tuple[Called, ...]] = {}
        names = Counter(webhook.name for one in configurations for webhook in one.webhooks)
        self.shared = frozenset(name for name, count in names.items() if count > 1)
        """Names that several webhooks bear: what is said of one by its name may be of another."""

    def of(self, request: Request) -> tuple[Called, ...]:
        """The webhooks that the request is sent to for certain, in the order in which they are called."""
        if request not in self._called:
            ordered = sorted(self._configurations, key=lambda one: (not one.mutating, one.metadata.name))
            self._called[request] = tuple(
                Called(one.metadata.name, webhook, one.mutating)
                for one in ordered
                for webhook in one.webhooks
                if reach(webhook, request, self.namespaces).sent
            )
        return self._called[request]


@dataclass(frozen=True)
class WebhookView:
    """A webhook configuration, the backends of its webhooks, and all other webhooks."""

    configuration: WebhookConfiguration
    now: datetime
    chain: Chain
    backends: Mapping[ServiceReference, Backend] = field(default_factory=dict)
    failing: Mapping[str, FailingCall] = field(default_factory=dict)
    """Name of a webhook -> that the API server cannot call it; only of names that one webhook alone has."""
    state: ObjectState = ObjectState()
    distrust: str = ""

    namespace: Namespace | None = None
    application: Application | None = None
    workload: None = None
    busy: str = ""
    recorded_elsewhere: bool = False
    own_objects: tuple[ObjectRef, ...] = ()

    in_files: bool = False
    """True where only manifests are known."""
    unread: tuple[ServiceReference, ...] = ()
    """In files: Services that it calls, and that the input does not hold."""

    @property
    def target(self) -> WebhookConfiguration:
        """The object that rules demand something of."""
        return self.configuration

    @cached_property
    def ref(self) -> ObjectRef:
        """The target as a reference."""
        return self.configuration.ref

    @property
    def opt_out_objects(self) -> tuple[Meta, ...]:
        """The metadata of all objects whose opt-outs count: its own alone, for it lies in no Namespace."""
        return (self.configuration.metadata,)

    def rollout(self, soak_seconds: int, deadline_seconds: int) -> OurRollout:
        """None: nothing restarts."""
        return NO_ROLLOUT

    def scaling(self, written: Mapping[Path, JSON]) -> Scaling:
        """No pods."""
        return Scaling.NONE

    def held(self, path: str) -> Held | None:
        """What we hold at that written path, or None."""
        return self.state.leaves.get(path)

    def kept(self, path: Path) -> bool:
        """Never: what we set here has no other keeper than managedFields name."""
        return False

    def needed(self, released: Mapping[str, Held]) -> frozenset[str]:
        """None: the leaves stand by themselves."""
        return frozenset()

    def backend(self, webhook: Webhook) -> Backend:
        """What is known of the webhook's backend: by its endpoints, and by refusals of our own writes."""
        service, call = webhook.client_config.service, self.failing.get(webhook.name)
        known = self.backends.get(service, UNKNOWN) if service is not None else AT_A_URL
        if call is None or self.now >= call.last + FRESH:
            return known
        began = call.since
        if self.state.applies:  # What was refused before our last write here says nothing of after it.
            wrote = self.state.applies[-1].at
            if call.last <= wrote:
                return known
            began = max(began, wrote)
        since = min(known.down_since or began, began)
        return replace(known, down_since=since, refused_until=call.last + FRESH)
