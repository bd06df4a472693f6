"""What the agent reports of its node, and when."""

import os
from pathlib import Path
from typing import Any

import pytest

from resilience_operator.agent import status
from resilience_operator.agent.api import Api
from resilience_operator.agent.node import Node
from resilience_operator.agent.sysctl_files import SysctlFiles

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the table of conntrack is counted by root alone")


class Written(Api):
    """Takes what is written."""

    def __init__(self) -> None:
        self.statuses: list[Any] = []

    def patch(self, path: str, body: Any) -> dict[str, Any]:
        """Note the status."""
        self.statuses.append(body["status"])
        return {}


def nodestate(uid: str) -> dict[str, Any]:
    """A NodeState that asks for nothing."""
    return {"metadata": {"name": "node-1", "uid": uid, "generation": 1}, "spec": {}}


def test_a_nodestate_that_was_made_anew_is_reported_as_soon_as_any_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "SOONEST", 0.0)
    api = Written()
    node = Node(api, "node-1", SysctlFiles(tmp_path))
    for uid, reports in (("a", 1), ("a", 1), ("b", 2)):
        node._list([nodestate(uid)])
        node._pass()
        assert len(api.statuses) == reports, uid
