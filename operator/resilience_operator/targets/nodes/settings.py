"""Section `conntrack` of a policy. Declared in target.py."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from resilience_operator.core.sysctls import ALLOWED, BUCKETS, MAX, PREFIX
from resilience_operator.policy.common import (
    CEL,
    EVERYTHING,
    RuleSettings,
    SectionSettings,
    Selector,
    Settings,
    by_key,
    one_of,
)


def _within(field: str, number: str) -> tuple[CEL, ...]:
    """Rules that hold a number of a sysctl to ALLOWED, one for each range: it is refused before an agent refuses it."""
    names: dict[range, list[str]] = {}
    for name, allowed in ALLOWED.items():
        names.setdefault(allowed, []).append(name)
    return tuple(
        CEL(
            f"!has(self.{field}) || !(self.name in {known}) || "
            f"({allowed.start} <= {number} && {number} < {allowed.stop})",
            f"this sysctl takes {allowed.start} to {allowed.stop - 1}",
            f".{field}",
        )
        for allowed, known in names.items()
    )


_Number = Annotated[int, Meta(ge=0, le=2147483647)]


class Sysctl(Settings, frozen=True):
    """One sysctl: its value, or a formula by the cores of the node."""

    cel = (
        CEL("has(self.value) != has(self.perCore)", "write either value or perCore"),
        CEL(
            "has(self.perCore) || (!has(self.min) && !has(self.max))",
            "min and max bound the formula perCore: write it, or leave them out",
        ),
        CEL("!has(self.min) || !has(self.max) || self.min <= self.max", "min is above max", ".min"),
        *_within("value", "int(self.value)"),
        *_within("min", "self.min"),
        *_within("max", "self.max"),
    )

    name: Annotated[str, one_of(*ALLOWED)]
    """The sysctl, as in a Pod's securityContext."""
    value: Annotated[str, Meta(pattern="^[0-9]{1,10}$", max_length=10)] | None = None
    """Its value, as in a Pod's securityContext; timeouts in seconds."""
    per_core: Annotated[int, Meta(ge=1, le=16777216)] | None = None
    """The value for each core of the node, in the place of `value`."""
    min: _Number | None = None
    """What the formula gives at least."""
    max: _Number | None = None
    """What the formula gives at most."""

    def unknown(self) -> Iterator[tuple[str, str]]:
        """Values that no agent would set."""
        allowed = ALLOWED.get(self.name, range(0))
        digits = (
            self.value is not None and len(self.value) <= 10 and self.value.isascii() and self.value.isdigit()
        )
        if self.value is not None and not digits:
            yield "value", f"write a whole number in quotes, not {self.value[:40]!r}"
        said = {"value": int(self.value) if self.value and digits else None, "min": self.min, "max": self.max}
        for field, number in said.items():
            if number is not None and number not in allowed:
                yield field, f"{self.name} takes {allowed.start} to {allowed.stop - 1}, not {number}"
        if self.value is None and self.per_core is None:
            yield "value", "write value, or perCore for a formula"

    def of(self, cores: int) -> int | None:
        """The value on a node of that many cores; None where the formula needs to know them (0), or has none."""
        if self.value is not None:
            return int(self.value) if self.value.isdigit() else None
        if self.per_core is None or cores < 1:
            return None
        allowed = ALLOWED[self.name]
        least = max(self.min or 0, allowed.start)
        most = min(allowed.stop - 1 if self.max is None else self.max, allowed.stop - 1)
        return min(max(self.per_core * cores, least), most)


class Sysctls(RuleSettings, frozen=True):
    """Rule `conntrack-sysctl` (incident conntrack-full)."""

    values: Annotated[
        tuple[Sysctl, ...], Meta(min_length=1, max_length=16, extra_json_schema=by_key("name"))
    ] = (
        Sysctl(MAX, per_core=65536, min=262144, max=1048576),
        Sysctl(PREFIX + "tcp_timeout_time_wait", value="60"),
    )
    """The sysctls. Left out: nf_conntrack_max of 65536 per core, from 262144 to 1048576, and
    nf_conntrack_tcp_timeout_time_wait 60.
    """
    direction: Annotated[str, one_of("RaiseOnly", "Set")] = "RaiseOnly"
    """RaiseOnly (if left out) leaves a higher nf_conntrack_max as it is, Set makes it exactly the demanded one. All
    others are set, but for nf_conntrack_buckets, which is never lowered.
    """

    def direction_of(self, name: str) -> str:
        """How a NodeState says it of one sysctl."""
        return {MAX: self.direction, BUCKETS: "RaiseOnly"}.get(name, "Set")


class Pressure(RuleSettings, frozen=True):
    """Rule `conntrack-pressure` (incident conntrack-full)."""

    warning_percent: Annotated[int, Meta(ge=1, le=100)] = 75
    """Percent of the table, for two minutes, that are a warning; 75 if left out. One that fills within ten minutes
    is one at any share.
    """
    critical_percent: Annotated[int, Meta(ge=1, le=100)] = 90
    """Percent of the table that are critical at once; 90 if left out. A dropped packet is at any share."""


_Label = Annotated[str, Meta(min_length=1, max_length=63, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]


class Protected(Settings, frozen=True):
    """A Service by name."""

    namespace: _Label
    """Its Namespace."""
    name: _Label
    """Its name."""


class StaleEntries(RuleSettings, frozen=True):
    """Rule `conntrack-stale` (incident dns-scale-down)."""

    services: Annotated[
        tuple[Protected, ...],
        Meta(
            min_length=1,
            max_length=16,
            extra_json_schema={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["namespace", "name"],
            },
        ),
    ] = (Protected("kube-system", "kube-dns"),)
    """Services whose UDP entries are looked after; cluster DNS (kube-system/kube-dns) if left out."""
    max_per_second: Annotated[int, Meta(ge=1, le=5000)] = 5000
    """Entries deleted in a second on one node, at most; 5000 if left out."""


class Waves(Settings, frozen=True):
    """How a change spreads over the nodes."""

    canary: Annotated[int, Meta(ge=0, le=1000)] = 1
    """Nodes that are changed first, and must do well for rollout.soakSeconds before any other; 1 if left out."""
    max_unavailable: (
        Annotated[int, Meta(ge=1, le=1000)]
        | Annotated[str, Meta(max_length=4, pattern="^(100|[1-9][0-9]?)%$")]
    ) = "10%"
    """Nodes at most, a number or a percentage of those selected (rounded up), whose agent has not yet said that all
    is as asked; 10% if left out.
    """

    def most(self, nodes: int) -> int:
        """maxUnavailable of so many nodes; at least 1."""
        if isinstance(self.max_unavailable, int):
            return self.max_unavailable
        return max(1, -(-int(self.max_unavailable[:-1]) * nodes // 100))


class Conntrack(SectionSettings, frozen=True):
    """What is demanded of the connection tracking of nodes; left out, it is not looked at. Needs the agents
    (manifests/agent).
    """

    node_selector: Selector = EVERYTHING
    """Labels of the nodes that are asked; every Linux node if left out."""
    sysctls: Sysctls | None = None
    """Rule conntrack-sysctl: sysctls of connection tracking have these values on the nodes. An empty object means the
    defaults.
    """
    pressure: Pressure | None = None
    """Rule conntrack-pressure: a table that fills is named before packets are dropped. An empty object means the
    defaults.
    """
    stale_entries: StaleEntries | None = None
    """Rule conntrack-stale: UDP entries that lead to no endpoint are deleted. An empty object means the defaults."""
    waves: Waves = Waves()
    """How a change spreads over the nodes."""
