"""The annotation that remembers: read back as written, and refused with a reason where it is not ours."""

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_operator.cluster.objects.workloads import Claim
from resilience_operator.cluster.state import believe
from resilience_operator.core.paths import ABSENT
from resilience_operator.core.state import (
    ANNOTATION,
    MAX_APPLIES,
    Apply,
    Held,
    ObjectState,
    Quarantine,
    UnreadableStateError,
    decode,
    encode,
)
from tests.support.views import deployment

OPTIONS = "spec.template.spec.dnsConfig.options"
HOOK = "spec.template.spec.containers[name=web].lifecycle.preStop"
AT = datetime(2026, 11, 22, 8, 2, 11, 123000, tzinfo=UTC)

text = st.text(st.characters(codec="utf-8"), max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
seconds = st.integers(86400 * 2, 4_000_000_000)
times = seconds.map(lambda second: datetime.fromtimestamp(second, UTC))
uids = st.lists(text, max_size=2).map(tuple)
revisions = st.integers(0, 10_000)
held = st.builds(Held, text, json_values, st.just(ABSENT) | json_values, st.just(0), uids, revisions)
paths = st.sampled_from([OPTIONS, HOOK, "spec.template.spec.terminationGracePeriodSeconds"])
rules = st.lists(text, max_size=2).map(tuple)
states = st.builds(
    ObjectState,
    uid=text,
    leaves=st.dictionaries(paths, held, min_size=1),
    policies=st.dictionaries(text, revisions, max_size=2),
    names=st.dictionaries(text, text, max_size=2),
    applies=st.lists(st.builds(Apply, times, revisions, rules), max_size=MAX_APPLIES).map(tuple),
    contests=st.integers(0, 99),
    quarantines=st.lists(
        st.builds(Quarantine, text, text, times, st.dictionaries(text, text, max_size=2), revisions, rules),
        max_size=3,
    ).map(tuple),
)


@given(states)
def test_every_state_is_read_back_as_it_was_written(state: ObjectState) -> None:
    assert decode(encode(state)) == state
    assert encode(decode(encode(state))) == encode(state)


def test_absence_is_remembered_with_the_depth_of_what_was_there() -> None:
    state = ObjectState("d-1", {OPTIONS: Held("dns-config", [], ABSENT, 4), HOOK: Held("x", 1, None)})
    leaves = json.loads(encode(state))["leaves"]
    assert leaves == {
        OPTIONS: {"rule": "dns-config", "set": [], "absent": 4, "policies": [], "revision": 0},
        HOOK: {"rule": "x", "set": 1, "was": None, "policies": [], "revision": 0},
    }
    assert decode(encode(state)) == state


def test_only_the_newest_writes_are_kept() -> None:
    applies = tuple(Apply(AT, number) for number in range(20))
    state = decode(encode(ObjectState("d-1", {OPTIONS: Held("r", 1)}, applies=applies)))
    assert [apply.revision for apply in state.applies] == list(range(12, 20))


def test_a_state_is_something_while_there_is_something_to_remember() -> None:
    quarantine = Quarantine("RolloutFailed", "it failed", AT)
    every = [
        ObjectState("d-1"),
        ObjectState("d-1", {OPTIONS: Held("r", 1)}),
        ObjectState("d-1", quarantines=(quarantine,)),
        ObjectState("d-1", applies=(Apply(AT, 2),)),
    ]
    assert [bool(state) for state in every] == [False, True, True, True]


def test_without_its_last_leaf_nothing_of_our_writes_is_remembered_but_a_quarantine() -> None:
    quarantine = Quarantine("RolloutFailed", "it failed", AT)
    state = ObjectState("d-1", {OPTIONS: Held("r", 1), HOOK: Held("r", 2)}, applies=(Apply(AT, 2),))
    one = state.without(frozenset({OPTIONS}))
    assert one == replace(state, leaves={HOOK: Held("r", 2)})
    assert one.without(frozenset({HOOK})) == ObjectState("d-1")
    both = frozenset({OPTIONS, HOOK})
    assert replace(state, quarantines=(quarantine,)).without(both) == ObjectState(
        "d-1", quarantines=(quarantine,)
    )


GOOD: dict[str, Any] = json.loads(
    encode(ObjectState("d-1", {OPTIONS: Held("r", 1)}, applies=(Apply(AT, 2),)))
)
FAILED: dict[str, Any] = {
    "reason": "r",
    "message": "m",
    "at": "2026-11-22T08:00:00Z",
    "policies": {},
    "rules": [],
}


@pytest.mark.parametrize(
    "annotation",
    [
        "",
        "{",
        "null",
        "[]",
        '"text"',
        "[" * 100_000,
        json.dumps({"uid": "d-1"}),
        json.dumps(GOOD | {"v": 2}),
        json.dumps(GOOD | {"leaves": []}),
        json.dumps(GOOD | {"leaves": {OPTIONS: 1}}),
        json.dumps(GOOD | {"leaves": {OPTIONS: {"rule": "r"}}}),
        json.dumps(GOOD | {"leaves": {"no..path": {"rule": "r", "set": 1}}}),
        json.dumps(GOOD | {"leaves": {"": {"rule": "r", "set": 1}}}),
        json.dumps(GOOD | {"policies": {"u": "many"}}),
        json.dumps(GOOD | {"policies": 1}),
        json.dumps(GOOD | {"names": [1]}),
        json.dumps(GOOD | {"applies": [["2026-11-22T08:00:00", 2]]}),
        json.dumps(GOOD | {"applies": [["9999-12-31T23:59:59Z", 2]]}),
        json.dumps(GOOD | {"applies": [["0001-01-01T00:00:00+14:00", 2]]}),
        json.dumps(GOOD | {"applies": [["soon", 2]]}),
        json.dumps(GOOD | {"applies": [[1, 2]]}),
        json.dumps(GOOD | {"applies": [2]}),
        json.dumps(GOOD | {"applies": [[]]}),
        json.dumps(GOOD | {"contests": None}),
        json.dumps(GOOD | {"contests": 1e999}),
        json.dumps(GOOD | {"quarantines": {"a": 1}}),
        json.dumps(GOOD | {"quarantines": None}),
        json.dumps(GOOD | {"quarantines": [FAILED]}),
        json.dumps(GOOD | {"quarantines": [FAILED | {"revision": "x"}]}),
    ],
)
def test_what_is_not_ours_is_refused_and_never_crashes(annotation: str) -> None:
    with pytest.raises(UnreadableStateError):
        decode(annotation)


@given(
    st.recursive(json_values, lambda inner: st.dictionaries(st.sampled_from([*GOOD, "quarantines"]), inner))
)
def test_no_json_at_all_crashes_the_reader(body: Any) -> None:
    for candidate in (body, GOOD | body if isinstance(body, dict) else body):
        with suppress(UnreadableStateError):
            decode(json.dumps(candidate))


def annotated(state: ObjectState, *owners: Claim) -> tuple[ObjectState, str]:
    subject = deployment(meta={"annotations": {ANNOTATION: encode(state)}})
    return believe(type(subject)(subject.metadata, subject.spec, subject.status, owners))


OURS = Claim("resilience-operator", "Apply", state=True)
HOLDS = ObjectState("d-1", {OPTIONS: Held("dns-config", 1)})


def test_our_state_is_believed_also_where_the_patch_that_gave_back_wrote_it() -> None:
    by_patch = Claim("resilience-operator", "Update", state=True)
    assert [annotated(HOLDS, OURS), annotated(HOLDS, by_patch)] == [(HOLDS, "")] * 2


@pytest.mark.parametrize(
    ("state", "owner", "why"),
    [
        (
            replace(HOLDS, uid="d-2"),
            OURS,
            "it was written for another object (uid d-2) and copied here, for instance from a backup.",
        ),
        (
            HOLDS,
            Claim("kubectl-rollout", "Update", state=True),
            (
                "kubectl-rollout owns it, where nobody should; an older copy was brought back, for instance "
                "by kubectl rollout undo."
            ),
        ),
        (
            ObjectState("d-1", {"spec.paused": Held("replicas", 1)}),
            OURS,
            "this operator never writes spec.paused.",
        ),
        (
            ObjectState("d-1", {"spec.template.spec.containers[a=b,c=d].image": Held("x", 1)}),
            OURS,
            "this operator never writes spec.template.spec.containers[a=b,c=d].image.",
        ),
    ],
)
def test_a_state_that_is_not_ours_is_not_believed_and_says_why(
    state: ObjectState, owner: Claim, why: str
) -> None:
    assert annotated(state, owner) == (
        ObjectState(),
        f"The annotation resilience.dev/state is not believed: {why}",
    )
