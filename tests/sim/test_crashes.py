"""Every write of a remediation of five Deployments with limit 2, killed before and after: always the same end."""

import json

import pytest

from tests.sim.leaves import STATE_KEY, Raw
from tests.sim.world import ALL_RULES, TWO_AT_ONCE, World, key

NAMES = ("a", "b", "c", "d", "e")


def world(crash: tuple[int, str] | None = None) -> World:
    made = World()
    made.create(*NAMES)
    made.operator.policy(onRelease="Revert", rollout=TWO_AT_ONCE, deployments=ALL_RULES)
    made.operator.crash = crash
    return made


def end_state(made: World) -> dict[str, Raw]:
    """Every spec, and what our annotation remembers, but for its times."""
    found = {}
    for name in NAMES:
        raw = made.cluster.stored[key(name)].raw
        state = json.loads(raw["metadata"].get("annotations", {}).get(STATE_KEY, "{}"))
        state.pop("applies", None)
        found[name] = {"spec": raw["spec"], "state": state, "traces": made.traces(name)}
    return found


def remediated(crash: tuple[int, str] | None = None) -> World:
    made = world(crash)
    made.until(made.converged)
    assert made.operator.crash is None, "the crash happened"
    return made


def released(crash: tuple[int, str] | None = None) -> World:
    made = world()
    made.until(made.converged)
    made.operator.writes.clear()
    made.operator.let_go.clear()
    made.peak, made.operator.crash = 0, crash
    made.operator.delete_policy()
    made.until(lambda: not made.operator.policies)
    made.turns(10)
    assert made.operator.crash is None, "the crash happened"
    return made


CALM, CALM_RELEASE = remediated(), released()


def test_five_deployments_are_repaired_in_five_writes_two_at_a_time() -> None:
    assert sorted(CALM.operator.writes) == [("apply", key(name)) for name in NAMES]
    assert sorted(CALM.operator.let_go) == [key(name) for name in NAMES]
    assert CALM.peak == 2


def test_five_deployments_are_given_back_two_at_a_time_and_nothing_is_left() -> None:
    before = World()
    before.create(*NAMES)
    assert {name: CALM_RELEASE.pod(name) for name in NAMES} == {name: before.pod(name) for name in NAMES}
    assert {name: CALM_RELEASE.traces(name) for name in NAMES} == {name: [] for name in NAMES}
    assert CALM_RELEASE.peak == 2


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(CALM.operator.sent))
def test_a_crash_at_a_write_of_a_remediation_changes_nothing_about_its_end(number: int, moment: str) -> None:
    crashed = remediated((number, moment))
    assert end_state(crashed) == end_state(CALM)
    assert (crashed.peak, crashed.operator.refused) == (2, [])


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(CALM_RELEASE.operator.sent))
def test_a_crash_at_a_write_of_a_release_changes_nothing_about_its_end(number: int, moment: str) -> None:
    crashed = released((number, moment))
    assert end_state(crashed) == end_state(CALM_RELEASE)
    assert (crashed.peak, crashed.operator.refused) == (2, [])
