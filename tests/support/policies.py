"""Policies as values; and good and bad ones: one table for the offline verdict and for the API server's.

Used by test_schema and test_schema_server; the bad ones lie in policies.yaml.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from resilience_operator.policy.policy import Policy
from resilience_operator.targets import CATALOG
from resilience_operator.targets.coredns.settings import CoreDNS
from resilience_operator.targets.deployments.settings import Deployments


@dataclass(frozen=True)
class Bad:
    """A spec that is refused: the field, a fragment of our sentence, and of the server's where it differs."""

    name: str
    spec: Any
    path: str
    says: str
    server: str = ""

    @property
    def document(self) -> dict[str, Any]:
        """The whole policy."""
        return document(self.name, self.spec)

    @property
    def server_says(self) -> str:
        """What the API server's message must contain beside the path."""
        if self.says == "unknown field":
            return f'unknown field "{self.path}"'
        return self.server or self.says


def document(name: str, spec: Any) -> dict[str, Any]:
    """A whole policy around a decoded spec."""
    return {
        "apiVersion": "resilience.dev/v1alpha1",
        "kind": "ResiliencePolicy",
        "metadata": {"name": name},
        "spec": spec,
    }


def asking(
    name: str,
    uid: str = "",
    *,
    deployments: Deployments | None = None,
    core_dns: CoreDNS | None = None,
    **rest: Any,
) -> Policy:
    """A policy as a value, with these sections."""
    asked = {"deployments": deployments, "coreDNS": core_dns}
    sections = {section: settings for section, settings in asked.items() if settings is not None}
    return Policy(name, uid, sections=sections, catalog=CATALOG, **rest)


def _bad() -> tuple[Bad, ...]:
    text = Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    return tuple(Bad(**entry) for entry in yaml.safe_load(text))


BAD = _bad()

FULL = """
mode: Enforce
conflicts: TakeOver
suspend: false
priority: -5
onRelease: Revert
windows:
  allow:
  - {name: office-hours, days: [Mon, Tue, Wed, Thu], start: "09:00", end: "16:00", timeZone: Europe/Berlin}
  - {name: night, days: [Fri], start: "22:00", end: "00:00"}
  deny: [{name: black-friday, from: "2026-11-26T00:00:00Z", until: "2026-12-01T00:00:00.5+01:00"}]
rollout:
  maxConcurrent: 3
  maxConcurrentPerNamespace: 2
  soakSeconds: 0
  progressDeadlineSeconds: 300
  failureThreshold: 2
  failureThresholdPerNamespace: 3
deployments:
  mode: Audit
  conflicts: Report
  windows: {}
  rollout: {soakSeconds: 5}
  namespaces: {include: ["shop-*", kube-system], exclude: ["shop-test?"]}
  namespaceSelector: {matchLabels: {team: shop}}
  selector:
    matchLabels: {app.kubernetes.io/part-of: shop, empty: ""}
    matchExpressions:
    - {key: tier, operator: In, values: [web, api]}
    - {key: resilience.dev/ignore, operator: DoesNotExist}
  spread:
    mode: Enforce
    constraints: [{topologyKey: kubernetes.io/hostname, maxSkew: 2, whenUnsatisfiable: DoNotSchedule}]
  gracefulShutdown:
    mode: Enforce
    preStopSleepSeconds: 5
    minTerminationGracePeriodSeconds: 6
    appliesTo: All
  dnsConfig:
    mode: Enforce
    options:
    - {name: timeout, value: "30"}
    - {name: attempts, value: "5"}
    - {name: ndots, value: "0"}
    - {name: use-vc}
    allowSearchChange: true
    reportOnlyImages: []
"""

GOOD: dict[str, Any] = {
    name: yaml.safe_load(spec)
    for name, spec in {
        "nothing-said": "{}",
        "mode-null-means-the-default": "mode: null",
        "null-is-absent": "{suspend: null, deployments: {spread: null, selector: {matchLabels: {a: null}}}}",
        "audit-with-defaults": "deployments: {spread: {}, gracefulShutdown: {}, dnsConfig: {}}",
        "whole-number-written-with-a-point": "priority: 1.0",
        "full": FULL,
        "longest-sleep": "deployments: {gracefulShutdown:"
        " {preStopSleepSeconds: 3600, minTerminationGracePeriodSeconds: 7200}}",
        "sleep-just-within-the-default-grace": "deployments: {gracefulShutdown: {preStopSleepSeconds: 44}}",
        "cache-of-the-nodes": "coreDNS: {nodeLocalCache: {mode: Enforce}}",
        "sysctls-at-their-bounds": "conntrack: {sysctls: {values: ["
        "{name: net.netfilter.nf_conntrack_buckets, value: '33554431'},"
        "{name: net.netfilter.nf_conntrack_max, perCore: 1, min: 65536, max: 2147483647},"
        "{name: net.netfilter.nf_conntrack_tcp_timeout_established, value: '7875'},"
        "{name: net.netfilter.nf_conntrack_udp_timeout, value: '2147483'},"
        "{name: net.netfilter.nf_conntrack_tcp_be_liberal, value: '0'}]}}",
        "unknown-zone-of-good-form": "windows: {allow: ["
        "{name: h, days: [Sun], start: '23:59', end: '00:00', timeZone: Mars/Olympus}]}",
    }.items()
}
"""Accepted by both, by name; `full` says every field of the schema once."""
