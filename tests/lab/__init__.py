"""The test lab: a real Kubernetes control plane on loopback, with simulated nodes.

Tests call `start()` (or take the fixtures of `tests.lab.fixtures`), people run `python -m tests.lab`.
"""

from tests.lab.audit import Read, Write
from tests.lab.boot import attach, start
from tests.lab.cluster import Lab
from tests.lab.errors import LabError

__all__ = ["Lab", "LabError", "Read", "Write", "attach", "start"]
