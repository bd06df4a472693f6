"""The contract of a NodeState from the agent's side: what it reads within bounds, what it writes, and when."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from resilience_operator.agent import spec, status, sysctls
from resilience_operator.agent.pressure import Thresholds
from resilience_operator.agent.purge import Limits
from resilience_operator.agent.spec import Spec
from resilience_operator.agent.stale import Hold, Name
from resilience_operator.agent.status import Purged, Report
from resilience_operator.agent.sysctl_loop import Told
from resilience_operator.agent.sysctls import Direction, Known, State, Step, Wanted
from resilience_operator.core.sysctls import ALLOWED

TIME_WAIT = "net.netfilter.nf_conntrack_tcp_timeout_time_wait"
NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
CRD = yaml.safe_load((Path(__file__).resolve().parents[2] / "crds/nodestates.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]


def test_a_spec_is_read() -> None:
    body = {
        "metadata": {"generation": 3, "uid": "u1"},
        "spec": {
            "sysctls": [{"name": TIME_WAIT, "value": 60, "direction": "Set"}],
            "onRelease": "Revert",
            "pressure": {"warningPercent": 60},
            "staleEntries": {
                "services": [{"namespace": "kube-system", "name": "kube-dns"}],
                "maxPerSecond": 100,
                "onZeroEndpoints": "Purge",
            },
        },
    }
    assert spec.read(body) == Spec(
        generation=3,
        uid="u1",
        sysctls={TIME_WAIT: Wanted(TIME_WAIT, 60, Direction.SET)},
        revert=True,
        thresholds=Thresholds(60, 90),
        services=(Name("kube-system", "kube-dns"),),
        limits=Limits(100, purge_at_zero=True),
    )


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"metadata": [], "spec": "x"},
        {"spec": {"sysctls": {}}},
        {"spec": {"sysctls": [None, 1, {"name": 5, "value": 1}, {"name": TIME_WAIT, "value": True}]}},
        {"spec": {"sysctls": [{"name": TIME_WAIT, "value": 60, "direction": "Lower"}]}},
        {"spec": {"sysctls": [{"name": TIME_WAIT, "value": 1e400}]}},
        {
            "spec": {
                "staleEntries": {
                    "services": [{"namespace": "a/../b", "name": "kube-dns"}, {"namespace": "a"}]
                }
            }
        },
        {"spec": {"staleEntries": {"maxPerSecond": 10**9}, "pressure": {"warningPercent": -1}}},
    ],
)
def test_a_strange_spec_asks_for_nothing(body: dict[str, Any]) -> None:
    read = spec.read(body)
    assert (read.sysctls, read.services, read.limits, read.thresholds) == ({}, (), Limits(), Thresholds())


def test_lists_are_read_to_their_bound() -> None:
    many = [{"name": f"{TIME_WAIT}{number}", "value": 60, "direction": "Set"} for number in range(1000)]
    read = spec.read({"spec": {"sysctls": many}})
    assert len(read.sysctls) == sysctls.MOST
    assert read.problems == ("spec.sysctls has 1000 items; the first 32 are read",)


def noting(**item: Any) -> dict[str, Any]:
    return {"status": {"bootID": "boot", "sysctls": [{"name": TIME_WAIT, **item}]}}


def test_what_was_noted_before_a_restart_is_taken_up() -> None:
    body = noting(before=120, set=60, foreignRewrites=2)
    assert spec.noted(body, "boot") == {TIME_WAIT: Known(before=120, recorded=True, ours=60, foreign=2)}
    assert spec.noted(body, "another boot") == {}, "a reboot undid what we set"


@pytest.mark.parametrize(
    "item", [{"before": "120"}, {"before": None}, {"name": "kernel.panic", "before": 1}, {}]
)
def test_a_forged_note_is_not_taken_up(item: dict[str, Any]) -> None:
    assert spec.noted(noting(**item), "boot") == {}


def report(entries: int = 0, state: State = State.HELD, *, problems: tuple[str, ...] = ()) -> Report:
    step = Step(Known(before=120, recorded=True, ours=60), state, "", "a sentence " * 100)
    held = Purged(deleted=5, hold=Hold(Name("kube-system", "kube-dns"), "NoEndpoints", "doubt"))
    counters = {"drop": entries}
    return Report(
        generation=3,
        identity={"agentVersion": "0.1.0", "kernelVersion": "6.18", "bootID": "boot"},
        told=[Told(TIME_WAIT, 60, step)],
        counters=counters,
        purged={Name("kube-system", "kube-dns"): held},
        returned=[(Name("kube-system", "kube-dns"), (b"\x0a\xf4\x02\x03", 53))],
        problems=problems,
    )


def test_a_status_has_what_its_schema_describes_and_nothing_else() -> None:
    rendered = status.render(report(), NOW, [])
    schema = SCHEMA["status"]["properties"]
    assert set(rendered) == set(schema)
    for field in ("sysctls", "staleEntries", "conditions"):
        assert set(rendered[field][0]) == set(schema[field]["items"]["properties"])
    assert set(rendered["table"]) == set(schema["table"]["properties"])
    assert len(rendered["sysctls"][0]["message"]) == 300
    assert schema["sysctls"]["items"]["properties"]["state"]["enum"] == [str(one) for one in State]
    assert SCHEMA["spec"]["properties"]["sysctls"]["items"]["properties"]["name"]["enum"] == list(ALLOWED)


def test_rules_of_kube_proxy_that_are_stale_are_named() -> None:
    (said,) = [
        one for one in status.render(report(), NOW, [])["conditions"] if one["type"] == "KubeProxyRulesStale"
    ]
    assert said == {
        "type": "KubeProxyRulesStale",
        "status": "True",
        "reason": "EntriesReturn",
        "message": (
            "entries of kube-system/kube-dns to 10.244.2.3:53, which is no endpoint, came back after they were deleted:"
            " the rules of kube-proxy on this node still lead there; look at its log and its watch"
        ),
        "lastTransitionTime": "2026-11-22T08:00:00Z",
    }


def test_numbers_alone_are_no_change_and_states_are() -> None:
    first = status.render(report(1), NOW, [])
    assert status.changes(first) == status.changes(status.render(report(99), NOW, []))
    assert status.changes(first) != status.changes(status.render(report(1, State.CONTESTED), NOW, []))
    assert status.changes(first) != status.changes(status.render(report(1, problems=("no",)), NOW, []))


def test_a_status_is_written_on_change_and_else_each_five_minutes() -> None:
    assert status.due(changed=False, now=0.0, last=None, failures=0)
    assert not status.due(changed=False, now=299.0, last=0.0, failures=0)
    assert status.due(changed=False, now=300.0, last=0.0, failures=0)
    assert not status.due(changed=True, now=4.0, last=0.0, failures=0)
    assert status.due(changed=True, now=5.0, last=0.0, failures=0)
    waits = [
        next(n for n in range(400) if status.due(changed=True, now=n, last=0.0, failures=f))
        for f in range(1, 9)
    ]
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    first = status.render(report(), NOW, [])["conditions"]
    later = status.render(report(problems=("no",)), NOW.replace(hour=9), first)["conditions"]
    times = {one["type"]: one["lastTransitionTime"] for one in later}
    assert (times["Ready"], times["ConntrackPressure"]) == ("2026-11-22T09:00:00Z", "2026-11-22T08:00:00Z")
