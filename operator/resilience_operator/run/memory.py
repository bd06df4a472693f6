"""What the reconciler remembers between passes. Nothing in it is needed for safety; a restart may lose it.

Refusals of the API server (until the object or the policies change), back-off per object, rights that were lost,
and writes whose end is not known: while there is one, nothing disruptive starts.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from resilience_operator.cluster.objects.workloads import Addon, ConfigMap, Declared, Deployment
from resilience_operator.core.refs import Key, ObjectRef
from resilience_operator.engine.contest import MAX_REVERTS
from resilience_operator.policy.policy import Policy
from resilience_operator.targets.workloads.view import View

Place = tuple[str, str, str]
"""(kind, namespace, name) of an object that is written."""

FIRST_WAIT = 0.5
STALE_WAIT = 0.05
"""Seconds after which the watch should have brought what made a write too late."""

LONGEST_WAIT = 300.0
RIGHTS_RETRY = 15.0
"""Seconds between two tries of a write for which the operator lacks the right."""

GRANT = "grant it, as manifests/enforce does, or write mode: Audit"


@dataclass(slots=True)
class Backoff:
    """Failures in a row of one object, and until when (monotonic seconds) it is left alone."""

    failures: int = 0
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class LostRight:
    """What the operator may not do in a namespace, as a sentence; not tried again before `until` (monotonic)."""

    message: str
    until: float


@dataclass(slots=True)
class Memory:
    """Refusals by (uid, rule), back-offs by place, unknown ends by uid, and policies that bear our finalizer.

    `repeats`: by (uid, rule), when an object of ours was written while nothing else had changed. A place is (kind,
    namespace, name) of what is written. `lost_rights`: by (namespace, kind), for rights may be granted for some and
    not for others. `broken`: objects about which nothing could be decided, and why. `no_refresh_until` (monotonic):
    before, Argo CD is not asked to look at anything, for the right is not there.
    """

    refusals: dict[tuple[str, str], tuple[object, str, datetime | None]] = field(default_factory=dict)
    repeats: dict[tuple[str, str], tuple[object, list[datetime]]] = field(default_factory=dict)
    backoffs: dict[Place, Backoff] = field(default_factory=dict)
    unknown: dict[str, ObjectRef] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    lost_rights: dict[tuple[str, str], LostRight] = field(default_factory=dict)
    broken: dict[Key, str] = field(default_factory=dict)
    no_refresh_until: float = float("-inf")

    def refuse(
        self, uid: str, rule: str, fingerprint: object, message: str, until: datetime | None = None
    ) -> None:
        """Remember that the API server, or AWS, refuses this rule on this object as it is now; `until`: no longer."""
        self.refusals[(uid, rule)] = (fingerprint, message, until)

    def repeated(self, uid: str, rule: str, fingerprint: object, now: datetime, window: timedelta) -> bool:
        """Count a write of an object of ours; True where it was one too many while nothing else had changed."""
        seen, times = self.repeats.get((uid, rule), (fingerprint, []))
        times = [at for at in times if seen == fingerprint and now - at < window] + [now]
        self.repeats[uid, rule] = (fingerprint, times)
        return len(times) >= MAX_REVERTS

    def accepted(self, uid: str, rule: str) -> None:
        """The API server took what it had refused."""
        self.refusals.pop((uid, rule), None)

    def known_refusal(self, uid: str, rule: str) -> str:
        """What was remembered last of a refusal, "" where nothing was."""
        return self.refusals.get((uid, rule), (None, ""))[1]

    def refused(self, view: View, policies: tuple[Policy, ...]) -> dict[str, str]:
        """Rule -> why the API server refuses it; what was refused of an older object or policy is forgotten."""
        uid, mark = view.ref.uid, fingerprint(view, policies)
        mine = [(key, entry) for key, entry in self.refusals.items() if key[0] == uid]
        in_force = {
            key for key, (seen, _, until) in mine if seen == mark and not (until and view.now >= until)
        }
        for key, _ in mine:
            if key not in in_force:
                del self.refusals[key]
        return {key[1]: message for key, (_, message, _) in mine if key in in_force}

    def failed(self, place: Place, monotonic: float, retry_after: float, *, stale: bool = False) -> float:
        """Count a failure; returns when to try again (monotonic seconds); soon where only the object was newer."""
        backoff = self.backoffs.setdefault(place, Backoff())
        first = STALE_WAIT if stale else FIRST_WAIT
        wait = max(retry_after, min(first * 2**backoff.failures, LONGEST_WAIT))
        backoff.failures += 1
        backoff.until = monotonic + wait
        return backoff.until

    def succeeded(self, place: Place) -> None:
        """The object was written: its failures are forgotten, and the right to it is there."""
        kind, namespace, _ = place
        self.backoffs.pop(place, None)
        self.lost_rights.pop((namespace, kind), None)

    def forbidden(self, place: Place, message: str, monotonic: float) -> None:
        """The operator lacks the right to write objects of that kind in that namespace."""
        kind, namespace, _ = place
        self.lost_rights[namespace, kind] = LostRight(message, monotonic + RIGHTS_RETRY)

    def keep_rights(self, needed: set[tuple[str, str]]) -> None:
        """Only these (namespace, kind) are to be written; a right that nothing needs is not missed."""
        self.lost_rights = {what: lost for what, lost in self.lost_rights.items() if what in needed}

    def troubles(self, stale: tuple[str, ...]) -> tuple[str, ...]:
        """What the operator itself lacks, as sentences; `stale`: names of streams."""
        streams = tuple(f"the stream of {name} is stale" for name in stale)
        if self.broken:
            key = min(self.broken)
            more = f" and {len(self.broken) - 1} more" if len(self.broken) > 1 else ""
            streams += (f"nothing can be decided about {'/'.join(key[:2])}{more}: {self.broken[key]}",)
        lost = self.lost_rights
        if not lost:
            return streams
        others = {namespace for namespace, _ in lost} - {min(lost)[0]}
        more = f", and so in {len(others)} more namespaces" if others else ""
        return (*streams, f"the operator lacks a right: {lost[min(lost)].message}{more} ({GRANT})")

    def next_try(self, monotonic: float) -> float:
        """Seconds until the first of the objects that are left alone is tried again; infinite where none is."""
        untils = [one.until for one in self.backoffs.values()]
        return min((until - monotonic for until in untils if until > monotonic), default=float("inf"))

    def waits(self, place: Place, monotonic: float) -> bool:
        """True while the object is left alone after a failure, its own or one of its kind in the whole namespace."""
        kind, namespace, _ = place
        backoff, lost = self.backoffs.get(place), self.lost_rights.get((namespace, kind))
        untils = [one.until for one in (backoff, lost) if one is not None]
        return any(monotonic < until for until in untils)


def fingerprint(view: View, policies: tuple[Policy, ...]) -> object:
    """What a refusal depends on: the object's generation, and what each policy says."""
    digests = tuple(sorted((policy.uid, policy.digest) for policy in policies))
    target = view.target
    if isinstance(target, Deployment):
        return (target.metadata.generation, digests)
    # These count no generations, or not on every server, and their versions change with their status.
    match target:
        case Declared():
            return (target.tree, digests)
        case ConfigMap():
            return (target.data, digests)
        case Addon():
            return ((target.reading.version, target.reading.configuration), digests)
    return (target.spec, digests)
