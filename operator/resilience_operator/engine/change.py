"""What planning decides for one object, as values: findings with their state, and at most one change.

Made by engine.decide, ordered and held back by engine.queue, carried out by apply.py, shown by every shell.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from resilience_operator.core.findings import Finding, Occurrence, Scale, Skipped, State
from resilience_operator.core.numbers import whole_number
from resilience_operator.core.paths import JSON, Path
from resilience_operator.core.refs import Key, ObjectRef, key_of
from resilience_operator.core.state import ANNOTATION, Apply, Held, ObjectState, encode
from resilience_operator.engine.patch import Op, annotate, escaped, patch, preconditions
from resilience_operator.engine.rollout import NO_ROLLOUT, OurRollout, Scaling
from resilience_operator.policy.policy import Policy


class Verb(StrEnum):
    """APPLY sets leaves, WITHDRAW gives them back, LET_GO takes our entry out of managedFields: each a JSON patch.

    CREATE, UPDATE and DELETE are of whole objects, which are ours alone. REPORT writes conditions of a status.
    """

    APPLY = "Apply"
    WITHDRAW = "Withdraw"
    LET_GO = "LetGo"
    CREATE = "Create"
    UPDATE = "Update"
    DELETE = "Delete"
    REPORT = "Report"


class Result(StrEnum):
    """What a change is called in status.remediations."""

    APPLIED = "Applied"
    ROLLED_BACK = "RolledBack"
    REVERTED = "Reverted"


@dataclass(frozen=True, slots=True)
class Change:
    """One step on one object, decided on `resource_version`.

    `leaves`: for APPLY every leaf that is set, for WITHDRAW what is given back. `removed`: leaves of ours in whose
    place others are set. `outline`, `annotations`: of the object as observed, to place the patch. `state`: what we note
    afterwards, without this apply's time. `written`: the paths whose value changes. `revision`: what the rollout
    becomes, 0 where no template changes. `disruptive`: pods restart. `scaling`: pods come or go. `urgent`: waits for
    no window and no limit.
    `repaired`: rules of which it puts back what somebody took from us. `adopted`: written paths whose values are left
    as they are, because others have made them their own. `whole`: the object that is made, or the label and the spec
    that it gets, without preconditions; `owner`: the object beside which it stands.
    `application`: of what is given back, the Argo CD Application that is to look at it.
    """

    verb: Verb
    result: Result
    object: ObjectRef
    resource_version: str
    leaves: Mapping[Path, JSON]
    state: ObjectState
    written: tuple[Path, ...]
    rules: tuple[str, ...]
    policies: tuple[Policy, ...]
    reason: str
    revision: int = 0
    disruptive: bool = True
    scaling: Scaling = Scaling.NONE
    urgent: bool = False
    pods: int = 0
    given_back: Mapping[str, Held] = field(default_factory=dict)
    repaired: tuple[str, ...] = ()
    adopted: Mapping[str, Held] = field(default_factory=dict)
    whole: Mapping[str, JSON] = field(default_factory=dict)
    owner: ObjectRef | None = None
    application: ObjectRef | None = None
    removed: frozenset[Path] = frozenset()
    waits: str = ""
    """Why it does not go yet though nothing of the object itself holds it back; "" where it may."""
    outline: Mapping[str, JSON] = field(default_factory=dict)
    annotations: Mapping[str, str] | None = None

    @property
    def subject(self) -> ObjectRef:
        """The object that was decided about: of an object of ours, the one that it stands beside."""
        return self.owner or self.object

    @property
    def about(self) -> dict[str, Any]:
        """What it is about, as fields of a line of the log."""
        names = [policy.name for policy in self.policies]
        return {"object": f"{self.object.kind} {self.object}", "policies": names, "rules": list(self.rules)}

    @property
    def paced(self) -> bool:
        """True where it waits for a window and a slot: pods restart, come or go."""
        return self.disruptive or self.scaling is not Scaling.NONE

    @property
    def number(self) -> int:
        """What tells its Events from those of other changes of the object: a revision, or a version of what is ours."""
        version = self.resource_version if self.owner is not None else ""
        return whole_number(version) or self.revision

    @property
    def gives_back(self) -> bool:
        """True where it ends something of ours, which no failure of a policy holds up."""
        return self.verb in (Verb.WITHDRAW, Verb.LET_GO, Verb.DELETE) or self.result is Result.REVERTED

    @property
    def needs_no_lease(self) -> bool:
        """True of the one write that must go when nothing else does: it takes a temporary leaf.

        Any replica may send it: tests of uid and resourceVersion let one of several through.
        """
        held = (self.state.leaves.get(str(path)) for path in self.written)
        return self.verb is Verb.APPLY and any(one is not None and one.temporary for one in held)

    @property
    def forgets(self) -> bool:
        """True where it only removes what is left of us, once the values given back have rolled out."""
        return self.verb is Verb.WITHDRAW and not self.given_back

    def parts(self) -> list[tuple[Policy, str, tuple[str, ...]]]:
        """(policy, rule, its written paths) of everything that the change does, each part for whom it is done."""
        if self.owner is not None:
            what = f"{self.object.kind} {self.object.name}"
            return [(policy, rule, (what,)) for policy in self.policies for rule in self.rules]
        remembered = self.state.leaves if self.verb is Verb.APPLY else self.given_back
        held = [(text, remembered[text]) for text in map(str, self.written)] + list(self.adopted.items())
        found = [
            (
                policy,
                rule,
                tuple(text for text, one in held if one.rule == rule and policy.uid in one.policies),
            )
            for policy in self.policies
            for rule in self.rules
        ]
        return [part for part in found if part[2]]

    def patch(self, now: datetime) -> list[Op]:
        """The JSON patch of an APPLY: preconditions, the leaves, and our annotation."""
        return [
            *preconditions(self.object.uid, self.resource_version),
            *patch(self.outline, self.leaves, self.removed),
            *annotate(self.annotations, ANNOTATION, encode(self.stamped(now))),
        ]

    def operations(self) -> list[Op]:
        """The JSON patch of an UPDATE: server-side apply could not remove what others set."""
        label, policy = next(iter(self.whole["metadata"]["labels"].items()))
        return [
            *preconditions(self.object.uid, self.resource_version),
            {"op": "add", "path": f"/metadata/labels/{escaped(label)}", "value": policy},
            {"op": "add", "path": "/spec", "value": self.whole["spec"]},
        ]

    def only(self, rule: str) -> "Change":
        """The same apply without what the other rules would newly write."""
        theirs = {path for path in self.written if self.state.leaves[str(path)].rule != rule}
        kept = {text: held for text, held in self.state.leaves.items() if Path.parse(text) not in theirs}
        return replace(
            self,
            leaves={path: value for path, value in self.leaves.items() if path not in theirs},
            state=replace(self.state, leaves=kept),
            written=tuple(path for path in self.written if path not in theirs),
            rules=(rule,),
        )

    def stamped(self, now: datetime) -> ObjectState:
        """Our annotation with the time of this apply."""
        if not self.written:
            return self.state
        return replace(self.state, applies=(*self.state.applies, Apply(now, self.revision, self.repaired)))


@dataclass(frozen=True, slots=True)
class Judged:
    """A finding of one policy with the state it is in, and the sentence's end why it waits or is given up."""

    policy: str
    finding: Finding
    state: State
    why: str = ""

    @property
    def message(self) -> str:
        """The whole sentence for a person."""
        return f"{self.finding.message}; {self.why}" if self.why else self.finding.message


@dataclass(frozen=True, slots=True)
class Decision:
    """All that was decided about one object.

    `evaluated` and `ignored`: names of the policies that judged it, and of those it is opted out of altogether.
    `blocked`: why its change may not start now, from the object itself; "" where only the queue decides. `busy`: why
    nothing of it may be changed now, also what restarts nothing.
    `companions`: changes of objects of ours beside it, which restart nothing. `sections`: (policy name, section) that
    speak of it. `scale`: how many replicas there are and who said so, of cluster DNS alone.
    `target`: an enforcing policy covers it; `healthy`: it has all replicas available. `asked`: (policy name, rule) of
    all that was judged, and not opted out of.
    """

    object: ObjectRef
    judged: tuple[Judged, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    evaluated: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    change: Change | None = None
    companions: tuple[Change, ...] = ()
    blocked: str = ""
    busy: str = ""
    rollout: OurRollout = NO_ROLLOUT
    rollout_policies: tuple[str, ...] = ()
    state: ObjectState = ObjectState()
    distrust: str = ""
    target: bool = False
    healthy: bool = True
    asked: frozenset[tuple[str, str]] = frozenset()
    wake_at: datetime | None = None
    sections: frozenset[tuple[str, str]] = frozenset()
    scale: Scale | None = None
    occurrences: tuple[tuple[str, Occurrence], ...] = ()
    """(policy name, what happened to the object), for Events."""

    @property
    def key(self) -> Key:
        """The object's key."""
        return key_of(self.object)

    @property
    def changes(self) -> tuple[Change, ...]:
        """All changes: of the object itself, and of ours beside it."""
        return ((self.change,) if self.change is not None else ()) + self.companions

    def of(self, policy: str) -> tuple[Judged, ...]:
        """The findings of one policy."""
        return tuple(judged for judged in self.judged if judged.policy == policy)
