"""What identifies an object of the cluster. Used by every layer, in findings, plans, Events and status."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """An object by API version, kind, namespace ("" where cluster-scoped) and name.

    `uid` tells an object from a later one of the same name; "" where it is not known (files).
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str = ""

    def __str__(self) -> str:
        """`namespace/name`, or the name alone of a cluster-scoped object."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def key(self) -> tuple[str, str, str]:
        """(kind, namespace, name): where the object lies, whoever lies there."""
        return (self.kind, self.namespace, self.name)

    def as_status(self) -> dict[str, str]:
        """The form of the CRD's `object` field."""
        ref = {"apiVersion": self.api_version, "kind": self.kind, "name": self.name}
        return ref | ({"namespace": self.namespace} if self.namespace else {})


Key = tuple[str, ...]
"""(namespace, name) of a Deployment; (namespace, name, kind) of any other object that is decided about."""


def key_of(ref: ObjectRef) -> Key:
    """The key of an object that is decided about: by namespace and name first, as people look for it."""
    place = (ref.namespace, ref.name)
    return place if ref.kind == "Deployment" else (*place, ref.kind)
