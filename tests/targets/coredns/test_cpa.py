"""The floor in the cluster-proportional-autoscaler's parameters: nothing else changes, and what is wrong is said."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resilience_operator.targets.workloads.autoscalers import Autoscaler, parse
from resilience_operator.targets.workloads.cpa import (
    Floor,
    Reading,
    blocked,
    lacks,
    raised,
    raised_text,
    read,
    read_default_params,
    read_text,
)
from resilience_operator.targets.workloads.json_text import NotJSONError, decoded, members

FLOOR = Floor(3)
IDLE = "the autoscaler logs an error and does not scale"
LINEAR = "coresPerReplica, nodesPerReplica, min, max, preventSinglePointFailure, includeUnschedulableNodes"
LADDER = "coresToReplicas, nodesToReplicas, includeUnschedulableNodes"
# What Kubernetes' dns-horizontal-autoscaler.yaml gives the autoscaler, and the ConfigMap that it makes of it.
PARAMS = (
    '{"linear":{"coresPerReplica":256,"nodesPerReplica":16,'
    '"preventSinglePointFailure":true,"includeUnschedulableNodes":true}}'
)
CREATED = (
    '{"coresPerReplica":256,"includeUnschedulableNodes":true,'
    '"nodesPerReplica":16,"preventSinglePointFailure":true}'
)


@pytest.mark.parametrize(
    ("mode", "text", "reading"),
    [
        ("linear", CREATED, Reading("linear", "", 1, None, True)),
        ("linear", '{"nodesPerReplica": 16, "min": 0, "max": 0}', Reading("linear", "", 1)),
        ("linear", '{"coresPerReplica": 2.5, "min": 4, "max": 9}', Reading("linear", "", 4, 9)),
        ("linear", '{"NODESPERREPLICA": 16, "Min": 2, "mAx": 8}', Reading("linear", "", 2, 8)),
        ("linear", '{"node\\u017fPerReplica": 16, "\\u006din": 2}', Reading("linear", "", 2)),
        ("linear", '{"nodesPerReplica": 16, "min": null, "max": null}', Reading("linear", "", 1)),
        ("linear", '{"nodesPerReplica": 1e-999, "coresPerReplica": 8}', Reading("linear", "", 1)),
        ("linear", '{"nodesPerReplica": 16, "minReplicas": 3, "zone": {"min": 1}}', Reading("linear", "", 1)),
        ("ladder", '{"nodesToReplicas": [[1, 1], [2, 2]]}', Reading("ladder", "", 1)),
        ("ladder", '{"nodesToReplicas": [[64, 3], [8, 2]]}', Reading("ladder", "", 2)),
        ("ladder", '{"nodesToReplicas": [[0, 0], [6, 1]]}', Reading("ladder", "", 0)),
        (
            "ladder",
            '{"coresToReplicas": [[1, 1], [9, 3]], "nodesToReplicas": [[1, 2]]}',
            Reading("ladder", "", 2),
        ),
        (
            "ladder",
            '{"nodesToReplicas": [[1, 5]], "includeUnschedulableNodes": true}',
            Reading("ladder", "", 5),
        ),
        ("ladder", '{"coresToReplicas": null, "nodesToReplicas": [[1, 5]]}', Reading("ladder", "", 5)),
    ],
)
def test_parameters_are_read_as_the_autoscaler_reads_them(mode: str, text: str, reading: Reading) -> None:
    assert read({mode: text}) == reading


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ([], f"no key is linear or ladder, and it wants exactly one of these: {IDLE}"),
        (
            ["linear", "ladder"],
            f"there are 2 keys (ladder, linear), and it wants exactly one of these: {IDLE}",
        ),
        (["Linear"], f"the key is Linear, neither linear nor ladder: {IDLE}"),
    ],
)
def test_without_exactly_one_known_key_the_autoscaler_does_nothing(keys: list[str], problem: str) -> None:
    data = dict.fromkeys(keys, CREATED)
    assert (read(data), raised(data, FLOOR)) == (Reading("", problem), None)


WHOLE = "no whole number from 0 to 2147483647"


@pytest.mark.parametrize(
    ("mode", "text", "problem"),
    [
        ("linear", '{"nodesPerReplica": 16, "min": "3"}', f'min is "3", {WHOLE}'),
        ("linear", '{"nodesPerReplica": 16, "min": 3.0}', f"min is 3.0, {WHOLE}"),
        ("linear", '{"nodesPerReplica": 16, "max": 1e1}', f"max is 10.0, {WHOLE}"),
        ("linear", '{"nodesPerReplica": 16, "min": [3,\n 4]}', f"min is [3, 4], {WHOLE}"),
        ("linear", '{"nodesPerReplica": 16, "min": true}', f"min is true, {WHOLE}"),
        ("linear", '{"nodesPerReplica": 16, "min": 2147483648}', f"min is 2147483648, {WHOLE}"),
        ("linear", '{"nodesPerReplica": 16, "max": -1}', f"max is -1, {WHOLE}"),
        ("linear", '{"coresPerReplica": "2.5"}', 'coresPerReplica is "2.5", no number from 0 on'),
        ("linear", '{"coresPerReplica": true}', "coresPerReplica is true, no number from 0 on"),
        ("linear", '{"coresPerReplica": -0.5}', "coresPerReplica is -0.5, no number from 0 on"),
        ("linear", '{"coresPerReplica": 1e999}', "coresPerReplica is Infinity, no number from 0 on"),
        (
            "linear",
            '{"nodesPerReplica": 16, "preventSinglePointFailure": "true"}',
            'preventSinglePointFailure is "true", neither true nor false',
        ),
        (
            "ladder",
            '{"nodesToReplicas": [[1, 5]], "includeUnschedulableNodes": 1}',
            "includeUnschedulableNodes is 1, neither true nor false",
        ),
        ("linear", '{"min": 3}', "neither coresPerReplica nor nodesPerReplica is above 0"),
        ("linear", "null", "neither coresPerReplica nor nodesPerReplica is above 0"),
        ("linear", "[3]", "[3] is no object in braces"),
        ("linear", '{"nodesPerReplica": 16, "min": 5, "max": 3}', "max 3 is below min 5"),
        (
            "linear",
            '{"nodesPerReplica": 16, "min": 1, "MIN": 2}',
            "min is there twice, in two spellings, and which one counts is not plain",
        ),
        (
            "linear",
            f'{{"nodesPerReplica": "{"7" * 99}"}}',
            f'nodesPerReplica is "{"7" * 36}..., no number from 0 on',
        ),
        (
            "ladder",
            '{"nodesToReplicas": [[1, "1"]]}',
            f'a number in step [1, "1"] of nodesToReplicas is "1", {WHOLE}',
        ),
        (
            "ladder",
            '{"nodesToReplicas": [[1, -2]]}',
            f"a number in step [1, -2] of nodesToReplicas is -2, {WHOLE}",
        ),
        ("ladder", '{"nodesToReplicas": [1]}', "the step 1 of nodesToReplicas is no [threshold, replicas]"),
        (
            "ladder",
            '{"nodesToReplicas": [[4]]}',
            "the step [4] of nodesToReplicas is no [threshold, replicas]",
        ),
        (
            "ladder",
            '{"nodesToReplicas": [null]}',
            "the step null of nodesToReplicas is no [threshold, replicas]",
        ),
        (
            "ladder",
            '{"nodesToReplicas": {"1": 2}}',
            'nodesToReplicas is {"1": 2}, no list of steps such as [[1, 3]]',
        ),
        (
            "ladder",
            '{"nodesToReplicas": []}',
            "neither coresToReplicas nor nodesToReplicas has a step, and it scales to 0",
        ),
    ],
)
def test_what_the_autoscaler_refuses_or_what_is_open_to_doubt_is_said_and_not_edited(
    mode: str, text: str, problem: str
) -> None:
    said = Reading(mode, f"{mode}: {problem}")
    assert (read_text(mode, text), raised_text(mode, text, FLOOR)) == (said, None)
    assert len(said.problem) <= 300


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "Expecting value: line 1 column 1 (char 0)"),
        ('{"min": 3}}', "Extra data: line 1 column 11 (char 10)"),
        # The example in the autoscaler's own README lacks this comma.
        ('{\n "min": 1\n "max": 9\n}', "Expecting ',' delimiter: line 3 column 2 (char 13)"),
        ('{"min": NaN}', "NaN is no number"),
        ('{"min": 1, "min": 2}', '"min" is there twice'),
        ("[" * 100_000, "it is nested too deeply"),
        ("min: 3\nmax: 4", "Expecting value: line 1 column 1 (char 0)"),
    ],
)
def test_what_is_no_json_is_said_with_its_place(text: str, error: str) -> None:
    said = Reading("linear", f"linear cannot be read, {error}")
    assert (read_text("linear", text), raised_text("linear", text, FLOOR)) == (said, None)


INCLUDE = '"includeUnschedulableNodes"'
PREVENT = '"preventSinglePointFailure"'
PRETTY = """{
  "coresPerReplica": 2.50e2,

  "nodesPerReplica": 16,
  "min": 1,
  "zone": {"b": [1,   2], "min": 1},
  "max": 100
}
"""


@pytest.mark.parametrize(
    ("text", "new"),
    [
        (CREATED, CREATED[:-1] + ',"min":3}'),
        (
            '{"coresPerReplica":64,"min":1,"nodesPerReplica":2}',
            f'{{"coresPerReplica":64,"min":3,"nodesPerReplica":2,{PREVENT}:true,{INCLUDE}:true}}',
        ),
        (
            PRETTY,
            PRETTY.replace('"min": 1,\n', '"min": 3,\n').replace(
                "100\n", f"100,\n  {PREVENT}: true,\n  {INCLUDE}: true\n"
            ),
        ),
        (
            f'{{ "nodesPerReplica" : 16 , {PREVENT} : false }}',
            f'{{ "nodesPerReplica" : 16 , {PREVENT} : true , "min" : 3 , {INCLUDE} : true }}',
        ),
        ('{"nodesPerReplica":16}', f'{{"nodesPerReplica":16,"min":3,{PREVENT}:true,{INCLUDE}:true}}'),
        (
            '{"nodesPerReplica": 16}',
            f'{{"nodesPerReplica": 16, "min": 3, {PREVENT}: true, {INCLUDE}: true}}',
        ),
        (
            '{ "nodesPerReplica":16 }',
            f'{{ "nodesPerReplica":16, "min":3, {PREVENT}:true, {INCLUDE}:true }}',
        ),
        (
            '{\r\n\t"nodesPerReplica": 16\r\n}',
            f'{{\r\n\t"nodesPerReplica": 16,\r\n\t"min": 3,\r\n\t{PREVENT}: true,\r\n\t{INCLUDE}: true\r\n}}',
        ),
        (
            '{"nodesPerReplica": 16\n, "min": 2\n}',
            f'{{"nodesPerReplica": 16\n, "min": 3\n, {PREVENT}: true\n, {INCLUDE}: true\n}}',
        ),
        (
            f'{{"min"            : 3, {PREVENT}:   true, "nodesPerReplica": 16}}',
            f'{{"min"            : 3, {PREVENT}:   true, "nodesPerReplica": 16, {INCLUDE}: true}}',
        ),
        # Keys in another spelling are the same keys.
        (
            '{"nodesPerReplica": 16, "\\u006dIN": 2, "PreventSinglePointFailure": null}',
            f'{{"nodesPerReplica": 16, "\\u006dIN": 3, "PreventSinglePointFailure": true, {INCLUDE}: true}}',
        ),
        (
            f'{{"nodesPerReplica": 16, "min": 5, {INCLUDE}: false}}',
            f'{{"nodesPerReplica": 16, "min": 5, {INCLUDE}: true, {PREVENT}: true}}',
        ),
        (f'{{"nodesPerReplica": 16, "min": 5, {PREVENT}: true, {INCLUDE}: true}}', None),
        (f'{{"nodesPerReplica": 16, "min": 3, "max": 3, {PREVENT}: true, {INCLUDE}: true}}', None),
        ('{"nodesPerReplica": 16, "min": 1, "max": 2}', None),
        ('{"nodesPerReplica": 16, "max": 1}', None),
        # What is left of two equal keys is not plain to every reader: not touched, and a problem.
        ('{"nodesPerReplica": 16, "min": 1, "min": null}', None),
    ],
)
def test_the_floor_is_written_into_linear_and_no_other_byte_changes(text: str, new: str | None) -> None:
    assert raised_text("linear", text, FLOOR) == new
    assert raised({"linear": text}, FLOOR) == (None if new is None else ("linear", new))


def test_a_floor_that_allows_a_single_point_leaves_that_switch_alone() -> None:
    text = f'{{"nodesPerReplica":16,{PREVENT}:false,"max":1}}'
    new = f'{{"nodesPerReplica":16,{PREVENT}:false,"max":1,{INCLUDE}:true}}'
    assert raised_text("linear", text, Floor(1, prevent_single_point_failure=False)) == new
    assert raised_text("linear", text, Floor(1)) is None


README_LADDER = """
    {
      "coresToReplicas":
      [
        [ 1, 1 ],
        [ 64, 3 ],
        [ 512, 5 ]
      ],
      "nodesToReplicas":
      [
        [ 1, 1 ],
        [ 2, 2 ]
      ]
    }"""


@pytest.mark.parametrize(
    ("text", "new"),
    [
        (README_LADDER, README_LADDER.replace("[ 1, 1 ]", "[ 1, 3 ]").replace("[ 2, 2 ]", "[ 2, 3 ]")),
        # A step of 0 on purpose does not stand against the policy.
        ('{"nodesToReplicas":[[0,0],[6,1],[60,4]]}', '{"nodesToReplicas":[[0,3],[6,3],[60,4]]}'),
        # Below 64 cores the lowest step answers: no step is missing.
        ('{"coresToReplicas": [[64, 2], [128, 9]]}', '{"coresToReplicas": [[64, 3], [128, 9]]}'),
        (
            '{"zone": [[1, 1]], "NodesToReplicas": [[1, 1]], "more": [[1, 1]]}',
            '{"zone": [[1, 1]], "NodesToReplicas": [[1, 3]], "more": [[1, 1]]}',
        ),
        (
            '{"coresToReplicas": null, "nodesToReplicas": [[1, 2]]}',
            '{"coresToReplicas": null, "nodesToReplicas": [[1, 3]]}',
        ),
        # The larger answer counts: the cores alone never let it fall below the floor.
        ('{"coresToReplicas": [[1, 3]], "nodesToReplicas": [[1, 1]]}', None),
        ('{"nodesToReplicas": [[1, 1], [2]]}', None),
        ('{"nodesToReplicas": [[1, 1, 1]]}', None),
        ('{"nodesToReplicas": []}', None),
    ],
)
def test_the_floor_is_written_into_every_step_of_a_ladder(text: str, new: str | None) -> None:
    assert raised({"ladder": text}, FLOOR) == (None if new is None else ("ladder", new))


BELOW = (
    "maximum 2 is below the floor 3: the autoscaler refuses a min above max, so the floor is not written;"
    ' commit "min": 3 and "max": 3 or more, or no "max"'
)
SINGLE = (
    "maximum 1 is below the two replicas of preventSinglePointFailure, which the autoscaler chooses as soon as it"
    ' counts two nodes; commit a "max" of 2 or more, or none'
)


@pytest.mark.parametrize(
    ("maximum", "floor", "finding"),
    [
        (3, FLOOR, ""),
        (0, FLOOR, ""),
        (1, Floor(1, prevent_single_point_failure=False), ""),
        (2, FLOOR, BELOW),
        (1, Floor(1), SINGLE),
    ],
)
def test_a_floor_above_the_owners_maximum_is_a_finding_and_never_written(
    maximum: int, floor: Floor, finding: str
) -> None:
    text = f'{{"nodesPerReplica": 16, "max": {maximum}}}'
    assert blocked(read_text("linear", text), floor) == finding
    assert (raised_text("linear", text, floor) is None) == bool(finding)


ARGV = [
    "/cluster-proportional-autoscaler",
    "--namespace=kube-system",
    "--configmap=kube-dns-autoscaler",
    "--target=deployment/coredns",
    f"--default-params={PARAMS}",
    "--logtostderr=true",
    "--v=2",
]
COREDNS = ("deployment", "coredns")
SEVERAL = "--target=deployment/coredns, replicaset/a,statefulset/b,replicationcontroller/c,"
SEVERAL_TARGETS = (
    COREDNS,
    ("replicaset", "a"),
    ("statefulset", "b"),
    ("replicationcontroller", "c"),
)


@pytest.mark.parametrize(
    ("argv", "autoscaler"),
    [
        (ARGV, Autoscaler("kube-system", (COREDNS,), "kube-dns-autoscaler", PARAMS)),
        (
            [
                "--configmap",
                "dns",
                "-target",
                "Deployments.apps/CoreDNS",
                "--default_params",
                "{}",
                "--v",
                "2",
            ],
            Autoscaler("dns-system", (COREDNS,), "dns", "{}"),
        ),
        (["--configmap=dns", SEVERAL], Autoscaler("dns-system", SEVERAL_TARGETS, "dns", "")),
        (
            ["--target=deployments.example.com/coredns", "--configmap=", "--target"],
            Autoscaler("dns-system", (("deployments.example.com", "coredns"),), "", ""),
        ),
        (
            ["--target=deployment/a", "--configmap=dns", "--target=coredns"],
            Autoscaler("dns-system", (("coredns", ""),), "dns", ""),
        ),
        (["/usr/bin/cluster-proportional-autoscaler", "--version"], Autoscaler("dns-system", (), "", "")),
        (["/coredns", "-conf", "/etc/coredns/Corefile"], None),
        (["--target=deployment/coredns"], None),
        (["--configmaps=dns", "--target-cpu=1", "configmap=dns", "target=x"], None),
        ([], None),
    ],
)
def test_the_autoscaler_is_recognised_by_its_program_or_its_flags(
    argv: list[str], autoscaler: Autoscaler | None
) -> None:
    expected = replace(autoscaler, home="dns-system") if autoscaler is not None else None
    assert parse(tuple(argv), "dns-system") == expected


@pytest.mark.parametrize(
    ("text", "reading", "below"),
    [
        (PARAMS, Reading("linear", "", 1, None, True), True),
        (' { "ladder" : { "nodesToReplicas" : [ [ 1, 3 ] ] } } ', Reading("ladder", "", 3), False),
        # The autoscaler rewrites every number before it reads them: here a whole number may have a point.
        ('{"linear": {"nodesPerReplica": 1e1, "min": 1.0, "max": 9.0}}', Reading("linear", "", 1, 9), True),
        ('{"ladder": {"nodesToReplicas": [[1.0, 4.0], [4, 8]]}}', Reading("ladder", "", 4), False),
        ('{"linear": {"nodesPerReplica": 16, "max": 2}}', Reading("linear", "", 1, 2), False),
        (
            '{"linear": {"nodesPerReplica": 16, "min": 1.5}}',
            Reading("linear", f"linear: min is 1.5, {WHOLE}"),
            False,
        ),
        (
            '{"linear": {}, "ladder": {}}',
            Reading("", f"there are 2 keys (ladder, linear), and it wants exactly one of these: {IDLE}"),
            False,
        ),
        ("{}", Reading("", f"no key is linear or ladder, and it wants exactly one of these: {IDLE}"), False),
        ('{"Linear": {}}', Reading("", f"the key is Linear, neither linear nor ladder: {IDLE}"), False),
        ("[1]", Reading("", "--default-params is no object: the autoscaler does not start"), False),
        (
            '{"linear": {"min": 1, "min": 2}}',
            Reading(
                "", '--default-params cannot be read, "min" is there twice: the autoscaler does not start'
            ),
            False,
        ),
    ],
)
def test_default_params_are_read_as_what_the_autoscaler_makes_of_them(
    text: str, reading: Reading, below: bool
) -> None:
    assert (read_default_params(text), lacks(reading, FLOOR)) == (reading, below)


KNOWN = {"linear": LINEAR.split(", "), "ladder": LADDER.split(", ")}
FLOOR_KEYS = "min|preventSinglePointFailure|includeUnschedulableNodes"

modes = st.sampled_from(["linear", "ladder"])
spaces = st.sampled_from(["", "", "", " ", "\n  ", "\r\n\t"])
whole = st.sampled_from(["1", "2", "3", "4", "16"])
odd_values = st.sampled_from(
    [
        "0",
        "-1",
        "3.0",
        "2.5",
        "1e1",
        "1e999",
        "2147483648",
        "99999999999999999999",
        '"3"',
        '"true"',
        "null",
        "[]",
        "{}",
        "01",
        "NaN",
    ]
)
odd_steps = st.sampled_from(
    ["[1]", "[]", "[1,2,3]", "null", "[1,null]", "[0, 0]", "[1,-1]", "5", '["1",2]', "[2,1.0]"]
)
unknown_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
).map(json.dumps)
floors = st.builds(Floor, st.integers(0, 5), st.booleans())


def seldom(draw: st.DrawFn) -> bool:
    return draw(st.integers(0, 11)) == 7


@st.composite
def ladders(draw: st.DrawFn) -> str:
    gap = draw(spaces)
    pairs = st.builds(lambda threshold, replicas: f"[{gap}{threshold},{gap}{replicas}{gap}]", whole, whole)
    every = draw(st.lists(pairs, max_size=3)) + ([draw(odd_steps)] if seldom(draw) else [])
    return f"[{gap}{f',{gap}'.join(every)}{gap}]"


def values(key: str) -> st.SearchStrategy[str]:
    if key.endswith("ToReplicas"):
        return ladders()
    return (
        whole if key in {"min", "max"} or key.endswith("PerReplica") else st.sampled_from(["true", "false"])
    )


@st.composite
def parameters(draw: st.DrawFn, mode: str) -> tuple[str, list[str]]:
    """A text that is nearly what the autoscaler takes, and the members in it that it does not know."""
    colon, comma = draw(spaces) + ":" + draw(spaces), draw(spaces) + "," + draw(spaces)
    members, unknown = [], []
    keys = st.sampled_from([*KNOWN[mode], "", "zone", "minReplicas"])
    for key in draw(st.lists(keys, max_size=7, unique=not seldom(draw))):
        if key not in KNOWN[mode]:
            members.append(f'"{key}"{colon}{draw(unknown_values)}')
            unknown.append(members[-1])
            continue
        spelled = draw(st.sampled_from([key, key, key, key.upper(), key.replace("s", "\u017f")]))
        members.append(f'"{spelled}"{colon}{draw(odd_values if seldom(draw) else values(key))}')
    return f"{draw(spaces)}{{{draw(spaces)}{comma.join(members)}{draw(spaces)}}}{draw(spaces)}", unknown


@st.composite
def config_maps(draw: st.DrawFn) -> tuple[dict[str, str], list[str]]:
    mode = draw(modes)
    text, unknown = draw(parameters(mode))
    if seldom(draw):
        at, cut = draw(st.integers(0, len(text))), draw(st.integers(0, 2))
        text, unknown = text[:at] + draw(st.text(max_size=2)) + text[at + cut :], []
    elif seldom(draw):
        text, unknown = draw(st.text(max_size=20) | unknown_values), []
    keys = draw(st.lists(st.sampled_from(["linear", "ladder", "Linear", ""]))) if seldom(draw) else [mode]
    return dict.fromkeys(keys, text), unknown


def without_floor(mode: str, text: str) -> str:
    """The text without what a floor may change: of linear its members, of a ladder the replicas of the steps."""
    if mode == "ladder":
        return re.sub(r"(\[\s*\d+\s*,\s*)\d+(\.\d+)?", r"\1", text)
    return re.sub(rf'[\s,]*"({FLOOR_KEYS})"\s*:\s*(true|false|null|\d+)', "", text, flags=re.IGNORECASE)


def value_of(text: str, key: str) -> Any:
    """A scalar under any spelling of its key."""
    return next(
        (value for name, value in json.loads(text).items() if name.casefold() == key.casefold()), None
    )


def assert_satisfied(reading: Reading, floor: Floor, text: str) -> None:
    assert not reading.problem
    assert reading.least >= floor.min_replicas
    if reading.mode == "linear":
        assert value_of(text, "includeUnschedulableNodes") is True
        assert value_of(text, "preventSinglePointFailure") is True or not floor.prevent_single_point_failure


@settings(max_examples=500)
@given(config_maps(), floors)
@example(({"linear": "[" * 100_000}, []), FLOOR)
@example(({"linear": '{"nodesPerReplica": ' + "9" * 10_000 + "}"}, []), FLOOR)
@example(({"linear": '{"nodesPerReplica": 1, "min": ' + "9" * 10_000 + "}"}, []), FLOOR)
@example(({"linear": '{"nodesPerReplica": 1, "\\ud800": "\\ud800"}'}, ['"\\ud800": "\\ud800"']), FLOOR)
def test_of_every_config_map_only_the_floor_changes(
    made: tuple[dict[str, str], list[str]], floor: Floor
) -> None:
    data, unknown = made
    before = read(data)
    changed = raised(data, floor)
    if changed is None:
        if not before.problem and not blocked(before, floor):
            assert_satisfied(before, floor, data[before.mode])
        return
    mode, new = changed
    after = read({mode: new})
    assert [mode] == list(data) == [before.mode] == [after.mode]
    assert (before.problem, blocked(before, floor), raised({mode: new}, floor)) == ("", "", None)
    assert after.maximum == before.maximum
    assert_satisfied(after, floor, new)
    assert without_floor(mode, new) == without_floor(mode, data[mode])
    at = 0
    for member in unknown:
        at = new.index(member, at) + len(member)


@given(st.text(max_size=20) | unknown_values | modes.flatmap(parameters).map(lambda made: made[0]))
def test_what_is_decoded_is_what_json_takes_and_the_places_of_its_members_are_known(text: str) -> None:
    try:
        value = decoded(text)
    except NotJSONError:
        return
    assert value == json.loads(text)
    if isinstance(value, dict):
        places = members(text, text.index("{"))
        assert {key: json.loads(text[one.start : one.end]) for key, one in places.items()} == value
        assert all(
            json.loads(text[one.key : one.start].rpartition(":")[0]) == key for key, one in places.items()
        )
