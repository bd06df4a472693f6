"""What is kept of an object of each kind: how what lies on the wire (adapters/wire) becomes an observed struct.

Used by adapters/projections alone. An object is decoded straight into structs; metadata is reduced, what no
rule reads is dropped, and what many objects have in common is shared: ten thousand Deployments have to fit into
a small operator.
"""

from sys import intern
from typing import Final

from msgspec.structs import force_setattr

from resilience_operator.adapters import dns_settings
from resilience_operator.adapters import wire as wires
from resilience_operator.adapters.chosen import LAST_APPLIED, chosen
from resilience_operator.adapters.ownership import budget_claims, claims
from resilience_operator.adapters.sharing import interned, share, shared_labels
from resilience_operator.core.state import ADDON_ANNOTATION, ANNOTATION
from resilience_operator.observed import objects as observed
from resilience_operator.observed.applications import INSTALLATION, SYNC_OPTIONS, TRACKING
from resilience_operator.observed.autoscalers import looks_like, may_be_parameters
from resilience_operator.observed.budgets import is_made_by_us
from resilience_operator.observed.dns import DNS_SERVICE, is_cache

REVISION = "deployment.kubernetes.io/revision"
KEPT_ANNOTATIONS: Final = frozenset(
    {
        REVISION,
        TRACKING,
        SYNC_OPTIONS,
        INSTALLATION,
        "meta.helm.sh/release-name",
        "meta.helm.sh/release-namespace",
        "autoscaling.keda.sh/paused",
        "autoscaling.keda.sh/paused-replicas",
    }
)
"""Kept beside every `resilience.dev/*`."""

_OUR_PREFIX = "resilience.dev/"
_AWS = "aws:///"
_POD_TEMPLATE_HASH = "pod-template-hash"
_STATES = frozenset({ANNOTATION, ADDON_ANNOTATION})
_REVISION_AND_STATE = frozenset({REVISION, ANNOTATION})


def _annotations(found: dict[str, str]) -> dict[str, str]:
    kept = {key: text for key, text in found.items() if key in KEPT_ANNOTATIONS or key[:15] == _OUR_PREFIX}
    # most have the revision alone; a state annotation is never like another
    return shared_labels(kept) if len(kept) < 2 and not kept.keys() & _STATES else kept


def _meta(wire: wires.Meta) -> observed.Meta:
    return observed.Meta(
        wire.name,
        intern(wire.namespace),
        wire.uid,
        wire.resource_version,
        wire.generation,
        share(wire.creation_timestamp),
        wire.deletion_timestamp,
        shared_labels(wire.labels),
        _annotations(wire.annotations),
        share(wire.owner_references),
    )


def deployment(wire: wires.WireDeployment) -> observed.Deployment:
    """A Deployment with its claims and what was chosen, in place of managedFields and last-applied."""
    spec, status = wire.spec, wire.status
    for name in ("resources", "os"):
        force_setattr(spec.template.spec, name, share(getattr(spec.template.spec, name)))
    for container in spec.template.spec.containers:
        interned(container, name=container.name, image=container.image)
        force_setattr(container, "resources", share(container.resources))
        if (container.command or container.args) and not looks_like(container.argv):
            force_setattr(container, "command", None)
            force_setattr(container, "args", None)
        for name in ("readiness_probe", "liveness_probe", "startup_probe"):
            if (probe := getattr(container, name)) is not None:
                force_setattr(container, name, share(probe))
    for condition in status.conditions:
        interned(condition, type=condition.type, status=condition.status, reason=condition.reason)
    if spec.selector.match_labels:
        force_setattr(spec.selector, "match_labels", shared_labels(spec.selector.match_labels))
    if spec.template.metadata.labels:
        force_setattr(spec.template.metadata, "labels", shared_labels(spec.template.metadata.labels))
    return observed.Deployment(_meta(wire.metadata), spec, status, *_ownership(wire.metadata))


def replica_set(wire: wires.WireReplicaSet) -> observed.ReplicaSet:
    """A ReplicaSet with its size; of its labels only the hash of its template."""
    meta = wire.metadata
    meta.labels = {key: text for key, text in meta.labels.items() if key == _POD_TEMPLATE_HASH}
    meta.annotations = {key: text for key, text in meta.annotations.items() if key in _REVISION_AND_STATE}
    return observed.ReplicaSet(_meta(meta), share(wire.spec))


def pod(wire: wires.WirePod) -> observed.Pod:
    """A pod with its condition Ready, and with PodScheduled while it is not."""
    status = observed.PodStatus(
        intern(wire.status.phase),
        share(tuple(_alike(found) for found in wire.status.conditions if _matters(found))),
        share(tuple(map(share, wire.status.container_statuses))),
    )
    return observed.Pod(_meta(wire.metadata), share(wire.spec), status)


def _matters(condition: observed.Condition) -> bool:
    return condition.type == "Ready" or (condition.type == "PodScheduled" and condition.status != "True")


def _alike(condition: observed.Condition) -> observed.Condition:
    interned(condition, type=condition.type, status=condition.status)
    interned(condition, reason=condition.reason, message=condition.message)
    return condition


def service(wire: wires.WireService) -> observed.Service:
    """A Service; with its addresses where it is the one of cluster DNS."""
    if (wire.metadata.namespace, wire.metadata.name) != DNS_SERVICE:
        force_setattr(wire.spec, "cluster_ip", "")
        force_setattr(wire.spec, "cluster_ips", ())
    return observed.Service(_meta(wire.metadata), wire.spec)


def namespace(wire: wires.WireNamespace) -> observed.Namespace:
    """A Namespace."""
    return observed.Namespace(_meta(wire.metadata))


def node(wire: wires.WireNode) -> observed.Node:
    """A Node with the condition Ready, without heartbeats, images, addresses, and ids of other clouds than AWS."""
    ready = tuple(_alike(found) for found in wire.status.conditions if found.type == "Ready")
    if not wire.spec.provider_id.startswith(_AWS):
        force_setattr(wire.spec, "provider_id", "")
    return observed.Node(_meta(wire.metadata), wire.spec, observed.NodeStatus(ready))


def volume_claim(wire: wires.WireVolumeClaim) -> observed.PersistentVolumeClaim:
    """A PersistentVolumeClaim."""
    return observed.PersistentVolumeClaim(_meta(wire.metadata), wire.spec)


def hpa(wire: wires.WireHPA) -> observed.HorizontalPodAutoscaler:
    """An HPA with its claims and what was chosen."""
    return observed.HorizontalPodAutoscaler(_meta(wire.metadata), wire.spec, *_ownership(wire.metadata))


def scaled_object(wire: wires.WireScaledObject) -> observed.ScaledObject:
    """A ScaledObject with its claims and what was chosen."""
    return observed.ScaledObject(_meta(wire.metadata), wire.spec, *_ownership(wire.metadata))


def config_map(wire: wires.WireConfigMap) -> observed.ConfigMap:
    """A ConfigMap; of one that can be no autoscaler's the settings that a rule reads, of most none."""
    name, data = wire.metadata.name, wire.data
    whole = may_be_parameters(name, data)
    kept = data if whole else dns_settings.kept(wire.metadata.namespace, name, data)
    return observed.ConfigMap(_meta(wire.metadata), kept, *_ownership(wire.metadata))


def budget(wire: wires.WireBudget) -> observed.PodDisruptionBudget:
    """A PodDisruptionBudget; of one that we made also who set the fields of its spec."""
    found = observed.PodDisruptionBudget(_meta(wire.metadata), wire.spec)
    if not is_made_by_us(found):
        return found
    return observed.PodDisruptionBudget(
        found.metadata, found.spec, budget_claims(wire.metadata.managed_fields)
    )


def daemon_set(wire: wires.WireDaemonSet) -> observed.DaemonSet:
    """A DaemonSet; its template where it is the DNS cache of the nodes."""
    meta, spec = wire.metadata, wire.spec
    if not is_cache(meta.name, meta.labels, spec.template.metadata.labels):
        spec = observed.DaemonSetSpec()
    return observed.DaemonSet(_meta(meta), spec, wire.status)


def application(wire: wires.WireApplication) -> observed.Application:
    """An Application with how it syncs; what it has synced changes with every commit, and is not kept."""
    return observed.Application(_meta(wire.metadata), wire.spec)


def _ownership(meta: wires.OwnedMeta) -> tuple[tuple[observed.Claim, ...], frozenset[str]]:
    owners = claims(meta.managed_fields)
    return owners, chosen(meta.annotations.get(LAST_APPLIED), owners)
