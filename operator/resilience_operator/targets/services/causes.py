"""Why a Service has no ready endpoint, as a reason and a sentence. Pure; asked by the rule once it is certain.

What belongs to it is nobody's mistake: a Job that is done, a Deployment that KEDA lets sleep.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from resilience_operator.cluster.managed_fields import REPLICAS
from resilience_operator.cluster.objects.workloads import Deployment, Pod, ServicePort
from resilience_operator.targets.services.endpoints import is_empty, is_headless, missing_ports
from resilience_operator.targets.services.nearness import nearest
from resilience_operator.targets.services.pods import is_done, reasons, shortened
from resilience_operator.targets.services.texts import (
    FOREIGN_ENDPOINT_SLICES,
    NONE_READY,
    NOT_PUBLISHED,
    PORT_MISSING,
    SCALED_TO_ZERO,
    SELECTS_NOTHING,
)
from resilience_operator.targets.services.view import ServiceView
from resilience_operator.targets.workloads.endpoint_slices import OF_KUBERNETES

JOB_LABELS = frozenset(
    {"batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "controller-uid", "job-name"}
)
"""Labels that the Job controller gives to its pods."""
NAMED = 3
"""Names that are told one by one."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a Service leads nowhere."""

    reason: str
    """The reason of the finding."""
    message: str
    """The same in words."""


def cause_of(view: ServiceView) -> Cause | None:
    """Why the Service, or a port of it, has no ready endpoint; None where that is as it should be."""
    if not is_empty(view.slices):
        return _port_missing(view, missing_ports(view.service, view.slices))
    running = [pod for pod in view.pods if not is_done(pod)]
    if not running and is_headless(view.service) and _of_a_job(view):
        return None
    live = [pod for pod in running if pod.metadata.deletion_timestamp is None]
    ready = [pod for pod in live if pod.ready]
    if ready:
        return _not_published(view, len(ready))
    if live:
        return Cause(NONE_READY, _none_ready(live, view))
    if view.deployments and all(not one.replicas for one in view.deployments):
        return _scaled_to_zero(view)
    if view.deployments:
        return Cause(NONE_READY, _no_pods(view.deployments))
    if view.pods:
        return Cause(NONE_READY, _none_ready(view.pods, view))
    return _selects_nothing(view)


def _of_a_job(view: ServiceView) -> bool:
    """True where its pods were those of a Job, also of one that has been cleaned away."""
    owners = [pod.metadata.controller for pod in view.pods]
    if owners:
        return all(one is not None and one.kind == "Job" for one in owners)
    return not view.deployments and bool(view.service.spec.selector.keys() & JOB_LABELS)


def _none_ready(pods: Iterable[Pod], view: ServiceView) -> str:
    found = tuple(pods)
    head = (
        "the pod that it selects is not ready"
        if len(found) == 1
        else f"none of its {len(found)} pods is ready"
    )
    return f"{head}: {reasons(found, view.lost_nodes, view.now)}"


def _no_pods(deployments: tuple[Deployment, ...]) -> str:
    """Replicas are wanted, and there is no pod: what keeps them from being made."""
    found = next(one for one in deployments if one.replicas)
    failure = found.status.condition("ReplicaFailure")
    why = shortened(failure.message) if failure is not None and failure.status == "True" else ""
    why = why or ("it is paused" if found.spec.paused else "its controller has made none")
    return f"Deployment {found.metadata.name} has no pod: {why}"


def _scaled_to_zero(view: ServiceView) -> Cause | None:
    if any(one.metadata.name in view.idle for one in view.deployments):
        return None
    names = sorted(one.metadata.name for one in view.deployments)
    head = f"Deployment {names[0]} has" if len(names) == 1 else f"Deployments {listed(names)} have"
    return Cause(SCALED_TO_ZERO, f"{head} 0 replicas, {_by_whom(view)}")


def _by_whom(view: ServiceView) -> str:
    """Who set the number, and when.

    Of a 0 that came through the subresource scale nobody is the owner: a Scale leaves a 0 out (autoscaling/v1,
    omitempty), and with it the API server drops whoever owned the number. When it came, the EndpointSlices tell.
    """
    claims = [claim for one in view.deployments for claim in one.claims if REPLICAS in claim.leaves]
    last = max(claims, key=lambda claim: claim.time, default=None)
    if last is not None:
        return f"set by {shortened(last.manager)}{f' at {last.time}' if last.time else ''}"
    at = view.changed_at
    since = f"; no pod since {at:%Y-%m-%dT%H:%M:%SZ}" if at is not None else ""
    return f"set through the subresource scale, as by kubectl scale, which leaves no name{since}"


def _selects_nothing(view: ServiceView) -> Cause:
    selector = view.service.spec.selector
    near = nearest(selector, view.nearby)
    said = f"no pod has the labels of its selector {in_words(selector)}"
    return Cause(SELECTS_NOTHING, f"{said}; {near}" if near else said)


def _not_published(view: ServiceView, ready: int) -> Cause:
    pods = "1 pod that it selects is ready" if ready == 1 else f"{ready} pods that it selects are ready"
    foreign = sorted({one.keeper or "somebody" for one in view.slices if one.keeper != OF_KUBERNETES})
    if foreign:
        return Cause(
            FOREIGN_ENDPOINT_SLICES,
            f"{pods}, but its EndpointSlices are kept by {listed(foreign)} and hold no ready endpoint",
        )
    return Cause(
        NOT_PUBLISHED, f"{pods}, but no EndpointSlice holds them: kube-controller-manager has not written it"
    )


def _port_missing(view: ServiceView, ports: tuple[ServicePort, ...]) -> Cause:
    names = listed(sorted({str(port.target_port) for port in ports}))
    every = listed(sorted(str(port.port) for port in ports))
    declared = declared_ports(view.deployments)
    they = f" (they declare {listed(declared)})" if declared else ""
    return Cause(
        PORT_MISSING,
        f"port {every} leads nowhere: no container of the pods that it selects declares a port {names}{they}",
    )


def declared_ports(deployments: Iterable[Deployment]) -> list[str]:
    """The names of ports that the containers of these declare, with sidecars: what a targetPort may name."""
    pods = [one.spec.template.spec for one in deployments]
    sidecars = [one for pod in pods for one in pod.init_containers if one.restart_policy == "Always"]
    containers = [one for pod in pods for one in pod.containers]
    return sorted({port.name for one in (*containers, *sidecars) for port in one.ports if port.name})


def in_words(selector: Mapping[str, str]) -> str:
    """A selector as kubectl writes it."""
    return shortened(",".join(f"{key}={text}" for key, text in sorted(selector.items())))


def listed(names: list[str]) -> str:
    """Some names, the first of them one by one."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return shortened(", ".join(names[:NAMED])) + more
