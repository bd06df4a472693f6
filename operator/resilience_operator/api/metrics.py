"""The operator's own metrics (prefix `resilience_`), served by api.health at /metrics, beside those of its process.

Filled by reconcile (policies, findings, remediations, queue), wiring (leader, pause, streams) and the session's
`on_request`. Labels are bounded: kinds, rules, states and policies, never the name of another object.
"""

import platform
from collections.abc import Callable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.registry import Collector

from resilience_operator import __version__

# Else every counter has a companion `_created`, which is not in the contract.
disable_created_metrics()  # type: ignore[no-untyped-call]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_STATUSES = ("True", "False", "Unknown")
_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)


class Metrics:
    """One registry per operator, so that two of them in one process do not meet."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._findings = Gauge(
            "resilience_findings",
            "Findings at present, by policy, rule and state.",
            ("policy", "rule", "state"),
            registry=self._registry,
        )
        self._remediations = Counter(
            "resilience_remediations",
            "Remediations by result: Applied, RolledBack, Reverted, Refused or Failed.",
            ("policy", "rule", "result"),
            registry=self._registry,
        )
        self._evaluation = Histogram(
            "resilience_evaluation_seconds",
            "Seconds that evaluating one object took, on average over a pass.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._watch_age = Gauge(
            "resilience_watch_age_seconds",
            "Seconds since a watch last heard of the API server, an event or a bookmark.",
            ("kind",),
            registry=self._registry,
        )
        self._watch_objects = Gauge(
            "resilience_watch_objects",
            "Objects of a kind that are known.",
            ("kind",),
            registry=self._registry,
        )
        self._waiting = Gauge(
            "resilience_changes_waiting",
            "Changes that do not go now, by the gate that holds them.",
            ("gate",),
            registry=self._registry,
        )
        self._queue_depth = self._gauge("resilience_queue_depth", "Objects that wait to be evaluated.")
        self._rollouts = self._gauge(
            "resilience_rollouts_in_flight", "Rollouts that the operator started, not complete."
        )
        self._leader = self._gauge("resilience_leader", "1 while this replica holds the Lease, else 0.")
        self._failed_passes = self._counter(
            "resilience_pass_failures", "Passes that ended by an error of ours."
        )
        self._guarded = self._gauge(
            "resilience_guarded",
            "1 while the API server is proved to guard what the operator writes, else 0.",
        )
        self._requests = Counter(
            "resilience_api_requests",
            "Requests to the API server by verb, resource and HTTP code (`error`: no answer).",
            ("verb", "resource", "code"),
            registry=self._registry,
        )
        self._events_dropped = self._counter(
            "resilience_events_dropped",
            "Events that were never sent: too many of one object, too many waiting, or refused.",
        )
        self._tell_of_policies()
        self._tell_of_the_program()

    def _tell_of_policies(self) -> None:
        self._conditions = Gauge(
            "resilience_policy_condition",
            "1 for the status that a condition of a policy has, 0 for the two others.",
            ("policy", "type", "status"),
            registry=self._registry,
        )
        self._policies = Gauge(
            "resilience_policy_info",
            "1 for each policy, with its mode: Audit, Enforce, or Mixed where its rules differ.",
            ("policy", "mode", "suspended"),
            registry=self._registry,
        )

    def _tell_of_the_program(self) -> None:
        self._paused = self._gauge(
            "resilience_paused", "1 while the global stop holds, or cannot be known; else 0."
        )
        self._last_pass = self._gauge(
            "resilience_last_pass_timestamp_seconds",
            "When the last pass that decided anew ended, in seconds since 1970; 0 before the first.",
        )
        build = Gauge(
            "resilience_build_info",
            "1, with the versions of the operator and of Python.",
            ("version", "python"),
            registry=self._registry,
        )
        build.labels(__version__, platform.python_version()).set(1)
        ProcessCollector(registry=self._registry)

    def findings(self, policy: str, counts: Mapping[tuple[str, str], int]) -> None:
        """Replace a policy's findings by `counts`, (rule, state) -> number; empty forgets the policy."""
        self._findings.remove_by_labels({"policy": policy})
        for (rule, state), number in counts.items():
            self._findings.labels(policy, rule, state).set(number)

    def policy(self, policy: str, mode: str, *, suspended: bool, conditions: Mapping[str, str]) -> None:
        """Replace what is told of a policy; `conditions` is type -> True, False or Unknown."""
        self._forget_but_findings(policy)
        self._policies.labels(policy, mode, str(suspended).lower()).set(1)
        for kind, said in conditions.items():
            for status in _STATUSES:
                self._conditions.labels(policy, kind, status).set(float(status == said))

    def forget(self, policy: str) -> None:
        """The policy is gone, and with it all that is told of it but what was done."""
        self._findings.remove_by_labels({"policy": policy})
        self._forget_but_findings(policy)

    def forget_policies(self) -> None:
        """Another replica speaks of policies now: what this one knew last would contradict it."""
        for metric in (self._findings, self._conditions, self._policies):
            metric.clear()

    def remediated(self, policy: str, rule: str, result: str) -> None:
        """Count one remediation."""
        self._remediations.labels(policy, rule, result).inc()

    def evaluated(self, seconds: float) -> None:
        """An evaluation of one object took so long, on average over a pass."""
        self._evaluation.observe(seconds)

    def waiting(self, counts: Mapping[str, int]) -> None:
        """Replace the number of changes that each gate holds; `counts` is by gate."""
        self._waiting.clear()
        for gate, number in counts.items():
            self._waiting.labels(gate).set(number)

    def pass_failed(self) -> None:
        """Count one pass that ended by an error of our own."""
        self._failed_passes.inc()

    def passed(self, at: float) -> None:
        """A pass decided anew and ended, at a time in seconds since 1970."""
        self._last_pass.set(at)

    def queue_depth(self, number: int) -> None:
        """Objects that wait to be evaluated."""
        self._queue_depth.set(number)

    def rollouts_in_flight(self, number: int) -> None:
        """Rollouts that we started and that are not complete."""
        self._rollouts.set(number)

    def leader_is(self, question: Callable[[], bool]) -> None:
        """Ask `question` at every scrape: leadership ends by time alone."""
        self._leader.set_function(lambda: float(question()))

    def guarded_is(self, question: Callable[[], bool]) -> None:
        """Ask `question` at every scrape."""
        self._guarded.set_function(lambda: float(question()))

    def paused_is(self, question: Callable[[], bool]) -> None:
        """Ask `question` at every scrape."""
        self._paused.set_function(lambda: float(question()))

    def watch(self, kind: str, age: Callable[[], float], objects: Callable[[], int]) -> None:
        """Ask a stream at every scrape for its age in seconds and its number of objects."""
        self._watch_age.labels(kind).set_function(age)
        self._watch_objects.labels(kind).set_function(objects)

    def requested(self, verb: str, resource: str, code: str) -> None:
        """Count one request to the API server: the session's `on_request`."""
        self._requests.labels(verb, resource, code).inc()

    def event_dropped(self) -> None:
        """Count one Event that was given up."""
        self._events_dropped.inc()

    def register(self, collector: Collector) -> None:
        """Serve another collector's metrics as well."""
        self._registry.register(collector)

    def exposition(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self._registry)

    def _forget_but_findings(self, policy: str) -> None:
        for metric in (self._conditions, self._policies):
            metric.remove_by_labels({"policy": policy})

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, registry=self._registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self._registry)
