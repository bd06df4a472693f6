"""What the reconciler remembers of outcomes between passes. Nothing in it is needed for safety; a restart may lose it.

Refusals of the API server (until the object or the policies change), back-off per object, rights that were lost,
and writes whose end is not known: each keeps its own object from being written, and no other.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from resilience_operator.cluster.objects.workloads import Addon, ConfigMap, Declared, Deployment
from resilience_operator.core.plain import plain
from resilience_operator.core.refs import Key, ObjectRef
from resilience_operator.engine.change import Change, Decision
from resilience_operator.engine.contest import MAX_REVERTS
from resilience_operator.engine.failures import Failure
from resilience_operator.engine.gates import Outcomes, Place
from resilience_operator.policy.policy import Policy
from resilience_operator.targets.workloads.view import View

FIRST_WAIT = 0.5
STALE_WAIT = 0.05
"""Seconds after which the watch should have brought what made a write too late."""

LONGEST_WAIT = 300.0
LONGEST_RETRY = 3600.0
"""Seconds of somebody's Retry-After that are obeyed at most."""

RIGHTS_RETRY = 15.0
"""Seconds between two tries of a write for which the operator lacks the right."""

TELL_AFTER = 3
"""Failures in a row after which a write is told of as failed: fewer are a restart of the API server or the like."""

UNKNOWN_FOR = 120.0
"""Seconds after which what the watch says is believed of a write whose end could not be read.

No write is on its way for so long, and the streams are fresh whenever anything is decided.
"""

MAX_FAILURES = 1000
"""Failures of objects that are gone which are remembered at most."""

TELL_UNKNOWN_AFTER = 5.0
"""Seconds after which an end that is still not known is told of."""

FAILED_PASSES = 5
"""Passes that failed in a row after which this process had better be started anew."""

GRANT = "manifests/enforce grants it, or write mode: Audit"


@dataclass(slots=True)
class Backoff:
    """Failures in a row of one object, and until when (monotonic seconds) it is left alone.

    `why`: what became of the last try. `failed`: how many of them were no mere change of the object meanwhile; `told`:
    people know of this row.
    """

    failures: int = 0
    until: float = 0.0
    why: str = ""
    failed: int = 0
    told: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """A write whose end is not known: to what, since when (monotonic), and of what what is there must be read."""

    place: Place
    ref: ObjectRef
    since: float


@dataclass(frozen=True, slots=True)
class LostRight:
    """What cannot be done in a namespace, or for a policy, as a sentence; not tried before `until` (monotonic)."""

    message: str
    until: float


@dataclass(slots=True)
class Memory:
    """One memory of outcomes. A place is (kind, namespace, name) of what is written; times are monotonic seconds."""

    refusals: dict[tuple[str, str], tuple[object, str, datetime | None]] = field(default_factory=dict)
    """(uid, rule) -> of what it was refused, in which words, and until when (UTC) at most."""

    repeats: dict[tuple[str, str], tuple[object, list[datetime]]] = field(default_factory=dict)
    """(uid, rule) -> when an object of ours was written while nothing else had changed."""

    backoffs: dict[Place, Backoff] = field(default_factory=dict)
    """Failures in a row."""

    unknown: dict[str, Unknown] = field(default_factory=dict)
    """Uid -> a write whose end is not known."""

    held: set[str] = field(default_factory=set)
    """Uids of the policies that bear our finalizer."""

    lost_rights: dict[tuple[str, str], LostRight] = field(default_factory=dict)
    """(namespace, kind) -> the right that is missing: it may be granted for some and not for others."""

    broken: dict[Key, str] = field(default_factory=dict)
    """Objects about which nothing could be decided or told, and why."""

    faults: dict[str, str] = field(default_factory=dict)
    """Steps of the passes that failed as a whole, and why."""

    failed_passes: int = 0
    """How many passes in a row ended by an error."""

    unheld: dict[str, LostRight] = field(default_factory=dict)
    """Uid of a policy -> why our finalizer is not on it yet."""

    stuck: dict[str, float] = field(default_factory=dict)
    """Uid of a policy that is being deleted -> since when (monotonic) what is left of it cannot be given back."""

    tried: dict[str, datetime] = field(default_factory=dict)
    """Namespace -> when something that restarts pods was last tried there (UTC)."""

    since: dict[Place, datetime] = field(default_factory=dict)
    """Since when a change is proposed, or was last tried (UTC)."""

    started: dict[tuple[str, int], datetime] | None = None
    """(uid, revision) -> when this leader started the rollout, or found it; None before it leads."""

    failures: tuple[Failure, ...] = ()
    """The rollouts that failed, as the last pass saw them."""

    gone: tuple[Failure, ...] = ()
    """Those of them whose objects are gone by now: else a deletion would start a stopped policy again, silently."""

    leads_since: datetime = datetime.min.replace(tzinfo=UTC)
    """When this leader took over."""

    no_refresh_until: float = float("-inf")
    """Before, Argo CD is not asked to look at anything, for the right is not there."""

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

    def behind(self) -> frozenset[Place | str]:
        """Places whose last write failed, and uids of objects of which something is refused: others come first.

        One whose end is not known keeps its turn, for it may have been done.
        """
        unknown = {one.place for one in self.unknown.values()}
        failed = {place for place, one in self.backoffs.items() if one.failed and place not in unknown}
        return frozenset(failed | {uid for uid, _ in self.refusals})

    def failed(
        self, place: Place, monotonic: float, retry_after: float, why: str = "", *, stale: bool = False
    ) -> float:
        """Count a failure; returns when to try again (monotonic seconds); soon where only the object was newer."""
        backoff = self.backoffs.setdefault(place, Backoff())
        first = STALE_WAIT if stale else FIRST_WAIT
        wait = max(min(retry_after, LONGEST_RETRY), min(first * 2 ** min(backoff.failures, 20), LONGEST_WAIT))
        backoff.failures += 1
        backoff.failed += not stale
        backoff.why = plain(why)
        backoff.until = monotonic + wait
        return backoff.until

    def fails_for_good(self, place: Place) -> bool:
        """True once for each row of failures that is long enough to be told of."""
        backoff = self.backoffs.get(place)
        if backoff is None or backoff.told or backoff.failed < TELL_AFTER:
            return False
        backoff.told = True
        return True

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

    def keep_policies(self, uids: Collection[str]) -> None:
        """Only these policies are there."""
        self.unheld = {uid: one for uid, one in self.unheld.items() if uid in uids}
        self.stuck = {uid: since for uid, since in self.stuck.items() if uid in uids}

    def troubles(self, stale: tuple[str, ...]) -> tuple[str, ...]:
        """What the operator itself lacks, as sentences; `stale`: names of streams."""
        told = [f"the stream of {plain(name)} is stale" for name in stale]
        told += [f"{step} failed: {why}" for step, why in sorted(self.faults.items())]
        told += [one.message for one in self.unheld.values()]
        if self.broken:
            key = min(self.broken)
            more = f" and {len(self.broken) - 1} more" if len(self.broken) > 1 else ""
            told.append(f"nothing can be decided about {'/'.join(key[:2])}{more}: {self.broken[key]}")
        return tuple(told)

    def rights(self) -> dict[tuple[str, str], str]:
        """(namespace, kind) -> which right is missing there, and what to do about it."""
        return {
            place: f"the operator lacks a right: {plain(lost.message, 200)} ({GRANT})"
            for place, lost in self.lost_rights.items()
        }

    def next_try(self, monotonic: float) -> float:
        """Seconds until the first of the objects that are left alone is tried again; infinite where none is."""
        untils = [one.until for one in self.backoffs.values()]
        return min((until - monotonic for until in untils if until > monotonic), default=float("inf"))

    def outcomes(self, places: Iterable[Place], monotonic: float) -> Outcomes:
        """What earlier writes mean for these places now."""
        places = tuple(places)
        waits = {place: why for place in places if (why := self.left_alone(place, monotonic))}
        failing = {
            place: one.why
            for place in places
            if (one := self.backoffs.get(place)) is not None and one.failed >= TELL_AFTER
        }
        unknown = frozenset(one.place for one in self.unknown.values())
        for end in self.unknown.values():
            if end.place in places and monotonic >= end.since + TELL_UNKNOWN_AFTER:
                failing[end.place] = "what became of it cannot be read"
        started = None if self.started is None else frozenset(self.started)
        unheld = {uid: one.message for uid, one in self.unheld.items() if monotonic < one.until}
        return Outcomes(
            waits, failing, unknown, dict(self.tried), dict(self.since), started, tuple(self.gone), unheld
        )

    def try_now(self, change: Change, now: datetime) -> None:
        """The change has its turn: whatever becomes of it, others come first afterwards."""
        self.since[change.object.key] = now
        if self.started is not None and change.paced:
            self.started[change.object.uid, change.revision] = now
        if change.paced and not change.urgent:
            self.tried[change.object.namespace] = now

    def keep_failures(self, failed: Iterable[Failure], there: Callable[[ObjectRef], bool]) -> None:
        """Remember these, and of the earlier ones those whose objects are gone."""
        now = tuple(dict.fromkeys(failed))
        known = [one for one in (*self.gone, *self.failures) if not there(one.object)]
        self.gone = tuple(dict.fromkeys(known))[-MAX_FAILURES:]
        self.failures = now

    def take_over(self, running: Iterable[Decision], leads: bool, now: datetime) -> None:
        """Whoever begins to lead waits for the rollouts that it finds; whoever leads, for its own.

        A write of the leader before may still commit after it has ended: so what is found for a while counts as well.
        """
        seen = {(one.object.uid, one.rollout.revision) for one in running}
        if not leads:
            self.started = None
            return
        fresh = timedelta(seconds=UNKNOWN_FOR)
        if self.started is None:
            self.started, self.leads_since = {}, now
        if now - self.leads_since < fresh:
            self.started |= {one: now for one in seen if one not in self.started}
        self.started = {one: at for one, at in self.started.items() if one in seen or now - at < fresh}

    def keep_waiting(self, places: Collection[Place], now: datetime) -> None:
        """Only these places have a change that waits; who is new among them waits from now on."""
        self.since = {place: self.since.get(place, now) for place in places}
        namespaces = {namespace for _, namespace, _ in places}
        day = timedelta(days=1)
        self.tried = {one: at for one, at in self.tried.items() if one in namespaces or now - at < day}

    def left_alone(self, place: Place, monotonic: float) -> str:
        """Why the object is not written now, from what became of earlier writes; "" where it may be."""
        kind, namespace, _ = place
        if any(one.place == place for one in self.unknown.values()):
            why = self.backoffs[place].why if place in self.backoffs else ""
            return f"waits to learn what became of its last write{f': {why}' if why else ''}"
        lost = self.lost_rights.get((namespace, kind))
        if lost is not None and monotonic < lost.until:
            return f"the operator lacks a right: {plain(lost.message)}"
        backoff = self.backoffs.get(place)
        if backoff is not None and monotonic < backoff.until:
            return (
                f"the last write failed: {backoff.why}"
                if backoff.failed
                else backoff.why or "tried again soon"
            )
        return ""

    def waits(self, place: Place, monotonic: float) -> bool:
        """True while the object is left alone after a failure, its own or one of its kind in the whole namespace."""
        return bool(self.left_alone(place, monotonic))


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
