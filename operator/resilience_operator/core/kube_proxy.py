"""What kube-proxy writes into the conntrack sysctls of a node when it starts, by its configuration and version. No I/O.

Used for findings (who wins) and for the configuration that leaves the keys alone. Facts: kubernetes/kubernetes
pkg/proxy/conntrack/sysctls.go, cmd/kube-proxy/app, pkg/proxy/apis/config/v1alpha1/defaults.go. It writes at its start
only, and what differs; a value of 0 leaves a key alone; left out is the default.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

PREFIX = "net.netfilter.nf_conntrack_"
Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Knob:
    """One key of the configuration's section `conntrack` that becomes a sysctl of the same value."""

    field: str
    sysctl: str
    default: int
    """Seconds, or 0 for left alone."""

    since: Version
    """The first minor release that knows the field."""


TIMEOUTS = (
    Knob("tcpEstablishedTimeout", "tcp_timeout_established", 86400, (1, 3)),
    Knob("tcpCloseWaitTimeout", "tcp_timeout_close_wait", 3600, (1, 4)),
    Knob("udpTimeout", "udp_timeout", 0, (1, 29)),
    Knob("udpStreamTimeout", "udp_timeout_stream", 0, (1, 29)),
)
LIBERAL = Knob("tcpBeLiberal", "tcp_be_liberal", 0, (1, 29))
PER_CORE, LEAST = 32768, 131072

LEFT_ALONE: Mapping[str, Any] = MappingProxyType(
    {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
)
"""The section with which kube-proxy of every version writes no conntrack sysctl; later fields are 0 if left out."""


class UnreadableConfigError(ValueError):
    """A value of the section that kube-proxy itself would not take; the sentence names the field."""


def writes(conntrack: Mapping[str, Any], version: Version, cores: int) -> dict[str, int]:
    """The value of each sysctl that kube-proxy of that (major, minor) writes at its start on a node of that many cores.

    `conntrack` is the section of KubeProxyConfiguration as decoded. `nf_conntrack_buckets` is what the hash table has
    at least then. Raises UnreadableConfigError.
    """
    found: dict[str, int] = {}
    per_core = _number(conntrack, "maxPerCore", PER_CORE)
    if per_core > 0:
        limit = max(per_core * cores, _number(conntrack, "min", LEAST))
        found[PREFIX + "max"] = limit
        found[PREFIX + "buckets"] = limit // 4
    for knob in TIMEOUTS:
        seconds = _seconds(conntrack, knob) if version >= knob.since else 0
        if seconds > 0:
            found[PREFIX + knob.sysctl] = seconds
    if version >= LIBERAL.since and conntrack.get(LIBERAL.field) is True:
        found[PREFIX + LIBERAL.sysctl] = 1
    return found


_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(h|ms|m|s|us|µs|ns)")
_UNITS = MappingProxyType({"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9})


def _number(section: Mapping[str, Any], field: str, default: int) -> int:
    value = section.get(field)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise UnreadableConfigError(f"conntrack.{field} is no number from 0 to 2147483647")
    return value


def _seconds(section: Mapping[str, Any], knob: Knob) -> int:
    value = section.get(knob.field)
    if value is None:
        return knob.default
    if not isinstance(value, str) or len(value) > 64:
        raise UnreadableConfigError(f'conntrack.{knob.field} is no duration such as "24h0m0s"')
    if value == "0":
        return 0
    parts = _DURATION.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise UnreadableConfigError(f'conntrack.{knob.field} is no duration such as "24h0m0s"')
    return int(sum(float(number) * _UNITS[unit] for number, unit in parts))
