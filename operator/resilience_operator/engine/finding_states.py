"""In which state a finding is, and the sentence that says why. Used by planning.decide."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from resilience_operator.core.findings import Finding, State, Verdict
from resilience_operator.core.state import Quarantine
from resilience_operator.engine.change import Judged
from resilience_operator.engine.resolve import Resolution
from resilience_operator.engine.rollout import OurRollout, Phase
from resilience_operator.engine.view import View
from resilience_operator.policy.policy import Policy


@dataclass(frozen=True, slots=True)
class Context:
    """All that was decided about the object's rules; `writing`: families of rules that the proposed change writes."""

    view: View
    resolution: Resolution
    quarantines: Mapping[tuple[str, str], Quarantine]
    refused: Mapping[str, str]
    stopped: Mapping[str, str]
    writing: frozenset[str]
    rollout: OurRollout


def judge_findings(
    policy: Policy, verdict: Verdict, context: Context, enforces: Callable[[str], bool]
) -> list[Judged]:
    """The findings of one policy, each with its state."""
    return [_judged(policy, finding, context, enforces(finding.rule)) for finding in verdict.findings]


def rolling_out(view: View, rollout: OurRollout, policies: Iterable[Policy]) -> list[Judged]:
    """One finding per policy whose change is being rolled out now: the object is not yet what it should be."""
    if not rollout.running or view.workload is None:
        return []
    written = [held for held in view.state.leaves.values() if held.revision == rollout.revision]
    what = f"revision {rollout.revision} is rolling out: {view.workload.progress}"
    message = "soaking after its rollout" if rollout.phase is Phase.SOAKING else what
    message = rollout.message if rollout.phase is Phase.FAILED or not rollout.revision else message
    return [
        Judged(policy.name, Finding(rule, "RollingOut", view.ref, message), State.ROLLING_OUT)
        for policy in policies
        for rule in sorted({held.rule for held in written if policy.uid in held.policies})[:1]
    ]


def _judged(policy: Policy, finding: Finding, context: Context, enforced: bool) -> Judged:
    if not enforced:
        why = f"not enforced in any mode: {finding.report_only}" if finding.report_only else ""
        return Judged(policy.name, finding, State.DRIFTED, why)
    quarantine = context.quarantines.get((policy.name, finding.rule))
    if quarantine is not None:
        return Judged(policy.name, finding, State.QUARANTINED, quarantine.message)
    if finding.report_only:
        return Judged(policy.name, finding, State.REPORT_ONLY, finding.report_only)
    if finding.rule in context.refused:
        return Judged(policy.name, finding, State.REPORT_ONLY, context.refused[finding.rule])
    family = policy.catalog.family(finding.rule)
    contested = context.resolution.contested.get(family) or context.resolution.losers.get(
        (policy.name, finding.rule)
    )
    if contested:
        return Judged(policy.name, finding, State.CONTESTED, contested)
    if policy.name in context.stopped:
        return Judged(policy.name, finding, State.PENDING, context.stopped[policy.name])
    if context.rollout.running and family not in context.writing:
        return Judged(policy.name, finding, State.ROLLING_OUT)
    return Judged(policy.name, finding, State.PENDING)
