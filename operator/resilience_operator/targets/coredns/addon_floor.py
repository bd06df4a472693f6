"""The floor of cluster DNS where an EKS add-on keeps it: what is said of it, on the add-on or on its Deployment.

Called by workloads/floors. coredns/addon_configuration says what the floor is. Where AWS does not show the
configuration, the finding is the Deployment's, and has the commands by which a person sees and changes it.
"""

from dataclasses import replace

from resilience_operator.cluster.leaves import CONFIGURATION
from resilience_operator.cluster.objects.workloads import Addon, AddonReading
from resilience_operator.core.findings import EMPTY, Demand, Finding, Skipped, Verdict
from resilience_operator.targets.coredns import addon_configuration as eks_addon
from resilience_operator.targets.coredns.addon_state import NOT_ASKED, UNANSWERED, told
from resilience_operator.targets.workloads.eligibility import held_at, never_scaled, reported
from resilience_operator.targets.workloads.texts import HELD_VALUE_DIFFERS
from resilience_operator.targets.workloads.view import DeploymentView, ScalerView

LONGEST_COMMAND = 600
"""A longer one would be cut off where it is shown."""


def of_unread(rule: str, floor: int, view: DeploymentView) -> Verdict:
    """What is said of the Deployment where AWS does not show what the add-on is configured with."""
    reading = view.addon.reading if view.addon is not None else AddonReading(problem=NOT_ASKED)
    how = commands(reading.cluster, floor)
    if reading.problem in (NOT_ASKED, UNANSWERED):
        why = f"the EKS add-on scales it, and how far down is not known: {reading.problem}; {how}"
        known = _too_few(rule, floor, view) if reading.problem == NOT_ASKED else EMPTY
        return known + Verdict(skipped=(Skipped(rule, view.ref, why),))
    message = f"the EKS add-on scales it, and how far down is not known: {reading.problem}; {how}"
    why = "AWS does not show the configuration of the add-on"
    return Verdict((Finding(rule, "AddonNotRead", view.ref, message, report_only=why),))


def _too_few(rule: str, floor: int, view: DeploymentView) -> Verdict:
    replicas = view.deployment.replicas
    if replicas >= floor:
        return EMPTY
    message = f"{replicas} of at least {floor} replicas; the EKS add-on scales it; {commands('', floor)}"
    why = "the EKS add-on would revert the change"
    return Verdict((Finding(rule, "TooFewReplicas", view.ref, message, report_only=why),))


def commands(cluster: str, floor: int) -> str:
    """How a person raises the floor in a configuration that is not known here."""
    example = eks_addon.raised("", floor) or "{}"
    return (
        f"see the configuration with: {eks_addon.look(cluster)}; raise it, and keep all else that it shows, for"
        f" --configuration-values replaces all of it; where it shows nothing: {eks_addon.command(cluster, example)}"
    )


def of_addon(rule: str, floor: int, view: ScalerView, addon: Addon, scaled: DeploymentView) -> Verdict:
    """The floor in the configuration of an add-on that AWS shows."""
    if scaled.deployment.replicas == 0:
        return EMPTY
    reading, before = addon.reading, _owners(view, addon)
    verdict = _health(rule, view, reading)
    scaling = eks_addon.read(before)
    if blocked := eks_addon.blocked(scaling, floor):
        reason, why = "MaximumBelowFloor", "a maximum is never raised"
        if scaling.problem:
            reason, why = "UnreadableConfiguration", "only JSON is edited, in place"
            blocked = f"{blocked}; see it with: {eks_addon.look(reading.cluster)}"
        return verdict + Verdict((Finding(rule, reason, view.ref, blocked, report_only=why),))
    wanted = _wanted(before, floor, addon, scaled.deployment.replicas)
    message = eks_addon.shortfall(eks_addon.read(reading.configuration), floor)
    more = not message and wanted != reading.configuration
    demand = Demand(rule, CONFIGURATION, wanted, floor=floor, lowers=more)
    if wanted == reading.configuration:
        return verdict + Verdict(demands=(demand,))
    reason = "FloorTooLow" if message else HELD_VALUE_DIFFERS
    message = message or f"{CONFIGURATION} were written for an earlier policy"
    finding = Finding(rule, reason, view.ref, message, reading.configuration, wanted, CONFIGURATION)
    why = never_scaled(scaled)
    if why:
        finding = replace(finding, message=f"{message}; {by_hand(reading.cluster, wanted)}")
    return verdict + reported(Verdict((finding,), (demand,)), view, why)


def by_hand(cluster: str, configuration: str) -> str:
    """How a person writes that configuration."""
    command = eks_addon.command(cluster, configuration)
    if len(command) <= LONGEST_COMMAND:
        return f"to end it, type: {command}"
    return f"to end it, change it in what this shows, and write all of it back: {eks_addon.look(cluster)}"


def _health(rule: str, view: ScalerView, reading: AddonReading) -> Verdict:
    if not reading.issues:
        return EMPTY
    why = "what EKS says of its health is no part of the floor"
    return Verdict((Finding(rule, "AddonUnhealthy", view.ref, told(reading), report_only=why),))


def _owners(view: ScalerView, addon: Addon) -> str:
    """The configuration as its owner wrote it: what was there before us, while ours still stands."""
    held, here = held_at(CONFIGURATION, view), addon.reading.configuration
    return str(held.was) if held is not None and here == held.set else here


def _wanted(before: str, floor: int, addon: Addon, replicas: int) -> str:
    """The configuration with the floor in it; what we wrote stays while it is that, however many replicas run now."""
    here = addon.reading.configuration
    kept = eks_addon.raised(before, floor, running=eks_addon.read(here).first) or before
    return here if kept == here else eks_addon.raised(before, floor, running=replicas) or before
