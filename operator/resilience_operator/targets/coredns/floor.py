"""Rule `coredns-floor`: cluster DNS never below a safe number of replicas (incident dns-scale-down).

Called by rules.evaluate for cluster DNS itself, for what scales it, and for the Deployment of a CPA that does: its
`--default-params` make the ConfigMap anew, and without the floor in them it would come back without.
"""

from resilience_operator.cluster.leaves import API_DEFAULTS, REPLICAS, argv_path
from resilience_operator.core.findings import EMPTY, Demand, Finding, Verdict
from resilience_operator.policy.policy import Floor
from resilience_operator.targets.coredns.kept_by import managed_by
from resilience_operator.targets.coredns.scale_down import scale_of
from resilience_operator.targets.deployments.texts import COREDNS_FLOOR
from resilience_operator.targets.workloads import cpa
from resilience_operator.targets.workloads.autoscalers import autoscaler_of
from resilience_operator.targets.workloads.eligibility import held_at, never_scaled, reported, settle
from resilience_operator.targets.workloads.floors import Least, of_deployment, of_scaler, owners_number
from resilience_operator.targets.workloads.scaling import By, Scaling, who_scales
from resilience_operator.targets.workloads.view import DeploymentView, ScalerView, View

FIXED = "Fixed"
_UNSTOPPABLE = {
    By.HPA: "the floor is kept through its minimum",
    By.KEDA: "the floor is kept through its minimum",
    By.EKS: "the floor is to be said in the configuration of the add-on",
    By.OTHER: "the floor is to be said there",
}
"""Who scales cluster DNS and cannot be stopped -> how the floor is kept then."""


def check(settings: Floor, view: View) -> Verdict:
    """Findings and demands on cluster DNS, or on what scales it."""
    if isinstance(view, ScalerView):
        return of_scaler(_least(settings, view.scaled), view)
    if view.scaled is not None:
        return _of_autoscaler(settings, view, view.scaled)
    verdict = _twins(view) + _too_few_ready(settings, view) + _of_dns(settings, view)
    return verdict + Verdict(scale=scale_of(view))


def _least(settings: Floor, dns: DeploymentView | None) -> Least:
    managed = managed_by(dns) if dns is not None else ""
    return Least(COREDNS_FLOOR, settings.min_replicas, settings.prevent_single_point_failure, True, managed)


def _of_dns(settings: Floor, view: DeploymentView) -> Verdict:
    least, scaling = _least(settings, view), who_scales(view)
    if settings.scaling == FIXED and scaling.by is By.CPA and view.deployment.replicas:
        return reported(_fixed(settings, view, scaling), view, least.managed or never_scaled(view))
    verdict = of_deployment(least, view)
    if settings.scaling == FIXED and scaling.by in _UNSTOPPABLE:
        return _not_stopped(view, scaling) + verdict
    return verdict


def _fixed(settings: Floor, view: DeploymentView, scaling: Scaling) -> Verdict:
    """The replicas pinned, once the autoscaler stands still."""
    observed, wanted = view.deployment.replicas, max(owners_number(REPLICAS, view), settings.min_replicas)
    stopped = all(one.replicas == 0 and one.status.replicas == 0 for one in view.autoscalers)
    demand = Demand(COREDNS_FLOOR, REPLICAS, wanted, take=True)
    if observed == wanted:
        return Verdict(demands=(demand,) if stopped else ())
    message = f"{observed} replicas; the policy pins {wanted} (scaling: Fixed)"
    message += "" if stopped else f"; waits until {scaling.who} is stopped"
    finding = Finding(COREDNS_FLOOR, "NotPinned", view.ref, message, observed, wanted, REPLICAS)
    return Verdict((finding,), (demand,) if stopped else ())


def _not_stopped(view: DeploymentView, scaling: Scaling) -> Verdict:
    message = f"{scaling.who} scales it, which is not stopped (scaling: Fixed); {_UNSTOPPABLE[scaling.by]}"
    why = "a cluster-proportional-autoscaler is stopped alone; write scaling: Keep, or remove the other"
    return Verdict((Finding(COREDNS_FLOOR, "ScalerNotStopped", view.ref, message, report_only=why),))


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
    """The Deployment of a CPA: its default parameters, and whether it is to stand still.

    Nothing where cluster DNS has other scalers: which of them is to go is for people to say.
    """
    if who_scales(dns).by is not By.CPA:
        return EMPTY
    # Of these one at a time: one that stands still makes no ConfigMap, and a contested argument must keep it neither
    # from being stopped nor from being started.
    if settings.scaling == FIXED:
        return settle(_stopped(view), view, managed_by(dns) or never_scaled(dns))
    started = _started(view)
    return (
        started
        if started.findings
        else started + settle(_default_params(settings, view), view, managed_by(dns))
    )


def _stopped(view: DeploymentView) -> Verdict:
    demand, observed = Demand(COREDNS_FLOOR, REPLICAS, 0, take=True), view.deployment.replicas
    if observed == 0:
        return Verdict(demands=(demand,))
    message = f"{observed} replica scales cluster DNS; the policy stops it (scaling: Fixed)"
    finding = Finding(COREDNS_FLOOR, "AutoscalerRuns", view.ref, message, observed, 0, REPLICAS)
    return Verdict((finding,), (demand,))


def _started(view: DeploymentView) -> Verdict:
    """A CPA that we stopped runs again, and one that runs is to go on: a policy that would stop it disagrees.

    Of one that its owner stopped nothing is demanded.
    """
    observed, held = view.deployment.replicas, held_at(REPLICAS, view)
    if observed:
        return Verdict(demands=(Demand(COREDNS_FLOOR, REPLICAS, observed),))
    if held is None or held.set != 0:
        return EMPTY
    wanted = held.was if isinstance(held.was, int) else API_DEFAULTS[REPLICAS]
    message = "it was stopped for a policy with scaling: Fixed, which no longer says so; it is started again"
    finding = Finding(COREDNS_FLOOR, "AutoscalerStopped", view.ref, message, observed, wanted, REPLICAS)
    return Verdict((finding,), (Demand(COREDNS_FLOOR, REPLICAS, wanted),))


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
        observed = list(present or ())
        finding = Finding(COREDNS_FLOOR, "DefaultParamsBelowFloor", view.ref, message, observed, wanted, path)
        return Verdict((finding,), (Demand(COREDNS_FLOOR, path, wanted),))
    return EMPTY
