"""What the rules of one policy say about many objects: the result of `check`. Pure; used by cli/check.

Scope, opt-outs and rules are the operator's own. What could not be judged is named, and never counts as passed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from resilience_operator.cluster.objects.workloads import Deployment, Meta
from resilience_operator.core.findings import Finding, Skipped
from resilience_operator.core.refs import ObjectRef
from resilience_operator.engine.decide import PolicyVerdict
from resilience_operator.engine.optout import OptOut, optouts_of
from resilience_operator.policy.policy import Policy
from resilience_operator.targets import CATALOG, verdict_of
from resilience_operator.targets.workloads.relations import scaled_by
from resilience_operator.targets.workloads.scope import asked_of, selects_namespaces, widened
from resilience_operator.targets.workloads.view import DeploymentView, ScalerView, View

TARGET_UNREAD = "the Deployment that it scales was not read"


@dataclass(frozen=True, slots=True)
class Spot:
    """Where an object comes from: its file and the lines of its fields; both empty where it is a cluster's."""

    file: str = ""
    line: int = 0
    lines: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """One object to judge, and where it comes from."""

    view: Any
    """Its view, of any target (engine.view.View)."""
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
    """All that was found; `judged` counts objects of which something is asked, and not opted out of all of it.

    `deployments`: how many of them are Deployments; `launch`: how many are launch settings of nodes.
    """

    policy: Policy
    hits: list[Hit] = field(default_factory=list)
    skipped: list[tuple[Skipped, Spot]] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)
    judged: int = 0
    deployments: int = 0
    launch: int = 0
    out_of_scope: int = 0

    @property
    def drifted(self) -> int:
        """How many objects have a finding."""
        return len({(hit.finding.object, hit.spot.file, hit.spot.line) for hit in self.hits})

    def keep(self, about: Callable[[str], bool]) -> None:
        """Leave out what is said of other rules than those asked about."""
        self.hits = [hit for hit in self.hits if about(hit.finding.rule)]
        self.skipped = [(skip, spot) for skip, spot in self.skipped if about(skip.rule)]
        self.ignored = [one for one in self.ignored if any(map(about, one.rules))]


def judge(policy: Policy, subjects: Iterable[Subject]) -> Judgement:
    """Judge every object by the policy."""
    result = Judgement(policy)
    for subject in subjects:
        view, spot = subject.view, subject.spot
        found = verdict_of(policy, view)
        if found is not None:
            _count(result, subject, found)
        unknown = _unknown(policy, view, in_files=bool(spot.file))
        result.skipped += [(one, spot) for one in unknown]
        if found is None and not unknown:
            result.out_of_scope += isinstance(view, DeploymentView)
    return result


def _count(result: Judgement, subject: Subject, found: PolicyVerdict) -> None:
    verdict, left_out = found.verdict, found.opted_out
    result.judged += not found.ignored
    result.deployments += not found.ignored and isinstance(subject.view, DeploymentView)
    result.hits += [Hit(one, subject.spot) for one in verdict.findings if one.rule not in left_out]
    result.skipped += [(one, subject.spot) for one in verdict.skipped if one.rule not in left_out]
    for optout in dict.fromkeys(left_out.values()):
        named = tuple(rule for rule, one in left_out.items() if one == optout)
        result.ignored.append(Ignored(subject.view.ref, named, optout, subject.spot))


def _unknown(policy: Policy, view: Any, *, in_files: bool) -> list[Skipped]:
    """The rules that would be asked of a Deployment or its scaler, if more had been read."""
    if not isinstance(view, DeploymentView | ScalerView):
        return []
    return _scope_unknown(policy, view) or (_target_unread(policy, view) if in_files else [])


def _scope_unknown(policy: Policy, view: View) -> list[Skipped]:
    """The rules that only a namespaceSelector over a Namespace that was not read keeps from being asked."""
    if view.namespace is not None or not selects_namespaces(policy):
        return []
    everywhere = widened(policy)
    known = asked_of(policy, view)
    why = f"Namespace {view.ref.namespace} was not read: namespaceSelector decides"
    return [Skipped(rule, view.ref, why) for rule in asked_of(everywhere, view) if rule not in known]


def _target_unread(policy: Policy, view: View) -> list[Skipped]:
    """The rules that would be asked of a scaler, had the Deployment that it scales been read."""
    if isinstance(view, DeploymentView) or view.scaled is not None:
        return []
    key = scaled_by(view.target)
    if key is None:
        return []
    scaled = DeploymentView(Deployment(Meta(key[1], key[0])), view.now, namespace=view.namespace)
    asked = asked_of(widened(policy, objects=True), replace(view, scaled=scaled))
    left_out = optouts_of(asked, view, CATALOG)
    return [Skipped(rule, view.ref, TARGET_UNREAD) for rule in asked if rule not in left_out]
