"""What the rules of one policy say about many Deployments: the result of `check`. Pure; used by cli/check.

Scope, opt-outs and rules are the operator's own. What could not be judged is named, and never counts as passed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from resilience_operator.core.findings import Finding, Skipped
from resilience_operator.core.policy import Policy
from resilience_operator.core.refs import ObjectRef
from resilience_operator.core.selectors import EVERYTHING
from resilience_operator.evaluation import optouts
from resilience_operator.observed.view import DeploymentView
from resilience_operator.planning.optout import OptOut
from resilience_operator.planning.scope import covers
from resilience_operator.rules import evaluate


@dataclass(frozen=True, slots=True)
class Spot:
    """Where an object comes from: its file and the lines of its fields; both empty where it is a cluster's."""

    file: str = ""
    line: int = 0
    lines: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """One Deployment to judge, and where it comes from."""

    view: DeploymentView
    spot: Spot = Spot()


@dataclass(frozen=True, slots=True)
class Hit:
    """A finding and where the object comes from."""

    finding: Finding
    spot: Spot


@dataclass(frozen=True, slots=True)
class Ignored:
    """An opt-out in force: the object, the rules that it names, and how long."""

    object: ObjectRef
    rules: tuple[str, ...]
    optout: OptOut
    spot: Spot


@dataclass(slots=True)
class Judgement:
    """All that was found; `judged` counts Deployments in scope that are not opted out of every rule."""

    policy: Policy
    hits: list[Hit] = field(default_factory=list)
    skipped: list[tuple[Skipped, Spot]] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)
    judged: int = 0
    out_of_scope: int = 0

    @property
    def drifted(self) -> int:
        """How many Deployments have a finding."""
        return len({(hit.finding.object, hit.spot.file, hit.spot.line) for hit in self.hits})


def judge(policy: Policy, subjects: Iterable[Subject]) -> Judgement:
    """Judge every Deployment by the policy."""
    result = Judgement(policy)
    for subject in subjects:
        if covers(policy, subject.view):
            _judge_one(result, subject)
        elif _scope_unknown(policy, subject.view):
            why = f"Namespace {subject.view.deployment.metadata.namespace} was not read: namespaceSelector decides"
            rules = policy.deployments.rules() if policy.deployments is not None else {}
            result.skipped += [
                (Skipped(rule, subject.view.deployment.ref, why), subject.spot) for rule in rules
            ]
        else:
            result.out_of_scope += 1
    return result


def _judge_one(result: Judgement, subject: Subject) -> None:
    verdict, left_out = evaluate(result.policy, subject.view), optouts(result.policy, subject.view)
    rules = result.policy.deployments.rules() if result.policy.deployments is not None else {}
    result.judged += any(rule not in left_out for rule in rules)
    result.hits += [Hit(one, subject.spot) for one in verdict.findings if one.rule not in left_out]
    result.skipped += [(one, subject.spot) for one in verdict.skipped if one.rule not in left_out]
    for optout in dict.fromkeys(left_out.values()):
        named = tuple(rule for rule, one in left_out.items() if one == optout)
        result.ignored.append(Ignored(subject.view.deployment.ref, named, optout, subject.spot))


def _scope_unknown(policy: Policy, view: DeploymentView) -> bool:
    """True where only the policy's namespaceSelector stands between it and a Namespace that was not read."""
    section = policy.deployments
    if section is None or view.namespace is not None:
        return False
    return covers(replace(policy, deployments=replace(section, namespace_selector=EVERYTHING)), view)
