"""Rule `coredns-floor`: cluster DNS never below a safe number of replicas (incident dns-scale-down).

Called by rules.evaluate for cluster DNS itself, for what scales it, and for the Deployment of a CPA that does: of its
`--default-params`, which make the ConfigMap anew, it is reported where they lack the floor.
"""

from resilience_operator.cluster.leaves import argv_path
from resilience_operator.core.findings import EMPTY, Finding, Verdict
from resilience_operator.core.paths import Path
from resilience_operator.targets.coredns.kept_by import managed_by
from resilience_operator.targets.coredns.scale_down import scale_of
from resilience_operator.targets.coredns.settings import Floor
from resilience_operator.targets.coredns.texts import COREDNS_FLOOR
from resilience_operator.targets.workloads import cpa
from resilience_operator.targets.workloads.autoscalers import autoscaler_of
from resilience_operator.targets.workloads.floors import FloorRequest, of_deployment, of_scaler
from resilience_operator.targets.workloads.scaling import By, who_scales
from resilience_operator.targets.workloads.view import DeploymentView, ScalerView, View


def check(settings: Floor, view: View) -> Verdict:
    """Findings and demands on cluster DNS, or on what scales it."""
    if isinstance(view, ScalerView):
        return of_scaler(_request(settings, view.scaled), view)
    if view.scaled is not None:
        return _default_params(settings, view, view.scaled)
    verdict = _twins(view) + _too_few_ready(settings, view) + of_deployment(_request(settings, view), view)
    return verdict + Verdict(scale=scale_of(view))


def _request(settings: Floor, dns: DeploymentView | None) -> FloorRequest:
    managed = managed_by(dns) if dns is not None else ""
    return FloorRequest(
        COREDNS_FLOOR, settings.min_replicas, settings.prevent_single_point_failure, True, managed
    )


def _twins(view: DeploymentView) -> Verdict:
    if not view.twins:
        return EMPTY
    message = f"the Service of cluster DNS selects {', '.join(view.twins)} as well: which of them serves is not known"
    why = "name the one that is meant in coreDNS.deployment"
    return Verdict((Finding(COREDNS_FLOOR, "SeveralCandidates", view.ref, message, report_only=why),))


def _too_few_ready(settings: Floor, view: DeploymentView) -> Verdict:
    ready, replicas = view.deployment.status.ready_replicas, view.deployment.replicas
    if not view.known.pods or ready >= settings.min_replicas or replicas < settings.min_replicas:
        return EMPTY
    message = f"{ready} of {replicas} replicas are ready; the floor is {settings.min_replicas}"
    why = "what keeps them from being ready is no field of the Deployment"
    return Verdict((Finding(COREDNS_FLOOR, "TooFewReady", view.ref, message, report_only=why),))


def _default_params(settings: Floor, view: DeploymentView, dns: DeploymentView) -> Verdict:
    """Whether a ConfigMap that the CPA makes anew would lack the floor; it gets the floor as soon as it is there.

    Nothing where cluster DNS has other scalers, for which of them is to go is for people to say, nor where it stands
    still, for then it makes no ConfigMap.
    """
    described = autoscaler_of(view.deployment)
    if described is None or not described.default_params or not view.deployment.replicas:
        return EMPTY
    floor = cpa.Floor(settings.min_replicas, settings.prevent_single_point_failure)
    reading = cpa.read_default_params(described.default_params)
    if who_scales(dns).by is not By.CPA or not (reading.problem or cpa.lacks(reading, floor)):
        return EMPTY
    reason, message = (
        "UnreadableParameters",
        f"--default-params of container {described.container}: {reading.problem}",
    )
    if not reading.problem:
        reason = "DefaultParamsBelowFloor"
        message = (
            f"--default-params of container {described.container} lack the floor of {floor.min_replicas} replicas: a"
            " ConfigMap made of them lets cluster DNS go below it"
        )
    why, path = "the arguments of a program are its owner's", _place_of_arguments(view, described.container)
    return Verdict((Finding(COREDNS_FLOOR, reason, view.ref, message, path=path, report_only=why),))


def _place_of_arguments(view: DeploymentView, container: str) -> Path:
    containers = view.deployment.spec.template.spec.containers
    commanded = any(one.name == container and one.command for one in containers)
    return argv_path(container, "command" if commanded else "args")
