"""Says what passes found and did: status, Events, metrics, and the durable records behind them. Used by reconcile."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from resilience_operator.core.kinds import NAMESPACE
from resilience_operator.core.plain import named
from resilience_operator.core.refs import Key
from resilience_operator.engine import records
from resilience_operator.engine import status as report
from resilience_operator.engine.change import Decision
from resilience_operator.engine.queue import Schedule
from resilience_operator.engine.tally import Tally
from resilience_operator.engine.wording import sentence
from resilience_operator.policy.policy import Policy
from resilience_operator.run import events as announce
from resilience_operator.run.apply import Done, Report
from resilience_operator.run.containment import contained
from resilience_operator.run.decisions import Decided, Known
from resilience_operator.run.memory import Memory
from resilience_operator.run.services import Services
from resilience_operator.targets import CATALOG
from resilience_operator.targets.workloads.mass_restarts import TooMany

log = logging.getLogger(__name__)

SUMMARY_EVERY = 30.0
"""Seconds between two summary Events of one policy."""

UNTOLD_FOR = timedelta(minutes=10)
"""How far back a new leader looks for writes of which the last one may have told nobody."""

EPISODE = 60.0
"""Seconds without too many restarts at once, after which more are told of anew."""

STATUS_EVERY = 0.5
"""Seconds between two statuses that are built while much is going on."""


class Teller:
    """Keeps what must outlive one pass to be told well: since when, what was done, what was told."""

    def __init__(self, services: Services, memory: Memory) -> None:
        self._services = services
        self._memory = memory
        self._since: dict[records.SinceKey, str] = {}
        self._learned: dict[records.SinceKey, str] = {}
        self._tallies: dict[str, Tally] = {}
        self._records: dict[str, list[records.Record]] = {}
        self._summaries: dict[str, tuple[float, str]] = {}
        self._warned: dict[str, frozenset[str]] = {}
        self._built = float("-inf")
        self._untold = False
        self._told: object = None
        self._restarting = float("-inf")
        self._led_at: datetime | None = None
        self._leads = False

    def learn(self, policy: Policy, status: Mapping[str, Any]) -> None:
        """Take over what a stored status remembers: this replica may be new."""
        others = {key: since for key, since in self._learned.items() if key[0] != policy.name}
        learned = records.since_of(policy.name, status)
        self._learned = others | learned
        for key in learned.keys() & self._since.keys():
            self._since[key] = min(self._since[key], learned[key])
        stored = records.believable(status.get("remediations") or (), self._services.now())
        self._records[policy.uid] = records.add(self._records.get(policy.uid, []), stored)
        self._warned.setdefault(policy.uid, frozenset(announce.troubles(status)))

    def forget(self, policy: Policy) -> None:
        """The policy is gone."""
        self._records.pop(policy.uid, None)
        self._summaries.pop(policy.uid, None)
        self._warned.pop(policy.uid, None)
        self._services.metrics.forget(policy.name)
        self._services.status.forget(policy.uid)

    def transitions(
        self,
        before: Mapping[Key, Decision | None],
        cluster: Decided,
        plan: Schedule,
    ) -> None:
        """Tell of what changed about each evaluated object; only the leader speaks."""
        self._untold = self._untold or bool(before)
        for key, earlier in before.items():
            with self._about(key):
                self._count(earlier, cluster.get(key))
                self._remember_applies(key, cluster)
        policies = cluster.by_name()
        if not self._speaks(cluster):
            return
        for key, earlier in before.items():
            decision = cluster.get(key)
            if decision is None:
                continue
            with self._about(key):
                generation = self._services.store.generation(key)
                for notice in announce.transitions(earlier, decision, plan, policies, generation):
                    self._services.recorder.notify(notice)

    @contextmanager
    def _about(self, key: Key) -> Iterator[None]:
        """An error of our own about one object keeps no other from being told of."""
        try:
            yield
        except Exception as error:
            log.exception("what changed about %s cannot be told", "/".join(key))
            self._memory.broken[key] = named(error)

    def _speaks(self, cluster: Decided) -> bool:
        """True while this replica leads; as it begins to, it tells what the last leader may not have told."""
        leads, now = self._services.lease.may_write(), self._services.now()
        if leads and not self._leads:
            since = max(now - UNTOLD_FOR, self._led_at or now - UNTOLD_FOR)
            policies = cluster.by_uid()
            for decision in cluster:
                with self._about(decision.key):
                    for notice in announce.applied_since(decision, policies, since):
                        self._services.recorder.notify(notice)
        self._leads, self._led_at = leads, now if leads else self._led_at
        return leads

    def restarts(self, found: TooMany | None, cluster: Decided) -> None:
        """One Event on each policy as others begin to restart too much at once; to go on with it is no news."""
        monotonic = self._services.monotonic()
        news = monotonic - self._restarting > EPISODE
        if found is None or not self._leads:
            return
        self._restarting = monotonic
        for policy in cluster.accepted() if news else ():
            self._services.recorder.notify(announce.mass_restart(policy, found.sentence, found.began))

    def done(self, reports: Sequence[Report]) -> None:
        """Record and tell what became of the changes of this pass."""
        for one in reports:
            if one.done in (Done.AGAIN, Done.UNDERWAY):
                continue
            failed = one.done in (Done.REFUSED, Done.FAILED)
            result = str(one.done if failed else one.change.result)
            for policy, rule, paths in one.change.parts():
                said = one.message if failed else announce.told(one, rule, paths)
                new = records.record(one.change, policy, rule, one.at, sentence(said), result)
                self._records[policy.uid] = records.add(self._records.get(policy.uid, []), [new])
                self._services.metrics.remediated(policy.name, rule, result)
            for notice in announce.outcomes(one, one.change.number):
                self._services.recorder.notify(notice)

    async def tell(
        self,
        cluster: Decided,
        plan: Schedule | None,
        troubles: tuple[str, ...],
        now: datetime,
        undecided: frozenset[Key] = frozenset(),
    ) -> None:
        """Hand every policy's status over for writing; nothing before the first plan, not more often than pays.

        A policy that came or changed while the pass was under way is told of after the next one.
        `troubles`: what the operator itself lacks, as sentences. `undecided`: objects about which nothing is known.
        """
        monotonic, judged = self._services.monotonic(), cluster.judged()
        around = report.Known(
            degraded=troubles,
            active=cluster.active,
            undecided=undecided,
            unguarded=self._services.unguarded(),
            paused=self._services.paused_by(),
            rights=self._memory.rights(),
            served_by=self._services.settings.namespace,
        )
        namespaces = self._services.store.count(NAMESPACE)
        seen = (namespaces, troubles, undecided, around.unguarded, around.paused, around.rights)
        news = (tuple(judged), plan, seen, self._services.lease.may_write())
        self._untold = self._untold or news != self._told
        if not news[-1]:
            self._services.metrics.forget_policies()
        if plan is None or not news[-1] or not self._untold or monotonic < self._built + STATUS_EVERY:
            return
        self._built, self._untold, self._told = monotonic, False, news
        labels = {one.metadata.name: one.metadata.labels for one in self._services.store.objects(NAMESPACE)}
        around = replace(around, namespaces=labels)
        for known in judged:
            with contained(f"telling the status of policy {known.policy.name}", self._memory):
                await self._tell_policy(known, plan, around)

    async def _tell_policy(self, known: Known, plan: Schedule, around: report.Known) -> None:
        policy = known.policy
        tally = self._tallies.get(policy.name) or _tally(policy.name)
        remembered = self._records.get(policy.uid, [])
        beside = replace(around, since=self._since, remediations=remembered)
        status = report.status(policy, known.problems, tally, plan, beside)
        await self._services.status.write(policy.ref, status)
        self._measure(policy, status, tally)
        self._warn(policy, status)
        self._summarise(policy, status)

    def _measure(self, policy: Policy, status: Mapping[str, Any], tally: Tally) -> None:
        metrics, conditions = self._services.metrics, status["conditions"]
        metrics.findings(policy.name, +tally.findings)
        said = {one["type"]: one["status"] for one in conditions}
        mode = status["summary"]["mode"]
        metrics.policy(policy.name, mode, suspended=policy.suspend, conditions=said)

    def _warn(self, policy: Policy, status: Mapping[str, Any]) -> None:
        """One Event on the policy for each trouble that begins, and one when the last has ended."""
        troubles = announce.troubles(status)
        told = self._warned.get(policy.uid, frozenset())
        for reason in sorted(troubles.keys() - told):
            self._services.recorder.notify(announce.about_policy(policy, reason, troubles[reason]))
        if told and not troubles:
            self._services.recorder.notify(
                announce.about_policy(policy, "Recovered", f"recovered: {_ready(status)['message']}")
            )
        self._warned[policy.uid] = frozenset(troubles)

    def untold_for(self) -> float:
        """Seconds until what the last pass found may be told; infinite where it was."""
        if not self._untold:
            return float("inf")
        return max(0.0, self._built + STATUS_EVERY - self._services.monotonic())

    def _count(self, earlier: Decision | None, decision: Decision | None) -> None:
        """Take a decision in place of the earlier one about the same object."""
        if earlier is not None:
            for tally in self._tallies_of(earlier):
                tally.remove(earlier)
        if decision is not None:
            for tally in self._tallies_of(decision):
                tally.add(decision)
        before, now = records.since_keys(earlier), records.since_keys(decision)
        for gone in before - now:
            self._since.pop(gone, None)
        began = records.stamp(self._services.now())
        for new in now - before:
            self._since[new] = min(began, self._learned.get(new, began))

    def _tallies_of(self, decision: Decision) -> list[Tally]:
        names = (*decision.evaluated, *decision.ignored)
        return [self._tallies.setdefault(name, _tally(name)) for name in names]

    def _remember_applies(self, key: Key, cluster: Decided) -> None:
        """Records of writes that an object remembers, and status does not: whoever wrote them ended too soon."""
        decision = cluster.get(key)
        applied = [decision] if decision is not None and decision.state.applies else []
        for known in cluster.policies.values() if applied else ():
            remembered = self._records.get(known.policy.uid, [])
            held = {records.identity(one) for one in remembered}
            rebuilt = records.rebuilt(applied, known.policy)
            missing = [one for one in rebuilt if records.identity(one) not in held]
            if missing:
                self._records[known.policy.uid] = records.add(remembered, missing)

    def _summarise(self, policy: Policy, status: Mapping[str, Any]) -> None:
        """One Event on the policy when its drift changes, at most every SUMMARY_EVERY seconds.

        What is being repaired is not warned of.
        """
        (compliant,) = (one for one in status["conditions"] if one["type"] == "Compliant")
        told_at, told = self._summaries.get(policy.uid, (float("-inf"), ""))
        monotonic = self._services.monotonic()
        if compliant["status"] == "Unknown" or compliant["message"] == told:
            return
        if monotonic - told_at < SUMMARY_EVERY:
            self._untold = True
            return
        drifts = compliant["status"] == "False"
        self._summaries[policy.uid] = (monotonic if drifts or told else told_at, compliant["message"])
        if drifts or told:
            self._services.recorder.notify(
                announce.summary(policy, status, compliant["message"], drifts=drifts)
            )


def _ready(status: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(one for one in status["conditions"] if one["type"] == "Ready")


def _tally(policy: str) -> Tally:
    return Tally(policy, CATALOG.section_of)
