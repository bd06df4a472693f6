"""An entry of ours in managedFields, left by a crash or an earlier version, goes: nothing that waits holds it up."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from resilience_operator.core.refs import ObjectRef
from resilience_operator.core.state import ObjectState, Quarantine
from resilience_operator.engine.change import Change, Decision, Result, Verb
from resilience_operator.engine.quarantine import ROLLOUT_FAILED
from resilience_operator.engine.queue import OperatorLimits, schedule
from resilience_operator.policy.policy import Policy
from resilience_operator.run.apply import Done, Report
from resilience_operator.run.decisions import Decided
from resilience_operator.run.memory import Memory
from resilience_operator.run.outcomes import Aftermath
from tests.sim.cluster import MANAGER
from tests.sim.leaves import GRACE
from tests.sim.world import ALL_RULES, World, key

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)


def world(operation: str = "Update") -> World:
    """shop/a, with an entry of ours that owns its grace period."""
    made = World()
    made.create("a")
    stored = made.cluster.stored[key("a")]
    stored.owners[(MANAGER, operation)] = frozenset({GRACE})
    stored.times[(MANAGER, operation)] = made.cluster.now
    assert made.traces("a") == [operation]
    return made


@pytest.mark.parametrize("operation", ["Update", "Apply"])
def test_where_no_policy_asks_anything_any_more_it_goes_all_the_same(operation: str) -> None:
    made = world(operation)
    before = made.pod("a")
    made.turns(2)
    assert (made.traces("a"), made.operator.let_go, made.operator.writes) == ([], [key("a")], [])
    assert made.pod("a") == before


def test_a_change_that_waits_for_a_slot_does_not_hold_it_up() -> None:
    made = world()
    made.operator.limits = OperatorLimits(max_rollouts=0)
    made.operator.policy(deployments=ALL_RULES)
    made.turns(3)
    assert (made.traces("a"), made.operator.writes) == ([], [])
    made.operator.limits = OperatorLimits()
    made.until(made.converged)
    assert made.operator.writes == [("apply", key("a"))]


def test_on_an_object_that_is_opted_out_of_everything_nothing_at_all_is_written() -> None:
    made = world()
    made.label("a", **{"resilience.dev__ignore": "all"})
    made.operator.policy(deployments=ALL_RULES)
    made.turns(3)
    assert (made.traces("a"), made.operator.let_go, made.operator.writes) == (["Update"], [], [])


def letting_go(policy: Policy) -> Change:
    return Change(
        verb=Verb.LET_GO,
        result=Result.APPLIED,
        object=ObjectRef("apps/v1", "Deployment", "shop", "a", "u-1"),
        resource_version="7",
        leaves={},
        state=ObjectState(),
        written=(),
        rules=(),
        policies=(policy,),
        reason="leaves no ownership behind",
        disruptive=False,
    )


def test_a_policy_that_is_stopped_does_not_hold_it_up() -> None:
    policy = Policy("production", "p-1", digest="d")
    failed = Quarantine(ROLLOUT_FAILED, "failed", NOW, {"p-1": "d"}, 2, ("spread",))
    change = letting_go(policy)
    decision = Decision(change.object, change=change, state=ObjectState(quarantines=(failed,)))
    found = schedule([decision], {"p-1": policy}, OperatorLimits(), NOW)
    assert (found.now, found.waiting, list(found.stopped_in)) == ((change,), {}, [("production", "shop")])


def test_where_it_is_refused_it_is_tried_again_later_and_not_in_every_pass() -> None:
    memory, services = Memory(), SimpleNamespace(monotonic=lambda: 100.0)
    after = Aftermath(_any(services), Decided(), memory, _any(None))
    change = letting_go(Policy("production", "p-1"))
    after.settle(Report(change, Done.REFUSED, NOW, "the API server refuses it"))
    assert memory.waits(change.object.key, 100.0)


def _any(value: object) -> Any:
    return value
