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

from resilience_operator.core.selectors import EVERYTHING, LabelSelector, NamespaceScope, Requirement
from resilience_operator.policy import asking
from resilience_operator.policy.policy import (
    EVERY_NAMESPACE,
    AllowWindow,
    Conflicts,
    CoreDNS,
    DenyWindow,
    Deployments,
    Mode,
    Named,
    OnRelease,
    Policy,
    Rollout,
    Windows,
)
from resilience_operator.policy.reading import Problem, Reader

__all__ = ["Problem", "digest", "parse"]

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
RETRY = "resilience.dev/retry"
"""Annotation of a policy: counted up by `kubectl resilience retry`."""

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
    policy = replace(policy, digest=_retried(policy.digest, raw))
    return policy, tuple(dict.fromkeys(problems))


def _retried(before: str, raw: Mapping[str, Any]) -> str:
    """The digest with the number of `kubectl resilience retry`: what failed or was refused counts no more."""
    meta = raw.get("metadata")
    notes = meta.get("annotations") if isinstance(meta, Mapping) else None
    number = notes.get(RETRY) if isinstance(notes, Mapping) else None
    return digest({"spec": before, "retry": number}) if number else before


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
    deployments, core_dns = spec.child("deployments"), spec.child("coreDNS")
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
        deployments=_deployments(deployments) if deployments is not None else None,
        core_dns=_core_dns(core_dns) if core_dns is not None else None,
        warnings=() if deployments is not None or core_dns is not None else (NO_SECTION,),
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
        spread=asking.spread(section),
        graceful_shutdown=asking.graceful_shutdown(section),
        dns_config=asking.dns_config(section),
        replicas=asking.replicas(section),
        disruption_budget=asking.disruption_budget(section),
        probes=asking.probes(section),
        resources=asking.resources(section),
    )
    section.done()
    return result


def _core_dns(section: Reader) -> CoreDNS:
    result = CoreDNS(
        mode=section.choice("mode", Mode),
        conflicts=section.choice("conflicts", Conflicts),
        windows=_windows(section),
        rollout=_rollout(section),
        deployment=_named(section, "deployment"),
        floor=asking.floor(section),
        spread=asking.spread(section),
        disruption_budget=asking.disruption_budget(section),
        node_local_cache=asking.node_local_cache(section),
    )
    section.done()
    return result


def _named(section: Reader, name: str) -> Named | None:
    reader = section.child(name)
    if reader is None:
        return None
    complete = reader.required("namespace", "name")
    where, who = reader.text("namespace"), reader.text("name")
    reader.done()
    return Named(where, who) if complete and where is not None and who is not None else None


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
        failure_threshold_per_namespace=reader.whole("failureThresholdPerNamespace"),
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
