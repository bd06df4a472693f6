"""Rule `graceful-shutdown`: a pod serves until nobody sends it requests (incident ungraceful-ingress).

Called by rules.evaluate. Judges the containers that deployments/serving finds, and the grace period of the pod. An
owner's hook is never replaced, and an owner's grace period never shortened: the application keeps its time.
"""

import math
from collections.abc import Iterable
from dataclasses import replace

from resilience_operator.cluster.leaves import API_DEFAULTS, GRACE, pre_stop_path
from resilience_operator.cluster.objects.workloads import Container
from resilience_operator.core.findings import EMPTY, Demand, Finding, Skipped, Verdict
from resilience_operator.core.paths import JSON
from resilience_operator.targets.deployments.serving import Serving, exposed, serving
from resilience_operator.targets.deployments.settings import GracefulShutdown
from resilience_operator.targets.deployments.sleeps import known_sleep
from resilience_operator.targets.deployments.texts import GRACEFUL_SHUTDOWN
from resilience_operator.targets.workloads.eligibility import held_at, held_only, settle
from resilience_operator.targets.workloads.texts import HELD_VALUE_DIFFERS
from resilience_operator.targets.workloads.view import DeploymentView

SLEEP_SINCE = (1, 30)
DEFAULT_GRACE_SECONDS: int = API_DEFAULTS[GRACE]


def check(settings: GracefulShutdown, view: DeploymentView) -> Verdict:
    """Findings and demands on one Deployment; skipped where Services decide and none were read."""
    if settings.applies_to == "Exposed" and not view.known.services:
        skipped = Skipped(
            GRACEFUL_SHUTDOWN, view.ref, "no Service was read: who sends it requests is unknown"
        )
        return Verdict(demands=_held(settings, view), skipped=(skipped,))
    if settings.applies_to == "Exposed" and not exposed(view):
        return Verdict(demands=_held(settings, view))
    found = serving(view)
    hooks = sum((_hook(container, settings, view) for container in found.containers), EMPTY)
    sleeps = any(not demand.never_take for demand in hooks.demands)
    verdict = _unknown(found, view) + hooks + _grace(settings, view, sleeps=sleeps)
    return settle(verdict, view, _too_old(view) if sleeps else "")


def _held(settings: GracefulShutdown, view: DeploymentView) -> tuple[Demand, ...]:
    if not view.state.leaves:
        return ()
    names = [container.name for container in view.deployment.spec.template.spec.containers]
    wanted = [Demand(GRACEFUL_SHUTDOWN, pre_stop_path(name), _sleep(settings)) for name in names]
    return held_only((*wanted, Demand(GRACEFUL_SHUTDOWN, GRACE, None)), view)


def _sleep(settings: GracefulShutdown) -> dict[str, JSON]:
    return {"sleep": {"seconds": settings.pre_stop_sleep_seconds}}


def _too_old(view: DeploymentView) -> str:
    if view.server == (0, 0) or view.server >= SLEEP_SINCE:
        return ""
    major, minor = view.server
    return f"the preStop sleep action needs Kubernetes 1.30; the server is {major}.{minor}"


def _unknown(found: Serving, view: DeploymentView) -> Verdict:
    why = "which container serves the port is not known"
    return Verdict(
        tuple(
            Finding(GRACEFUL_SHUTDOWN, "UnknownServingContainer", view.ref, message, report_only=why)
            for message in found.unknown
        )
    )


def _pre_stop(container: Container) -> JSON:
    return container.lifecycle.pre_stop if container.lifecycle is not None else None


def _ours(container: Container, view: DeploymentView) -> bool:
    held, hook = held_at(pre_stop_path(container.name), view), _pre_stop(container)
    return held is not None and (hook is None or bool(held.set == hook))


def _hook(container: Container, settings: GracefulShutdown, view: DeploymentView) -> Verdict:
    hook, wanted = _pre_stop(container), _sleep(settings)
    demand = Demand(GRACEFUL_SHUTDOWN, pre_stop_path(container.name), wanted)
    if hook is None:
        serves = " serves a port of a Service and" if exposed(view) else ""
        return _drift(
            "NoPreStop", f"container {container.name}{serves} has no preStop hook", None, demand, view
        )
    if _ours(container, view):
        if hook == wanted:
            return Verdict(demands=(demand,))
        message = f"the preStop hook of container {container.name} was written for an earlier policy"
        return _drift(HELD_VALUE_DIFFERS, message, hook, demand, view)
    seconds = known_sleep(hook)
    if seconds is None:
        why = f"the preStop hook of container {container.name} runs something whose duration is unknown"
        return Verdict(skipped=(Skipped(GRACEFUL_SHUTDOWN, view.ref, why),))
    if seconds >= settings.pre_stop_sleep_seconds:
        return EMPTY
    message = (
        f"the preStop hook of container {container.name} sleeps {seconds:g} s;"
        f" {settings.pre_stop_sleep_seconds} s are demanded"
    )
    return _drift("PreStopTooShort", message, hook, replace(demand, never_take=True), view)


def _drift(reason: str, message: str, observed: JSON, demand: Demand, view: DeploymentView) -> Verdict:
    finding = Finding(GRACEFUL_SHUTDOWN, reason, view.ref, message, observed, demand.value, demand.path)
    return Verdict((finding,), (demand,))


def _grace(settings: GracefulShutdown, view: DeploymentView, *, sleeps: bool) -> Verdict:
    observed, demanded = _observed_grace(view), _demanded_grace(settings, view, sleeps=sleeps)
    container, longest = _longest(view.deployment.spec.template.spec.containers)
    held = held_at(GRACE, view)
    if held is not None and observed != held.set and observed >= demanded:
        return EMPTY  # Somebody gave more time after us: theirs, and enough.
    demand = Demand(GRACEFUL_SHUTDOWN, GRACE, demanded)
    if observed == demanded:
        return Verdict(demands=(demand,))
    if longest >= observed:
        message = (
            f"the preStop hook of container {container} sleeps {longest:g} s,"
            f" terminationGracePeriodSeconds is {observed}: the application gets no time to stop"
        )
        return _drift("HookExceedsGracePeriod", message, observed, demand, view)
    if observed < demanded:
        message = f"terminationGracePeriodSeconds is {observed}; {demanded} are demanded"
        return _drift("GracePeriodTooShort", message, observed, demand, view)
    message = f"terminationGracePeriodSeconds {observed} was written for an earlier policy"
    return _drift(HELD_VALUE_DIFFERS, message, observed, demand, view)


def _observed_grace(view: DeploymentView) -> int:
    grace = view.deployment.spec.template.spec.termination_grace_period_seconds
    return DEFAULT_GRACE_SECONDS if grace is None else grace


def _owners_grace(view: DeploymentView) -> int:
    held = held_at(GRACE, view)
    observed = _observed_grace(view)
    if held is None or observed != held.set:  # Nobody's but theirs, also where they changed it after us.
        return observed
    return held.was if isinstance(held.was, int) else DEFAULT_GRACE_SECONDS


def _demanded_grace(settings: GracefulShutdown, view: DeploymentView, *, sleeps: bool) -> int:
    """The minimum, or the owner's time and what a hook takes of it: our sleep, or theirs if it misfits."""
    owner = _owners_grace(view)
    theirs = [one for one in view.deployment.spec.template.spec.containers if not _ours(one, view)]
    _, longest = _longest(theirs)
    misfit = math.ceil(longest) if longest >= owner else 0
    sleep = settings.pre_stop_sleep_seconds if sleeps else 0
    return max(settings.min_termination_grace_period_seconds, owner + max(sleep, misfit))


def _longest(containers: Iterable[Container]) -> tuple[str, float]:
    """The container whose hook sleeps longest, and the seconds; ("", 0) where no hook is a known sleep."""
    sleeps = [(known_sleep(_pre_stop(container)), container.name) for container in containers]
    return max(
        ((name, seconds) for seconds, name in sleeps if seconds), default=("", 0.0), key=lambda hook: hook[1]
    )
