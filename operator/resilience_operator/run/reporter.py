"""Says what passes found and did: status, Events, metrics, and the durable records behind them. Used by reconcile."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from resilience_operator.core.refs import Key
from resilience_operator.engine import records
from resilience_operator.engine import status as report
from resilience_operator.engine.change import Decision
from resilience_operator.engine.queue import Schedule
from resilience_operator.engine.tally import Tally
from resilience_operator.policy.policy import Policy
from resilience_operator.run import events as announce
from resilience_operator.run.apply import Done, Report
from resilience_operator.run.decisions import Decided
from resilience_operator.run.services import Services
from resilience_operator.targets import CATALOG

SUMMARY_EVERY = 30.0
"""Seconds between two summary Events of one policy."""

UNTOLD_FOR = timedelta(minutes=10)
"""How far back a new leader looks for writes of which the last one may have told nobody."""

STATUS_EVERY = 0.5
"""Seconds between two statuses that are built while much is going on."""


class Teller:
    """Keeps what must outlive one pass to be told well: since when, what was done, what was told."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._since: dict[records.SinceKey, str] = {}
        self._learned: dict[records.SinceKey, str] = {}
        self._tallies: dict[str, Tally] = {}
        self._records: dict[str, list[records.Record]] = {}
        self._summaries: dict[str, tuple[float, str]] = {}
        self._built = float("-inf")
        self._untold = False
        self._told: object = None
        self._led_at: datetime | None = None
        self._leads = False

    def learn(self, policy: Policy, status: Mapping[str, Any]) -> None:
        """Take over what a stored status remembers: this replica may be new."""
        others = {key: since for key, since in self._learned.items() if key[0] != policy.name}
        learned = records.since_of(policy.name, status)
        self._learned = others | learned
        for key in learned.keys() & self._since.keys():
            self._since[key] = min(self._since[key], learned[key])
        stored = status.get("remediations", [])
        self._records[policy.uid] = records.add(self._records.get(policy.uid, []), stored)

    def forget(self, policy: Policy) -> None:
        """The policy is gone."""
        self._records.pop(policy.uid, None)
        self._summaries.pop(policy.uid, None)
        self._services.metrics.findings(policy.name, {})
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
            self._count(earlier, cluster.get(key))
        self._remember_applies(before, cluster)
        policies = cluster.by_name()
        if not self._speaks(cluster):
            return
        for key, earlier in before.items():
            decision = cluster.get(key)
            if decision is None:
                continue
            generation = self._services.store.generation(key)
            for notice in announce.transitions(earlier, decision, plan, policies, generation):
                self._services.recorder.notify(notice)

    def _speaks(self, cluster: Decided) -> bool:
        """True while this replica leads; as it begins to, it tells what the last leader may not have told."""
        leads, now = self._services.lease.may_write(), self._services.now()
        if leads and not self._leads:
            since = max(now - UNTOLD_FOR, self._led_at or now - UNTOLD_FOR)
            policies = cluster.by_uid()
            for decision in cluster:
                for notice in announce.applied_since(decision, policies, since):
                    self._services.recorder.notify(notice)
        self._leads, self._led_at = leads, now if leads else self._led_at
        return leads

    def done(self, reports: Sequence[Report]) -> None:
        """Record and tell what became of the changes of this pass."""
        for one in reports:
            if one.done in (Done.AGAIN, Done.UNDERWAY):
                continue
            result = "Refused" if one.done is Done.REFUSED else str(one.change.result)
            for policy, rule, _ in one.change.parts():
                new = records.record(one.change, policy, rule, one.at, one.message, result)
                self._records[policy.uid] = records.add(self._records.get(policy.uid, []), [new])
                self._services.metrics.remediated(policy.name, rule, result)
            for notice in announce.outcomes(one, one.change.number):
                self._services.recorder.notify(notice)

    async def tell(
        self, cluster: Decided, plan: Schedule | None, troubles: tuple[str, ...], now: datetime
    ) -> None:
        """Hand every policy's status over for writing; nothing before the first plan, not more often than pays.

        A policy that came or changed while the pass was under way is told of after the next one.
        `troubles`: what the operator itself lacks, as sentences.
        """
        monotonic, judged = self._services.monotonic(), cluster.judged()
        news = (tuple(judged), plan, troubles, self._services.lease.may_write())
        self._untold = self._untold or news != self._told
        if plan is None or not news[-1] or not self._untold or monotonic < self._built + STATUS_EVERY:
            return
        self._built, self._untold, self._told = monotonic, False, news
        for known in judged:
            policy = known.policy
            tally = self._tallies.get(policy.name) or _tally(policy.name)
            beside = report.Known(self._since, self._records.get(policy.uid, []), troubles, cluster.active)
            status = report.status(policy, known.problems, tally, plan, beside)
            await self._services.status.write(policy.ref, status)
            self._services.metrics.findings(policy.name, +tally.findings)
            self._summarise(policy, status)

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

    def _remember_applies(self, keys: Iterable[Key], cluster: Decided) -> None:
        """Records of writes that an object remembers, and status does not: whoever wrote them ended too soon."""
        changed = [decision for key in keys if (decision := cluster.get(key)) is not None]
        applied = [decision for decision in changed if decision.state.applies]
        for known in cluster.policies.values() if applied else ():
            remembered = self._records.get(known.policy.uid, [])
            held = {records.identity(one) for one in remembered}
            rebuilt = records.rebuilt(applied, known.policy)
            missing = [one for one in rebuilt if records.identity(one) not in held]
            if missing:
                self._records[known.policy.uid] = records.add(remembered, missing)

    def _summarise(self, policy: Policy, status: Mapping[str, Any]) -> None:
        """One Event on the policy when its drift changes, at most every SUMMARY_EVERY seconds."""
        compliant = next(one for one in status["conditions"] if one["type"] == "Compliant")
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
            reason = "DriftDetected" if drifts else "DriftResolved"
            self._services.recorder.notify(announce.about_policy(policy, reason, compliant["message"]))


def _tally(policy: str) -> Tally:
    return Tally(policy, CATALOG.section_of)
