"""Of a constraint each field has owners of its own: who was overruled in one has not made our entry theirs."""

from typing import Any

import msgspec
import pytest

from resilience_operator.cluster.leaves import constraint_object, constraint_path
from resilience_operator.cluster.objects.workloads import Claim, Selector, TopologySpreadConstraint
from resilience_operator.core.paths import Path
from resilience_operator.core.state import Held, ObjectState
from resilience_operator.engine.holds import Covering, sort_holds
from resilience_operator.policy.common import Mode, OnRelease
from resilience_operator.policy.policy import Policy
from tests.support.views import deployment, view

HOSTNAME = "kubernetes.io/hostname"
PATH = str(constraint_path(HOSTNAME, "ScheduleAnyway"))
SKEW, SELECTOR = f"{PATH}.maxSkew", f"{PATH}.labelSelector"
ENTRY = constraint_object(TopologySpreadConstraint(HOSTNAME, 1, "ScheduleAnyway", Selector({"app": "web"})))
HELD = Held("spread", ENTRY, {**ENTRY, "maxSkew": 5}, policies=("p-1",))
Sorted = tuple[list[str], list[str]]
GIVEN_BACK: Sorted = ([PATH], [])
LEFT: Sorted = ([], [PATH])


@pytest.mark.parametrize(
    ("operation", "leaves", "expected"),
    [
        pytest.param("Apply", {PATH, SELECTOR}, GIVEN_BACK, id="we-took-the-skew"),
        pytest.param("Apply", {PATH, SKEW}, GIVEN_BACK, id="we-took-the-selector"),
        pytest.param("Apply", {PATH, SKEW, SELECTOR}, LEFT, id="the-owner-applied-the-same"),
        pytest.param("Update", {PATH, SKEW, SELECTOR}, LEFT, id="the-owner-wrote-the-same"),
    ],
)
def test_an_entry_is_given_back_unless_its_owner_applied_all_of_it(
    operation: str, leaves: set[str], expected: Sorted
) -> None:
    ours = Claim("resilience-operator", "Apply", leaves=frozenset({PATH, SKEW, SELECTOR}))
    theirs = Claim("helm", operation, leaves=frozenset(leaves))
    mine = msgspec.structs.replace(
        deployment(pod={"topologySpreadConstraints": [ENTRY]}), claims=(ours, theirs)
    )
    policy = Policy("p", uid="p-1", on_release=OnRelease.REVERT, deleting=True, mode=Mode.ENFORCE)
    holds = sort_holds(view(mine, state=ObjectState("d-1", {PATH: HELD})), {}, {"p-1": policy})
    assert (sorted(holds.released), sorted(holds.adopted)) == expected


def test_an_entry_of_which_somebody_changed_one_field_is_not_ours_any_more() -> None:
    edited = {**ENTRY, "maxSkew": 2}
    claims = (Claim("kubectl-edit", "Update", leaves=frozenset({SKEW})),)
    theirs = msgspec.structs.replace(deployment(pod={"topologySpreadConstraints": [edited]}), claims=claims)
    policy = Policy("p", uid="p-1", mode=Mode.ENFORCE)
    demanding = Covering(policy, frozenset({PATH}), frozenset({"spread"}), frozenset())
    changed: list[Any] = [(frozenset(), {}, ()), (frozenset(), {}, (Path.parse(PATH),))]
    for covering, expected in zip(({"p-1": demanding}, {}), changed, strict=True):
        holds = sort_holds(view(theirs, state=ObjectState("d-1", {PATH: HELD})), covering, {"p-1": policy})
        assert (holds.carried, dict(holds.released), holds.changed) == expected
