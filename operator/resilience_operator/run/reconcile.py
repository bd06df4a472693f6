"""One pass: the only place where the verbs meet. Observe, evaluate, plan, apply, tell. Run by serving.

State beats events: an event only says which objects to look at again. A pass decides everything from what is
observed, and writes only while this replica leads, every stream is fresh and nobody pressed pause.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from resilience_operator.api.status import FINALIZER
from resilience_operator.core.kinds import DEPLOYMENT
from resilience_operator.core.plain import named, plain
from resilience_operator.core.refs import Key, ObjectRef, key_of
from resilience_operator.engine.change import Change, Decision, Verb
from resilience_operator.engine.contest import Patience
from resilience_operator.engine.decide import Surroundings
from resilience_operator.engine.failures import failures_of
from resilience_operator.engine.queue import OperatorLimits, Schedule, schedule
from resilience_operator.outside.updates import AddonUpdates
from resilience_operator.policy.policy import Policy
from resilience_operator.run import heap
from resilience_operator.run.apply import Done, Report, carry_out
from resilience_operator.run.containment import contained
from resilience_operator.run.decisions import Decided, Known, served_by
from resilience_operator.run.finalizers import Finalizers
from resilience_operator.run.last_writes import Reminders
from resilience_operator.run.memory import FAILED_PASSES, Memory
from resilience_operator.run.outcomes import Aftermath
from resilience_operator.run.reporter import Teller
from resilience_operator.run.services import Services
from resilience_operator.targets import judge, parse
from resilience_operator.targets.coredns import addon_state as addons
from resilience_operator.targets.coredns.texts import COREDNS_FLOOR
from resilience_operator.targets.workloads.events import too_many_restarts
from resilience_operator.targets.workloads.mass_restarts import TooMany

log = logging.getLogger(__name__)

DEBOUNCE = 0.01
"""Seconds that a pass waits for more events of the same moment."""

BUSY_POLL = 1.0
"""Seconds between passes while rollouts run: soaks and deadlines end by time alone."""

CHUNK = 200
"""Evaluations between two looks at the event loop, so that streams and the Lease are served."""

WRITERS = 32
"""Writes that may be on their way at once: as many still end after a stop."""

LONGEST_PAUSE = 60.0
"""Seconds after a pass that failed, at most."""

WHOLE = "a pass"


class Reconciler:
    """Runs passes for ever; every method belongs to one event loop."""

    def __init__(self, services: Services) -> None:
        self._services = services
        settings = services.settings
        self._cluster = Decided()
        self._memory = Memory()
        self._finalizers = Finalizers(services, self._cluster, self._memory)
        window = timedelta(seconds=settings.contest_window)
        self._aftermath = Aftermath(services, self._cluster, self._memory, window)
        self._reminders = Reminders()
        self._teller = Teller(services, self._memory)
        self._addon = AddonUpdates(services, self._addon_ended)
        self._wake = asyncio.Event()
        self._patience = Patience(
            timedelta(seconds=settings.contest_window), timedelta(seconds=settings.contest_backoff)
        )
        self._last_full = float("-inf")
        self._last_plan: Schedule | None = None
        self._stopped = Schedule()
        self._restarts: TooMany | None = None
        self._writers = asyncio.Semaphore(WRITERS)
        services.store.wake_with(self.wake)

    def wake(self) -> None:
        """Something may have changed."""
        self._wake.set()

    def policy_changed(self, raw: dict[str, Any], deleted: bool) -> None:
        """A policy was added, changed or deleted, as the API server has it."""
        name, uid = raw["metadata"]["name"], raw["metadata"]["uid"]
        if deleted:
            known = self._cluster.policies.get(name)
            if known is not None and known.policy.uid == uid:
                del self._cluster.policies[name]
                self._teller.forget(known.policy)
                self._cluster.everything = True
        elif self._take(raw):
            self._cluster.everything = True
        self.wake()

    def policies_replaced(self, raws: list[dict[str, Any]]) -> None:
        """All policies there are: what is not among them is gone."""
        names = {raw["metadata"]["name"] for raw in raws}
        for name in [name for name in self._cluster.policies if name not in names]:
            self._teller.forget(self._cluster.policies.pop(name).policy)
            self._cluster.everything = True
        for raw in raws:
            if self._take(raw):
                self._cluster.everything = True
        self.wake()

    def policies_outside(self, raws: list[dict[str, Any]]) -> None:
        """Policies that are there, and not ours to serve: what we served before is let go of."""
        if self._finalizers.leave(raws):
            self.wake()

    async def run(self) -> None:
        """Pass after pass, for ever: one for each burst of events, and whenever time alone may change something."""
        wait = 0.0
        try:
            while True:
                # Not wait_for: on Python 3.11 it may swallow a cancellation that comes together with the event.
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._wake.wait()
                    await asyncio.sleep(DEBOUNCE)
                self._wake.clear()
                wait = await self.guarded_pass()
        finally:
            self._addon.stop()
            self._aftermath.stop()

    def broken(self) -> tuple[str, ...]:
        """Why this process had better be started anew, as a sentence; empty where it need not."""
        failed = self._memory.failed_passes
        if failed < FAILED_PASSES:
            return ()
        return (f"{failed} passes in a row failed: {self._memory.faults.get(WHOLE, '')}",)

    async def guarded_pass(self) -> float:
        """A pass; one that ends by an error of our own is told of, and tried again after a growing pause."""
        memory = self._memory
        try:
            wait = await self.one_pass()
        except Exception as error:
            log.exception("a pass failed; the next one begins anew")
            memory.failed_passes += 1
            memory.faults[WHOLE] = named(error)
            self._services.metrics.pass_failed()
            self._cluster.everything = True
            with contained("status", memory):
                await self._tell(self._last_plan or Schedule(), memory.troubles(()), self._services.now())
            return float(min(BUSY_POLL * 2 ** min(memory.failed_passes, 10), LONGEST_PAUSE))
        if memory.faults.pop(WHOLE, None) is not None:
            self._wake.set()  # The status still says so.
        memory.failed_passes = 0
        return wait

    async def one_pass(self) -> float:
        """Evaluate what changed, plan, write, tell; returns the seconds until time alone may change the answer."""
        services = self._services
        now = services.now()
        stale = services.fresh()
        if stale:
            await self._tell(self._last_plan, self._memory.troubles(stale), now)
            return BUSY_POLL
        with contained("reading what became of writes", self._memory):
            await self._aftermath.learn_unknown_ends()
        changed = await self._evaluate(now)
        if services.addons is not None:
            services.addons.want(services.lease.may_write() and self._addon_wanted())
        plan = self._last_plan = self._plan(now)
        services.metrics.waiting(plan.gates)
        before = self._stopped
        if (plan.stopped, plan.stopped_in) != (before.stopped, before.stopped_in):
            # Their rules are left out of every decision from the next pass on.
            self._stopped, self._cluster.everything = plan, True
        with contained("telling of changes", self._memory):
            self._teller.transitions(changed, self._cluster, plan)
            self._teller.restarts(self._restarts, self._cluster)
        if services.lease.may_write():
            await self._finalizers.hold_owed()
            plan = self._last_plan = await self._carry_out(plan, now)
            for notice in (*await self._finalizers.let_go(plan), *await self._finalizers.let_leave()):
                services.recorder.notify(notice)
        else:  # What keeps the Lease from being renewed may be what the write ends.
            unfenced = tuple(one for one in plan.now if one.needs_no_lease)
            await self._carry_out(replace(plan, now=unfenced), now)
        await self._tell(plan, self._memory.troubles(()), now)
        services.metrics.passed(services.now().timestamp())
        return self._seconds_until_due(plan, services.now())

    async def _tell(self, plan: Schedule | None, troubles: tuple[str, ...], now: datetime) -> None:
        undecided = frozenset(self._memory.broken)
        with contained("telling of policies", self._memory):
            await self._teller.tell(self._cluster, plan, troubles, now, undecided)

    def _take(self, raw: dict[str, Any]) -> bool:
        """Parse a policy; True where it is another one than before."""
        policy, problems = parse(raw)
        before = self._cluster.policies.get(policy.name)
        self._cluster.policies[policy.name] = Known(policy, problems)
        if (
            before is not None
            and FINALIZER in before.policy.finalizers
            and FINALIZER not in policy.finalizers
        ):
            self._memory.held.discard(policy.uid)  # somebody took it off
        self._services.status.seen(raw)
        self._teller.learn(policy, raw.get("status") or {})
        return before is None or before.policy != policy

    async def _evaluate(self, now: datetime) -> dict[Key, Decision | None]:
        """Evaluate every dirty object; returns key -> the earlier decision of each about which it changed."""
        services, cluster = self._services, self._cluster
        with contained("looking at what changed", self._memory) as looked:
            keys = services.store.take_dirty() | cluster.due | cluster.woken(now)
        if looked.failed:  # What was taken is lost: everything may have changed.
            cluster.everything, keys = True, set()
        full = cluster.everything or services.monotonic() - self._last_full > services.settings.resync
        if full:
            keys = set(services.store.subjects()) | set(cluster.keys())
            self._last_full = services.monotonic()
            cluster.judging()
        cluster.everything, cluster.due = False, set()
        accepted, directory, before = cluster.accepted(), cluster.by_uid(), {}
        around = Surroundings(directory, self._patience, behind=self._memory.behind())
        started = services.monotonic()
        services.metrics.queue_depth(len(keys))
        for number, key in enumerate(sorted(keys), start=1):
            earlier = cluster.get(key)
            if self._try_one(key, now, accepted, around):
                before[key] = earlier
            if number % CHUNK == 0:
                await asyncio.sleep(0)
        if full:
            heap.settle()
        if keys:
            services.metrics.evaluated((services.monotonic() - started) / len(keys))
            services.metrics.queue_depth(0)
        return before

    def _try_one(self, key: Key, now: datetime, accepted: tuple[Policy, ...], around: Surroundings) -> bool:
        """Evaluate an object; True where the decision is another one than before.

        An error of our own about it is told, and keeps no other from being evaluated.
        """
        earlier = self._cluster.get(key)
        self._memory.broken.pop(key, None)
        try:
            self._evaluate_one(key, now, accepted, around)
            return self._cluster.get(key) != earlier
        except Exception as error:
            log.exception("nothing can be decided about %s", "/".join(key), extra={"object": "/".join(key)})
            self._memory.broken[key] = named(error)
            self._cluster.put(key, None)
            return earlier is not None

    def _evaluate_one(
        self, key: Key, now: datetime, accepted: tuple[Policy, ...], around: Surroundings
    ) -> None:
        services = self._services
        view = services.store.look(key, now, services.server_version)
        decision = None
        if view is not None:
            view = self._reminders.remind(view)
            refused = self._memory.refused(view, accepted)
            around = replace(around, refused=refused, stopped=self._stopped.stopped_for(key[0]))
            decision = judge(view, accepted, around, services.settings.namespace)
        self._cluster.put(key, decision)

    def _addon_wanted(self) -> bool:
        """True where a policy asks for the floor of a cluster DNS that an EKS add-on keeps, or still holds it."""
        found, policies = self._services.store.get(DEPLOYMENT, *addons.PLACE), self._cluster.by_uid()
        decision = self._cluster.get(addons.PLACE)
        asked = decision is not None and any(rule == COREDNS_FLOOR for _, rule in decision.asked)
        held = served_by(self._cluster.get(addons.KEY)) & policies.keys()
        return found is not None and ((asked and addons.managed(found)) or bool(held))

    def _plan(self, now: datetime) -> Schedule:
        services = self._services
        active = self._cluster.active
        places = {change.object.key for one in active for change in one.changes}
        running = [decision for decision in active if decision.rollout.running]
        self._memory.take_over(running, services.lease.may_write(), now)
        self._memory.keep_waiting(places, now)
        self._memory.keep_policies(self._cluster.by_uid())
        self._memory.keep_rights({(namespace, kind) for kind, namespace, _ in places})
        services.metrics.rollouts_in_flight(len(running))
        policies = self._cluster.by_uid()
        self._memory.keep_failures(failures_of(active, policies), self._there)
        return self._schedule(now)

    def _schedule(self, now: datetime) -> Schedule:
        """Which of the proposed changes go now, and which wait for what."""
        services, cluster = self._services, self._cluster
        paused = services.paused_by()
        halted, guarded = paused or services.unguarded(), services.guarded() if not paused else frozenset()
        settings = services.settings
        restarts = self._restarts = too_many_restarts(services.store, settings.max_restarting_percent)
        restarting = restarts.sentence if restarts is not None else ""
        limits = OperatorLimits(
            settings.max_rollouts, settings.max_unhealthy_percent, halted, restarting, guarded
        )
        places = {change.object.key for one in cluster.active for change in one.changes}
        outcomes = self._memory.outcomes(places, services.monotonic())
        return schedule(cluster.active, cluster.by_uid(), limits, now, cluster.health, outcomes)

    def _there(self, ref: ObjectRef) -> bool:
        """True while that very object is known."""
        found = self._services.store.get(DEPLOYMENT, ref.namespace, ref.name)
        return ref.kind != "Deployment" or (found is not None and found.metadata.uid == ref.uid)

    async def _carry_out(self, plan: Schedule, now: datetime) -> Schedule:
        """Send what may go; returns the plan with what it now waits for."""
        for change in plan.now:
            self._memory.try_now(change, now)
        going = [
            change for change in plan.now if change.needs_no_lease or await self._finalizers.hold(change)
        ]
        outside = [change for change in going if change.object.kind == addons.KIND]
        going = [change for change in going if change not in outside]
        for change in outside:  # AWS takes its time, and nothing else waits for it.
            if not self._overtaken(change):
                self._addon.start(change, now)
        reports = await asyncio.gather(*(self._one(change, now) for change in going))
        unsent = [report for report in reports if report.unsent]
        if unsent:
            log.info("%d of %d changes are not sent: %s", len(unsent), len(reports), unsent[0].message)
        for report in reports:
            try:
                if report.done is Done.DONE and report.change.needs_no_lease:
                    self._finalizers.owe(report.change)
                self._take_in(report)
            except Exception as error:
                log.exception(
                    "what became of a write to %s cannot be told",
                    report.change.object,
                    extra=report.change.about,
                )
                key = key_of(report.change.subject)
                self._memory.broken[key] = named(error)
                self._cluster.due.add(key)
        with contained("asking Argo CD to look", self._memory):
            await self._aftermath.show(reports)
        return self._with_outcomes(plan, reports, now)

    def _take_in(self, report: Report) -> None:
        """Remember what became of a change before anything of it is told: that may fail."""
        self._aftermath.settle(report)
        self._reminders.learn(report)
        told = self._aftermath.told(report)
        if told is not None:
            self._teller.done([told])

    def _with_outcomes(self, plan: Schedule, reports: Sequence[Report], now: datetime) -> Schedule:
        """The plan with what is waited for from now on: nobody waits for a rollout that could not begin."""
        failed = any(report.done in (Done.AGAIN, Done.REFUSED) for report in reports)
        known = replace(self._schedule(now), now=plan.now) if failed else plan
        every = [change for one in self._cluster.active for change in one.changes]
        outcomes = self._memory.outcomes({one.object.key for one in every}, self._services.monotonic())
        waiting = {**known.waiting, **outcomes.waits_of(every)}
        return replace(known, waiting=waiting, failing={**known.failing, **outcomes.failing_of(every)})

    def _addon_ended(self, report: Report) -> None:
        change = report.change
        if report.done is Done.REFUSED and change.verb is Verb.APPLY:
            self._aftermath.refuse(report, dict.fromkeys(change.rules, report.message))
        with contained("what became of the EKS add-on's change", self._memory):
            self._take_in(report)
        self.wake()

    def _overtaken(self, change: Change) -> str:
        """Why a change is not to be sent any more: a pass may last for minutes, and a stop is meant at once."""
        services, proved = self._services, change.object.kind in self._services.guarded()
        unguarded = "" if change.needs_no_lease and proved else services.unguarded()
        return services.paused_by() or unguarded or self._cluster.overtaken(change.policies)

    async def _one(self, change: Change, now: datetime) -> Report:
        async with self._writers:
            overtaken = self._overtaken(change)
            if overtaken:
                return Report(change, Done.AGAIN, now, overtaken, unsent=True)
            log.info(
                "%s %s: %s", change.verb.lower(), change.object, plain(change.reason), extra=change.about
            )
            try:
                report = await carry_out(self._services.writer, change, now)
                if report.done is Done.REFUSED and change.verb is Verb.APPLY:
                    await self._aftermath.find_refused_rules(report)
            except Exception as error:
                log.exception(
                    "%s %s ended by an error", change.verb.lower(), change.object, extra=change.about
                )
                return Report(change, Done.AGAIN, now, named(error), retry_after=1.0, unknown=True)
            return report

    def _seconds_until_due(self, plan: Schedule, now: datetime) -> float:
        if self._cluster.due or self._cluster.everything:
            return 0.0
        if (
            plan.now
            or self._memory.unknown
            or any(decision.rollout.running for decision in self._cluster.active)
        ):
            soon = self._memory.next_try(self._services.monotonic())
            return max(0.01, min(BUSY_POLL, soon))
        if plan.failing:
            return BUSY_POLL
        wakes = [self._cluster.next_wake(), plan.wake_at]
        waits = [(at - now).total_seconds() for at in wakes if at is not None]
        waits += [self._teller.untold_for(), self._services.settings.resync]
        return max(0.05, min(waits))
