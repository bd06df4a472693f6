"""Services of files, with the workloads of the same input that a selector may be meant for. Used by cli/files.

Every object with a pod template counts, whatever its kind; of a custom resource without one nobody knows.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from resilience_operator.cluster.objects.workloads import Deployment, Namespace, Service
from resilience_operator.targets.services.labels import Gathered, gather
from resilience_operator.targets.services.view import Labelled, ServiceView

_TEMPLATES = (("spec", "template"), ("spec", "jobTemplate", "spec", "template"))
"""Where kinds of Kubernetes, and most others, have the template of their pods."""
_KUBERNETES = ".k8s.io"


@dataclass(frozen=True, slots=True)
class Maker:
    """An object of a file, no Deployment that is judged, that makes pods, or may."""

    namespace: str
    """Its Namespace."""
    what: str
    """Its kind and name."""
    labels: Mapping[str, str] | None = None
    """The labels of its pods; None where it is not known whether it makes any."""


def maker_of(value: Mapping[str, Any], group: str, kind: str, namespace: str, name: str) -> Maker | None:
    """What an object of a file says of pods; None where it makes none."""
    what = f"{kind} {name}"
    if (group, kind) == ("", "Pod"):
        return Maker(namespace, what, _texts(_at(value, ("metadata", "labels"))) or {})
    for template in _TEMPLATES:
        labels = _texts(_at(value, (*template, "metadata", "labels")))
        if labels is not None:
            return Maker(namespace, what, labels)
    return Maker(namespace, what) if is_custom(group) else None


def is_custom(group: str) -> bool:
    """True of the API group of custom resources, of which nobody knows which pods they make."""
    return "." in group and not group.endswith(_KUBERNETES)


def _at(value: Any, steps: Iterable[str]) -> Any:
    for step in steps:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _texts(labels: Any) -> dict[str, str] | None:
    return {str(key): str(text) for key, text in labels.items()} if isinstance(labels, dict) else None


class ServicesOfFiles:
    """Makes the views of Services; `deployments` gives those of a Namespace, each in all its variants.

    `complete`: the files are all there is.
    """

    def __init__(
        self,
        deployments: Callable[[str], Iterable[Deployment]],
        makers: Iterable[Maker] = (),
        *,
        complete: bool = False,
    ) -> None:
        self._deployments = deployments
        self._complete = complete
        self._makers: dict[str, list[Maker]] = {}
        for one in makers:
            self._makers.setdefault(one.namespace, []).append(one)
        self._gathered: dict[str, Gathered] = {}

    def view(
        self, found: Service, now: datetime, around: Namespace | None, meant: Callable[[Deployment], bool]
    ) -> ServiceView:
        """A Service with the workloads that it selects, and those that it may be meant for.

        `meant`: whether a variant of a Deployment is the one that will live beside the Service.
        """
        namespace = found.metadata.namespace
        gathered = self._gathered.get(namespace)
        if gathered is None:
            gathered = self._gathered[namespace] = gather((), self._deployments(namespace))
        makers = self._makers.get(namespace, ())
        known = [Labelled(one.what, one.labels) for one in makers if one.labels is not None]
        selector = found.spec.selector.items()
        return ServiceView(
            service=found,
            now=now,
            namespace=around,
            deployments=tuple(filter(meant, gathered.deployments(found))),
            workloads=tuple(one.what for one in known if selector <= one.labels.items()),
            nearby=(*gathered.nearby, *known),
            doubtful=tuple(one.what for one in makers if one.labels is None),
            in_files=True,
            complete=self._complete,
        )
