"""A ResiliencePolicy from what the API server or a file gave. Called by policy handlers and the command line.

Tolerant where the schema is strict: what an API server accepted (perhaps with the schema of a newer version)
never raises here. What cannot be honoured is a Problem, and a policy with problems writes nothing.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from resilience_operator.core.asked import PROBES, RESOURCES
from resilience_operator.core.policy import (
    EVERY_NAMESPACE,
    AllowWindow,
    Conflicts,
    DenyWindow,
    Deployments,
    DNSConfig,
    DNSOption,
    GracefulShutdown,
    Mode,
    OnRelease,
    Policy,
    Probes,
    Resources,
    Rollout,
    Spread,
    SpreadConstraint,
    Windows,
)
from resilience_operator.core.reading import Problem, Reader
from resilience_operator.core.selectors import EVERYTHING, LabelSelector, NamespaceScope, Requirement

__all__ = ["Problem", "digest", "parse"]

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
NO_SECTION = "spec has no section, such as deployments: nothing is judged"
_LABEL_KEY = re.compile(
    r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)


def parse(raw: Mapping[str, Any]) -> tuple[Policy, tuple[Problem, ...]]:
    """Read a decoded ResiliencePolicy; never raises on one that an API server accepted.

    With problems the policy is suspended and retains what it holds: half a policy must not write, and a
    selector that cannot be read must not give values back either.
    """
    problems: list[Problem] = []
    root = Reader(raw, "", problems)
    spec = root.child("spec") or Reader({}, "spec", problems)
    policy = _policy(_metadata(root), spec)
    spec.done()
    if problems:
        policy = replace(policy, suspend=True, on_release=OnRelease.RETAIN)
    return policy, tuple(dict.fromkeys(problems))


def digest(spec: Mapping[str, Any]) -> str:
    """12 hexadecimal digits that are equal where spec is equal, whatever the order of its fields."""
    canonical = json.dumps(spec, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _metadata(root: Reader) -> Policy:
    meta = root.child("metadata") or Reader({}, "metadata", root.problems)
    return Policy(
        name=meta.text("name") or "",
        uid=meta.text("uid") or "",
        generation=meta.whole("generation") or 0,
        labels=meta.labels("labels"),
        finalizers=meta.texts("finalizers") or (),
        deleting=meta.text("deletionTimestamp") is not None,
    )


def _policy(identity: Policy, spec: Reader) -> Policy:
    section = spec.child("deployments")
    return replace(
        identity,
        digest=digest(spec.source),
        mode=spec.choice("mode", Mode) or Mode.AUDIT,
        conflicts=spec.choice("conflicts", Conflicts),
        suspend=spec.flag("suspend") or False,
        priority=spec.whole("priority") or 0,
        on_release=spec.choice("onRelease", OnRelease) or OnRelease.RETAIN,
        windows=_windows(spec),
        rollout=_rollout(spec),
        deployments=_deployments(section) if section is not None else None,
        warnings=() if section is not None else (NO_SECTION,),
    )


def _deployments(section: Reader) -> Deployments:
    result = Deployments(
        mode=section.choice("mode", Mode),
        conflicts=section.choice("conflicts", Conflicts),
        windows=_windows(section),
        rollout=_rollout(section),
        namespaces=_namespaces(section),
        namespace_selector=_selector(section, "namespaceSelector"),
        selector=_selector(section, "selector"),
        spread=_spread(section),
        graceful_shutdown=_graceful_shutdown(section),
        dns_config=_dns_config(section),
        probes=_probes(section),
        resources=_resources(section),
    )
    section.done()
    return result


def _windows(outer: Reader) -> Windows | None:
    reader = outer.child("windows")
    if reader is None:
        return None
    allow = [_allow(entry) for entry in reader.children("allow") or ()]
    deny = [_deny(entry) for entry in reader.children("deny") or ()]
    reader.done()
    return Windows(
        allow=tuple(window for window in allow if window is not None),
        deny=tuple(window for window in deny if window is not None),
    )


def _allow(entry: Reader) -> AllowWindow | None:
    complete = entry.required("name", "days", "start", "end")
    name, days = entry.text("name"), entry.texts("days")
    start, end, zone = entry.clock("start"), entry.clock("end"), entry.zone("timeZone")
    entry.done()
    for index, day in enumerate(days or ()):
        if day not in DAYS:
            entry.refuse(f"days[{index}]", f"write one of {', '.join(DAYS)}, not {day!r}")
    if not complete or name is None or days is None or start is None or end is None:
        return None
    return AllowWindow(name, days, start, end, zone or "UTC")


def _deny(entry: Reader) -> DenyWindow | None:
    complete = entry.required("name", "from", "until")
    name, start, until = entry.text("name"), entry.moment("from"), entry.moment("until")
    entry.done()
    if not complete or name is None or start is None or until is None:
        return None
    return DenyWindow(name, start, until)


def _rollout(outer: Reader) -> Rollout:
    reader = outer.child("rollout")
    if reader is None:
        return Rollout()
    result = Rollout(
        max_concurrent=reader.whole("maxConcurrent"),
        max_concurrent_per_namespace=reader.whole("maxConcurrentPerNamespace"),
        soak_seconds=reader.whole("soakSeconds"),
        progress_deadline_seconds=reader.whole("progressDeadlineSeconds"),
        failure_threshold=reader.whole("failureThreshold"),
    )
    reader.done()
    return result


def _namespaces(section: Reader) -> NamespaceScope:
    reader = section.child("namespaces")
    if reader is None:
        return EVERY_NAMESPACE
    include, exclude = reader.texts("include"), reader.texts("exclude")
    reader.done()
    return NamespaceScope(EVERY_NAMESPACE.include if include is None else include, exclude or ())


def _selector(section: Reader, name: str) -> LabelSelector:
    reader = section.child(name)
    if reader is None:
        return EVERYTHING
    labels = reader.labels("matchLabels")
    for key, _ in labels:
        if not _LABEL_KEY.fullmatch(key):
            reader.refuse(
                "matchLabels",
                f"{key!r} is no label key, so no object bears it: write as app.kubernetes.io/name",
            )
    requirements = [_requirement(entry) for entry in reader.children("matchExpressions") or ()]
    reader.done()
    return LabelSelector(labels, tuple(found for found in requirements if found is not None))


def _requirement(entry: Reader) -> Requirement | None:
    complete = entry.required("key", "operator")
    key, operator, values = entry.text("key"), entry.one_of("operator", OPERATORS), entry.texts("values")
    entry.done()
    if not complete or key is None or operator is None:
        return None
    return Requirement(key, operator, values or ())


def _spread(section: Reader) -> Spread | None:
    reader = section.child("spread")
    if reader is None:
        return None
    mode, entries = reader.choice("mode", Mode), reader.children("constraints")
    reader.done()
    if entries is None:
        return Spread(mode)
    constraints = [_constraint(entry) for entry in entries]
    return Spread(mode, tuple(found for found in constraints if found is not None))


def _constraint(entry: Reader) -> SpreadConstraint | None:
    complete = entry.required("topologyKey")
    key, skew = entry.text("topologyKey"), entry.whole("maxSkew")
    unsatisfiable = entry.one_of("whenUnsatisfiable", ("ScheduleAnyway", "DoNotSchedule"))
    entry.done()
    if not complete or key is None:
        return None
    return SpreadConstraint(key, 1 if skew is None else skew, unsatisfiable or "ScheduleAnyway")


def _graceful_shutdown(section: Reader) -> GracefulShutdown | None:
    reader = section.child("gracefulShutdown")
    if reader is None:
        return None
    default = GracefulShutdown()
    sleep = reader.whole("preStopSleepSeconds")
    grace = reader.whole("minTerminationGracePeriodSeconds")
    result = GracefulShutdown(
        mode=reader.choice("mode", Mode),
        pre_stop_sleep_seconds=default.pre_stop_sleep_seconds if sleep is None else sleep,
        min_termination_grace_period_seconds=(
            default.min_termination_grace_period_seconds if grace is None else grace
        ),
        applies_to=reader.one_of("appliesTo", ("Exposed", "All")) or default.applies_to,
    )
    reader.done()
    return result


def _dns_config(section: Reader) -> DNSConfig | None:
    reader = section.child("dnsConfig")
    if reader is None:
        return None
    default = DNSConfig()
    entries, images = reader.children("options"), reader.texts("reportOnlyImages")
    options = default.options
    if entries is not None:
        options = tuple(option for option in map(_option, entries) if option is not None)
    result = DNSConfig(
        mode=reader.choice("mode", Mode),
        options=options,
        allow_search_change=reader.flag("allowSearchChange") or False,
        report_only_images=default.report_only_images if images is None else images,
    )
    reader.done()
    return result


def _probes(section: Reader) -> Probes | None:
    reader = section.child("probes")
    if reader is None:
        return None
    mode, require = reader.choice("mode", Mode), _required(reader, PROBES)
    reader.done()
    return Probes(mode) if require is None else Probes(mode, require)


def _resources(section: Reader) -> Resources | None:
    reader = section.child("resources")
    if reader is None:
        return None
    mode, require = reader.choice("mode", Mode), _required(reader, RESOURCES)
    reader.done()
    return Resources(mode) if require is None else Resources(mode, require)


def _required(reader: Reader, known: tuple[str, ...]) -> tuple[str, ...] | None:
    names = reader.texts("require")
    for index, name in enumerate(names or ()):
        if name not in known:
            reader.refuse(f"require[{index}]", f"write one of {', '.join(known)}, not {name!r}")
    return names if names is None else tuple(name for name in names if name in known)


def _option(entry: Reader) -> DNSOption | None:
    complete = entry.required("name")
    name, value = entry.text("name"), entry.text("value")
    entry.done()
    return DNSOption(name, value) if complete and name is not None else None
