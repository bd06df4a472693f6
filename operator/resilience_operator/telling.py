"""Says what passes found and did: status, Events, metrics, and the durable records behind them. Used by reconcile."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from resilience_operator import announce
from resilience_operator.adapters.services import Services
from resilience_operator.apply import Done, Report
from resilience_operator.core.policy import Policy
from resilience_operator.decided import Decided
from resilience_operator.planning import records, report
from resilience_operator.planning.change import Decision
from resilience_operator.planning.queue import Schedule

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
        self._records: dict[str, list[records.Record]] = {}
        self._summaries: dict[str, tuple[float, str]] = {}
        self._built = float("-inf")
        self._untold = False
        self._told: object = None
        self._led_at: datetime | None = None
        self._leads = False

    def learn(self, policy: Policy, status: Mapping[str, Any]) -> None:
        """Take over what a stored status remembers: this replica may be new."""
        for key, since in records.since_of(policy.name, status).items():
            self._since.setdefault(key, since)
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
        before: Mapping[tuple[str, str], Decision | None],
        cluster: Decided,
        plan: Schedule,
    ) -> None:
        """Tell of what changed about each evaluated object; only the leader speaks."""
        self._untold = self._untold or bool(before)
        policies = cluster.by_name()
        if not self._speaks(cluster):
            return
        for key, earlier in before.items():
            decision = cluster.get(key)
            if decision is None:
                continue
            generation = self._generation(decision)
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
            if one.done is Done.AGAIN:
                continue
            result = "Refused" if one.done is Done.REFUSED else str(one.change.result)
            for policy in one.change.policies:
                new = [
                    records.record(one.change, policy, rule, one.at, one.message, result)
                    for rule in one.change.rules
                ]
                self._records[policy.uid] = records.add(self._records.get(policy.uid, []), new)
                for rule in one.change.rules:
                    self._services.metrics.remediated(policy.name, rule, result)
            for notice in announce.outcomes(one, one.change.revision):
                self._services.recorder.notify(notice)

    async def tell(
        self, cluster: Decided, plan: Schedule | None, troubles: tuple[str, ...], now: datetime
    ) -> None:
        """Hand every policy's status over for writing; nothing before the first plan, not more often than pays.

        `troubles`: what the operator itself lacks, as sentences.
        """
        monotonic = self._services.monotonic()
        news = (tuple(cluster.policies.values()), plan, troubles, self._services.lease.may_write())
        self._untold = self._untold or news != self._told
        if plan is None or not news[-1] or not self._untold or monotonic < self._built + STATUS_EVERY:
            return
        self._built, self._untold, self._told = monotonic, False, news
        decisions = list(cluster)
        self._since = records.keep_since(self._since, decisions, now)
        for known in cluster.policies.values():
            policy = known.policy
            beside = report.Known(self._since, self._remediations(policy, decisions), troubles)
            status = report.status(policy, known.problems, decisions, plan, beside)
            await self._services.status.write(policy.ref, status)
            self._count(policy, decisions)
            self._summarise(policy, status)

    def untold_for(self) -> float:
        """Seconds until what the last pass found may be told; infinite where it was."""
        if not self._untold:
            return float("inf")
        return max(0.0, self._built + STATUS_EVERY - self._services.monotonic())

    def _remediations(self, policy: Policy, decisions: Sequence[Decision]) -> list[records.Record]:
        known = self._records.get(policy.uid, [])
        held = {records.identity(one) for one in known}
        missing = [one for one in records.rebuilt(decisions, policy) if records.identity(one) not in held]
        if missing:
            known = records.add(known, missing)
            self._records[policy.uid] = known
        return known

    def _count(self, policy: Policy, decisions: Sequence[Decision]) -> None:
        counts: Counter[tuple[str, str]] = Counter()
        for decision in decisions:
            counts.update((judged.finding.rule, str(judged.state)) for judged in decision.of(policy.name))
        self._services.metrics.findings(policy.name, counts)

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

    def _generation(self, decision: Decision) -> int:
        found = self._services.store.deployment(*decision.key)
        return found.metadata.generation if found is not None else 0
