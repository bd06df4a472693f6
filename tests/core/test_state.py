"""The annotation that remembers: read back as written, and refused with a reason where it is not ours."""

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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


OURS = Claim("resilience-operator", "Apply", state=True)
HOLDS_ONE = ObjectState("d-1", {"spec.replicas": Held("replicas", 2, 1)})
CONSTRAINT = {
    "topologyKey": "z",
    "maxSkew": 1,
    "whenUnsatisfiable": "ScheduleAnyway",
    "labelSelector": {"matchLabels": {"app": "web"}},
}


def leaf(**held: Any) -> str:
    """The text of a state with one leaf that says this."""
    body = {"rule": "dns-config", "set": [], "policies": [], "revision": 1} | held
    return json.dumps(GOOD | {"leaves": {OPTIONS: body}})


def in_itself(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        (json.dumps(GOOD) + " " * 16 * 1024, "longer than 16 KiB"),
        (json.dumps(GOOD, ensure_ascii=False) + "ä" * 9000, "longer than 16 KiB"),
        (leaf(set=in_itself(9)), "nested too deep"),
        (leaf(was=in_itself(300)), "nested too deep"),
        (leaf(revision=int("9" * 31)), "revision"),
        (leaf(revision=True), "revision"),
        (leaf(revision=1.5), "revision"),
        (leaf(policies="p-1"), "policies"),
        (leaf(policies=[["p-1"]]), "policies"),
        (leaf(policies=["p" * 65]), "policies"),
        (leaf(rule=["dns-config"]), "rule"),
        (leaf(rule="r" * 64), "rule"),
        (leaf(absent="4"), "absent"),
        (leaf(absent=-1), "absent"),
        (leaf(note="by hand"), "unknown field `note`"),
        (json.dumps(GOOD | {"note": 1}), "unknown field `note`"),
        (json.dumps(GOOD | {"leaves": {f"data.x{n}": {"rule": "r", "set": 1} for n in range(65)}}), "<= 64"),
        (json.dumps(GOOD | {"applies": [["2026-11-22T08:00:00Z", int("9" * 31)]]}), "no revision"),
        (json.dumps(GOOD | {"applies": [["2026-11-22T08:00:00Z", "2"]]}), "a time, a revision and rules"),
        (json.dumps(GOOD | {"applies": [["2026-11-22T08:00:00Z", 2, 3]]}), "a time, a revision and rules"),
        (json.dumps(GOOD | {"uid": 7}), "uid"),
        (json.dumps(GOOD | {"uid": "u" * 3000}), "uid"),
        (json.dumps(GOOD | {"names": {"u": {"a": 1}}}), "names"),
        (json.dumps(GOOD | {"quarantines": [FAILED | {"revision": 1, "message": "m" * 1025}]}), "message"),
        ('{"v":1,"uid":"' + "\\u001b[31m" * 40 + '","x":1}', "not readable"),
        ('{"v":1,"uid":' + "9" * 5000 + "}", "4300 digits"),
    ],
)
def test_a_state_out_of_bounds_is_refused_in_a_short_sentence(annotation: str, says: str) -> None:
    with pytest.raises(UnreadableStateError) as refused:
        decode(annotation)
    told = str(refused.value)
    assert says in told
    assert len(told) < 250
    assert told.isprintable()


REPLICAS, GRACE = "spec.replicas", "spec.template.spec.terminationGracePeriodSeconds"
SPREAD = "spec.template.spec.topologySpreadConstraints[topologyKey=z,whenUnsatisfiable=ScheduleAnyway]"
SLEEP = {"sleep": {"seconds": 5}}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (HOOK, {"sleep": []}),
        (HOOK, {"sleep": {"seconds": "5"}}),
        (HOOK, {"exec": {"command": "sleep 5"}}),
        (HOOK, {"exec": {"command": ["a"]}, "more": 1}),
        (HOOK, "sleep"),
        (REPLICAS, "3"),
        (REPLICAS, True),
        (REPLICAS, 2**31),
        (GRACE, -1),
        (OPTIONS, {"name": "ndots"}),
        (OPTIONS, [{"name": ["ndots"]}]),
        (OPTIONS, [["ndots"]]),
        (SPREAD, []),
        (SPREAD, {"topologyKey": "z", "maxSkew": "1", "whenUnsatisfiable": "ScheduleAnyway"}),
        (
            SPREAD,
            {"topologyKey": "z", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": []},
        ),
    ],
)
def test_a_value_that_the_api_server_would_not_take_at_a_leaf_was_never_there(path: str, value: Any) -> None:
    good = {HOOK: SLEEP, REPLICAS: 1, GRACE: 30, OPTIONS: [], SPREAD: {**CONSTRAINT}}[path]
    why = f"The annotation resilience.dev/state is not believed: no such value can be at {path}."
    for held in (Held("r", value), Held("r", good, value)):
        assert annotated(ObjectState("d-1", {path: held}), OURS) == (ObjectState(), why)
    assert annotated(ObjectState("d-1", {path: Held("r", good, good)}), OURS)[1] == ""


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (
            replace(HOLDS_ONE, applies=(Apply(AT + timedelta(minutes=11), 2),)),
            "of a time that has not come yet",
        ),
        (
            replace(HOLDS_ONE, applies=(Apply(datetime(8999, 1, 1, tzinfo=UTC), 2),)),
            "a time that has not come yet",
        ),
        (
            replace(HOLDS_ONE, quarantines=(Quarantine("RolloutFailed", "m", AT + timedelta(days=1)),)),
            "a time that",
        ),
        (
            replace(HOLDS_ONE, quarantines=(Quarantine("Rollout\nFailed", "m", AT),)),
            "names a rule that cannot be one",
        ),
        (replace(HOLDS_ONE, names={"p-1": "\x1b[31m"}), "names a policy that cannot be one"),
        (replace(HOLDS_ONE, policies={"p 1": 1}), "names a policy that cannot be one"),
        (ObjectState("d-1", {REPLICAS: Held("<b>", 1)}), "names a rule that cannot be one"),
    ],
)
def test_what_this_operator_cannot_have_written_is_not_believed_and_said(
    state: ObjectState, why: str
) -> None:
    believed, told = annotated(state, OURS, now=AT)
    assert believed == ObjectState()
    assert why in told
    assert told.isprintable()


def test_the_words_of_others_in_our_state_are_cut_and_harmless_to_a_terminal() -> None:
    said = Quarantine("RolloutFailed", "denied:\n\x1b[31m" + "m" * 2000, AT)
    state = decode(encode(replace(HOLDS_ONE, quarantines=(said,))))
    (kept,) = state.quarantines
    assert (kept.message[:15], len(kept.message)) == ("denied: [31mmmm", 1024)
    assert kept.message.isprintable()


def test_what_we_write_is_never_too_long_to_be_believed() -> None:
    many = tuple(Quarantine("RolloutFailed", f"{number} " + "ä" * 1000, AT) for number in range(30))
    state = decode(encode(replace(HOLDS_ONE, quarantines=many, contests=10**9)))
    assert [one.message[:2] for one in state.quarantines] == ["23", "24", "25", "26", "27", "28", "29"]
    assert (state.leaves, state.contests) == (HOLDS_ONE.leaves, 10_000)


def test_the_clock_of_the_replica_that_wrote_may_be_some_minutes_ahead() -> None:
    state = replace(HOLDS_ONE, applies=(Apply(AT + timedelta(minutes=9), 2),))
    assert annotated(state, OURS, now=AT) == (state, "")


@given(
    st.recursive(json_values, lambda inner: st.dictionaries(st.sampled_from([*GOOD, "quarantines"]), inner))
)
def test_no_json_at_all_crashes_the_reader(body: Any) -> None:
    for candidate in (body, GOOD | body if isinstance(body, dict) else body):
        with suppress(UnreadableStateError):
            decode(json.dumps(candidate))


def annotated(state: ObjectState, *owners: Claim, now: datetime | None = None) -> tuple[ObjectState, str]:
    subject = deployment(meta={"annotations": {ANNOTATION: encode(state)}})
    return believe(type(subject)(subject.metadata, subject.spec, subject.status, owners), now)


HOLDS = ObjectState("d-1", {OPTIONS: Held("dns-config", [{"name": "ndots", "value": "2"}])})


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
