"""The addresses inside the lab's network, which no machine outside it sees.

Used by `network`, `nodes` and `config`; other ranges than those of the simulated nodes.
"""

from __future__ import annotations

CONTROL_PLANE = "10.129.0.1"
NODES = "10.129.0.0/24"
PODS = "10.245.0.0/16"
SERVICES = "10.96.0.0/16"
DNS = "10.96.0.10"


def number(node: str) -> int:
    """Which node it is: 1 for `real-1`."""
    return int(node.rpartition("-")[2])


def of_node(node: str) -> str:
    """A node's own address."""
    return f"10.129.0.{10 + number(node)}"


def of_pods(node: str) -> str:
    """The range of a node's pods."""
    return f"10.245.{number(node)}.0/24"
