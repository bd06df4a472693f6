"""What is kept of any object's metadata: reduced, and shared where many objects have the same.

Used by the kinds that the targets declare: ten thousand Deployments have to fit into a small operator.
"""

from typing import Final

from resilience_operator.cluster import wire as wires
from resilience_operator.cluster.argocd import INSTALLATION, SYNC_OPTIONS, TRACKING
from resilience_operator.cluster.interning import share, share_text, shared_labels
from resilience_operator.cluster.last_applied import LAST_APPLIED, chosen
from resilience_operator.cluster.managed_fields import claims
from resilience_operator.cluster.objects import meta as observed
from resilience_operator.cluster.objects.meta import REVISION
from resilience_operator.core.state import ADDON_ANNOTATION, ANNOTATION, MAX_ADDON_TEXT, MAX_TEXT

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
_STATES = {ANNOTATION: MAX_TEXT, ADDON_ANNOTATION: MAX_ADDON_TEXT}
"""Annotation -> the longest that is believed: of a longer one it is enough to know that it is."""


def _annotations(found: dict[str, str]) -> dict[str, str]:
    kept = {key: text for key, text in found.items() if key in KEPT_ANNOTATIONS or key[:15] == _OUR_PREFIX}
    for key in kept.keys() & _STATES.keys():
        kept[key] = kept[key][: _STATES[key] + 1]
    # most have the revision alone; a state annotation is never like another
    return shared_labels(kept) if len(kept) < 2 and not kept.keys() & _STATES.keys() else kept


def meta(wire: wires.Meta) -> observed.Meta:
    """The metadata that rules and planning read."""
    return observed.Meta(
        wire.name,
        share_text(wire.namespace),
        wire.uid,
        wire.resource_version,
        wire.generation,
        share(wire.creation_timestamp),
        wire.deletion_timestamp,
        shared_labels(wire.labels),
        _annotations(wire.annotations),
        share(wire.owner_references),
        bool(wire.annotations),
    )


def ownership(found: wires.OwnedMeta) -> tuple[tuple[observed.Claim, ...], frozenset[str]]:
    """(who owns which of our leaves, which of them somebody chose), in place of managedFields and last-applied."""
    owners = claims(found.managed_fields)
    return owners, chosen(found.annotations.get(LAST_APPLIED), owners)
