"""Who scales a Deployment: found in what is observed, never configured. Used by workloads/floors and workloads/sizes.

One answer for all rules: nobody, one of the scalers that are known, somebody whose way is not known, or several.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from resilience_operator.cluster.leaves import REPLICAS
from resilience_operator.cluster.objects.workloads import (
    Claim,
    ConfigMap,
    Deployment,
    HorizontalPodAutoscaler,
    ScaledObject,
    Scaler,
)
from resilience_operator.targets.coredns.addon_state import managed
from resilience_operator.targets.workloads.autoscalers import BINARY, autoscaler_of, stands_still
from resilience_operator.targets.workloads.view import DeploymentView

KEDA_LABEL = "scaledobject.keda.sh/name"
AUTOSCALERS = ("scaler", "keda", "rollouts")
"""Parts of the names of managers that scale on and on: the cluster-proportional-autoscaler, the Vertical Pod
Autoscaler, kube-downscaler and their like, keda-operator, rollouts-controller.
"""
UPDATERS = ("rollouts-controller", "downscaler")
"""Of those, the parts that write the whole object and not its subresource scale: Argo Rollouts with a workloadRef
(rollout/scale_utils.go) and GoKubeDownscaler (internal/pkg/scalable/deployments.go) call Deployments().Update.
"""


class By(StrEnum):
    """What kind of scaler it is."""

    NOBODY = "Nobody"
    HPA = "HorizontalPodAutoscaler"
    KEDA = "ScaledObject"
    CPA = "cluster-proportional-autoscaler"
    EKS = "EKS add-on"
    OTHER = "Other"
    SEVERAL = "Several"


@dataclass(frozen=True, slots=True)
class Scaling:
    """`who` it is, for a person; `target`: the object through which it is told a floor, None where none is read."""

    by: By
    who: str = "nobody"
    target: Scaler | None = None
    still: bool = False
    """It is a CPA that its owner keeps at 0 replicas: it would scale, and does not."""


def who_scales(view: DeploymentView) -> Scaling:
    """Who decides how many replicas this Deployment has."""
    found = [*_scalers(view), *_autoscalers(view, still=False)] or [*_autoscalers(view, still=True)]
    if len(found) > 1:
        return Scaling(By.SEVERAL, " and ".join(one.who for one in found))
    if found:
        return found[0]
    return next(_others(view), Scaling(By.NOBODY))


def _scalers(view: DeploymentView) -> Iterator[Scaling]:
    """HPAs and ScaledObjects; the HPA that KEDA makes for a ScaledObject is not the one to edit."""
    for one in view.scalers:
        if isinstance(one, ScaledObject):
            yield Scaling(By.KEDA, f"ScaledObject {one.metadata.name}", one)
        elif not (keda := made_by_keda(one)):
            yield Scaling(By.HPA, f"HorizontalPodAutoscaler {one.metadata.name}", one)
        elif not any(isinstance(each, ScaledObject) for each in view.scalers):
            yield Scaling(By.KEDA, f"ScaledObject {keda}")


def made_by_keda(hpa: HorizontalPodAutoscaler) -> str:
    """The name of the ScaledObject for which KEDA made this HPA; "" where it did not."""
    owner = hpa.metadata.controller
    named = owner.name if owner is not None and owner.kind == "ScaledObject" else ""
    return named or hpa.metadata.labels.get(KEDA_LABEL, "")


def _autoscalers(view: DeploymentView, *, still: bool) -> Iterator[Scaling]:
    for deployment in view.autoscalers:
        if stands_still(deployment) is still:
            who = f"{BINARY} {deployment.metadata.name}"
            yield Scaling(By.CPA, who, parameters_of(view, deployment), still)


def parameters_of(view: DeploymentView, autoscaler: Deployment) -> ConfigMap | None:
    """What that CPA of the view goes by, where it was read."""
    described = autoscaler_of(autoscaler)
    if described is None:
        return None
    place = (described.namespace, described.config_map)
    known = {(each.metadata.namespace, each.metadata.name): each for each in view.config_maps}
    return known.get(place)


def _others(view: DeploymentView) -> Iterator[Scaling]:
    """Whoever else: a controller, a Rollout, the EKS add-on, or an autoscaler by its name that wrote the number.

    Any other manager of subresource scale is a person with kubectl scale, k9s, Rancher or Lens: scaled once, for good.
    Who writes the number again and again under another name is found by the contest (engine/contest).
    """
    owner = view.deployment.metadata.controller
    if owner is not None:
        yield Scaling(By.OTHER, f"{owner.kind} {owner.name}")
    for name in view.rollouts:
        yield Scaling(By.OTHER, f"Rollout {name}")
    if managed(view.deployment):
        known = view.addon if view.addon is not None and not view.addon.reading.problem else None
        yield Scaling(By.EKS, "the EKS add-on", known)
    for claim in view.deployment.claims:
        if str(REPLICAS) in claim.leaves and _autoscales(claim):
            yield Scaling(By.OTHER, f"{claim.manager}, which was not found")


def _autoscales(claim: Claim) -> bool:
    """True where it is by its name an autoscaler, and wrote the way that it scales: who installs one writes as well."""
    updated = not claim.subresource and claim.operation == "Update"
    parts = AUTOSCALERS if claim.subresource == "scale" else UPDATERS if updated else ()
    return any(part in claim.manager.lower() for part in parts)
