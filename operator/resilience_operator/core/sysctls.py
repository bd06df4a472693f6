"""The sysctls that the operator asks nodes for, with the values that each takes: one table for policies and for agents.

Compiled into the agent: whoever writes a NodeState can at worst set an allowed value.
"""

from collections.abc import Mapping
from types import MappingProxyType

PREFIX = "net.netfilter.nf_conntrack_"
MAX, BUCKETS = PREFIX + "max", PREFIX + "buckets"

_TIMEOUT = range(1, 2147484)
ALLOWED: Mapping[str, range] = MappingProxyType(
    {
        # In the order in which they are written: room in the hash table first, then the limit, then timeouts.
        BUCKETS: range(1024, 2**25),
        MAX: range(65536, 2**31),
        # 7875 s is when TCP keepalive gives a dead peer up: below it, living idle connections lose their entry.
        PREFIX + "tcp_timeout_established": range(7875, 2147484),
        PREFIX + "tcp_timeout_time_wait": _TIMEOUT,
        PREFIX + "tcp_timeout_close_wait": _TIMEOUT,
        PREFIX + "tcp_timeout_fin_wait": _TIMEOUT,
        PREFIX + "udp_timeout": _TIMEOUT,
        PREFIX + "udp_timeout_stream": _TIMEOUT,
        PREFIX + "tcp_be_liberal": range(2),
    }
)
