"""Rule `coredns-floor`: cluster DNS never below a safe number of replicas (incident dns-scale-down).

Called by rules.evaluate for cluster DNS itself, for what scales it, and for the Deployment of a CPA that does: its
`--default-params` make the ConfigMap anew, and without the floor in them it would come back without.
"""

from resilience_operator.core.findings import EMPTY, Demand, Finding, Verdict
from resilience_operator.core.policy import Floor
from resilience_operator.observed.autoscalers import autoscaler_of
from resilience_operator.observed.leaves import REPLICAS, argv_path
from resilience_operator.observed.view import DeploymentView, ScalerView, View
from resilience_operator.rules import cpa
from resilience_operator.rules.dns import managed_by
from resilience_operator.rules.eligibility import held_at, reported, settle
from resilience_operator.rules.floors import Least, of_deployment, of_scaler, owners_number
from resilience_operator.rules.scaling import By, who_scales
from resilience_operator.rules.texts import COREDNS_FLOOR

FIXED = "Fixed"


def check(settings: Floor, view: View) -> Verdict:
    """Findings and demands on cluster DNS, or on what scales it."""
    if isinstance(view, ScalerView):
        return of_scaler(_least(settings, view.scaled), view)
    if view.scaled is not None:
        return _of_autoscaler(settings, view, view.scaled)
    return _twins(view) + _too_few_ready(settings, view) + _of_dns(settings, view)


def _least(settings: Floor, dns: DeploymentView | None) -> Least:
    managed = managed_by(dns) if dns is not None else ""
    return Least(COREDNS_FLOOR, settings.min_replicas, settings.prevent_single_point_failure, managed)


def _of_dns(settings: Floor, view: DeploymentView) -> Verdict:
    least, scaling = _least(settings, view), who_scales(view)
    if settings.scaling != FIXED or scaling.by is not By.CPA or view.deployment.replicas == 0:
        return of_deployment(least, view)
    observed, wanted = view.deployment.replicas, max(owners_number(REPLICAS, view), settings.min_replicas)
    stopped = all(one.replicas == 0 and one.status.replicas == 0 for one in view.autoscalers)
    demand = Demand(COREDNS_FLOOR, REPLICAS, wanted, take=True)
    if observed == wanted:
        return reported(Verdict(demands=(demand,) if stopped else ()), view, least.managed)
    message = f"{observed} replicas; the policy pins {wanted} (scaling: Fixed)"
    message += "" if stopped else f"; waits until {scaling.who} is stopped"
    finding = Finding(COREDNS_FLOOR, "NotPinned", view.ref, message, observed, wanted, REPLICAS)
    return reported(Verdict((finding,), (demand,) if stopped else ()), view, least.managed)


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


def _of_autoscaler(settings: Floor, view: DeploymentView, dns: DeploymentView) -> Verdict:
    """The Deployment of a CPA: its default parameters, and whether it is to stand still."""
    # One that stands still makes no ConfigMap; a contested argument must not keep it from being stopped.
    verdict = _stopped(view) if settings.scaling == FIXED else _default_params(settings, view)
    return settle(verdict, view, managed_by(dns))


def _stopped(view: DeploymentView) -> Verdict:
    demand, observed = Demand(COREDNS_FLOOR, REPLICAS, 0, take=True), view.deployment.replicas
    if observed == 0:
        return Verdict(demands=(demand,))
    message = f"{observed} replica scales cluster DNS; the policy stops it (scaling: Fixed)"
    finding = Finding(COREDNS_FLOOR, "AutoscalerRuns", view.ref, message, observed, 0, REPLICAS)
    return Verdict((finding,), (demand,))


def _default_params(settings: Floor, view: DeploymentView) -> Verdict:
    described = autoscaler_of(view.deployment)
    containers = view.deployment.spec.template.spec.containers
    found = next((one for one in containers if described and one.name == described.container), None)
    if described is None or found is None or not described.default_params:
        return EMPTY
    floor = cpa.Floor(settings.min_replicas, settings.prevent_single_point_failure)
    for field, present in (("command", found.command), ("args", found.args)):
        path = argv_path(found.name, field)
        held = held_at(path, view)
        ours = held is not None and present is not None and list(present) == held.set
        before = (
            tuple(held.was) if ours and held is not None and isinstance(held.was, list) else present or ()
        )
        wanted = list(cpa.raised_argv(before, floor) or before)
        if wanted == list(present or ()):
            if ours:
                return Verdict(demands=(Demand(COREDNS_FLOOR, path, wanted),))
            continue
        message = (
            f"--default-params of container {found.name} lack the floor of {settings.min_replicas} replicas:"
            " a ConfigMap made of them lets cluster DNS go below it"
        )
        finding = Finding(COREDNS_FLOOR, "DefaultParamsBelowFloor", view.ref, message, path=path)
        return Verdict((finding,), (Demand(COREDNS_FLOOR, path, wanted),))
    return EMPTY
