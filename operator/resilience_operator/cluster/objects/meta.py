"""What observed structs have in common: their base, metadata, conditions and selectors.

Part of cluster/objects/workloads, which names everything that others import.
"""

from datetime import datetime

import msgspec

from resilience_operator.core.numbers import whole_number

REVISION = "deployment.kubernetes.io/revision"
"""Annotation of a Deployment and of its ReplicaSets, by the Deployment controller."""


class Observed(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Base of all observed structs: immutable, camelCase on the wire."""


class OwnerReference(Observed, frozen=True):
    """metav1.OwnerReference."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    controller: bool = False


class Claim(Observed, frozen=True):
    """What one managedFields entry says about the leaves we publish.

    `leaves`: written paths (core.paths) that this manager owns; `state`: it owns our state annotation, `addon_state`:
    the one about the EKS add-on.
    """

    manager: str
    operation: str
    subresource: str = ""
    time: str = ""
    leaves: frozenset[str] = frozenset()
    state: bool = False
    addon_state: bool = False
    template: bool = False
    """It owns something of the pod template."""


class Meta(Observed, frozen=True):
    """ObjectMeta, reduced; `annotations` holds only keys of interest (cluster/decode)."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    annotated: bool = False
    """True where it has annotations at all, of interest or not."""

    @property
    def controller(self) -> OwnerReference | None:
        """The owner that controls this object, if there is one."""
        return next((owner for owner in self.owner_references if owner.controller), None)

    @property
    def revision(self) -> int:
        """The revision that a Deployment is at, or that a ReplicaSet bears; 0 where it has none yet."""
        return whole_number(self.annotations.get(REVISION, "")) or 0


class MatchExpression(Observed, frozen=True):
    """metav1.LabelSelectorRequirement."""

    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class Selector(Observed, frozen=True):
    """metav1.LabelSelector as observed."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[MatchExpression, ...] = ()


class Condition(Observed, frozen=True):
    """A condition of a Deployment, Pod or Node."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_update_time: datetime | None = None
    last_transition_time: datetime | None = None
