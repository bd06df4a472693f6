"""The floor in the cluster-proportional-autoscaler's parameters: nothing else changes, and what it refuses is said."""

import json
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resilience_operator.targets.workloads.autoscalers import Autoscaler, parse
from resilience_operator.targets.workloads.cpa import (
    Floor,
    Problem,
    Reading,
    blocked,
    raised,
    raised_argv,
    raised_default_params,
    raised_text,
    read,
    read_default_params,
    read_text,
)
from resilience_operator.targets.workloads.json_text import NotJSONError, scan

FLOOR = Floor(3)
IDLE = "logs an error and does not scale"
REFUSED = f"the autoscaler refuses the whole value, {IDLE}"
CUT = "the autoscaler cuts it to 32 bits and scales to another number; write a smaller one"
ONE_KEY = f"the autoscaler wants exactly one, {IDLE}; write one, linear or ladder"
UNKNOWN = "is unknown: the autoscaler ignores it silently"
LINEAR = "coresPerReplica, nodesPerReplica, min, max, preventSinglePointFailure, includeUnschedulableNodes"
LADDER = "coresToReplicas, nodesToReplicas, includeUnschedulableNodes"
NO_RATE = f"neither coresPerReplica nor nodesPerReplica is above 0: {REFUSED}; write one of them"
NO_STEP = "coresToReplicas and nodesToReplicas have no step: the autoscaler scales to 0; write steps such as [[1, 3]]"
OVERRIDDEN = (
    "max is 1, but with preventSinglePointFailure the autoscaler chooses 2 as soon as it counts two nodes;"
    " write a max of at least 2, or none"
)
# What Kubernetes' dns-horizontal-autoscaler.yaml gives the autoscaler, and the ConfigMap that it makes of it.
PARAMS = (
    '{"linear":{"coresPerReplica":256,"nodesPerReplica":16,'
    '"preventSinglePointFailure":true,"includeUnschedulableNodes":true}}'
)
CREATED = (
    '{"coresPerReplica":256,"includeUnschedulableNodes":true,'
    '"nodesPerReplica":16,"preventSinglePointFailure":true}'
)


def odd(
    mode: str, *problems: str, least: int | None = None, most: int | None = None, highest: int | None = None
) -> Reading:
    """A reading with problems, each written `Reason: message`."""
    pairs = (problem.split(": ", 1) for problem in problems)
    return Reading(mode, tuple(Problem(reason, message) for reason, message in pairs), least, most, highest)


@pytest.mark.parametrize(
    ("mode", "text", "reading"),
    [
        ("linear", CREATED, Reading("linear", (), 1, None)),
        ("linear", '{"nodesPerReplica": 16, "min": 0, "max": 0}', Reading("linear", (), 1, None)),
        ("linear", '{"coresPerReplica": 2.5, "min": 4, "max": 9}', Reading("linear", (), 4, 9, 9)),
        ("linear", '{"NODESPERREPLICA": 16, "Min": 2, "mAx": 8}', Reading("linear", (), 2, 8, 8)),
        ("linear", '{"node\\u017fPerReplica": 16, "\\u006din": 2}', Reading("linear", (), 2, None)),
        ("linear", '{"nodesPerReplica": 16, "min": null, "max": null}', Reading("linear", (), 1, None)),
        ("linear", '{"nodesPerReplica": 1e-999, "coresPerReplica": 8}', Reading("linear", (), 1, None)),
        ("ladder", '{"nodesToReplicas": [[1, 1], [2, 2]]}', Reading("ladder", (), 1, None, 2)),
        ("ladder", '{"nodesToReplicas": [[64, 3], [8, 2]]}', Reading("ladder", (), 2, None, 3)),
        ("ladder", '{"nodesToReplicas": [[0, 0], [6, 1]]}', Reading("ladder", (), 0, None, 1)),
        (
            "ladder",
            '{"coresToReplicas": [[1, 1], [9, 3]], "nodesToReplicas": [[1, 2]]}',
            odd("ladder", least=2, highest=3),
        ),
        (
            "ladder",
            '{"nodesToReplicas": [[1, 5]], "includeUnschedulableNodes": true}',
            odd("ladder", least=5, highest=5),
        ),
        (
            "ladder",
            '{"coresToReplicas": null, "nodesToReplicas": [[1, 5]]}',
            odd("ladder", least=5, highest=5),
        ),
    ],
)
def test_parameters_are_read_as_the_autoscaler_reads_them(mode: str, text: str, reading: Reading) -> None:
    assert read({mode: text}) == reading


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ([], f"NoKey: no key is linear or ladder: {ONE_KEY}"),
        (["linear", "ladder"], f"SeveralKeys: there are 2 keys (ladder, linear): {ONE_KEY}"),
        (
            ["Linear"],
            f"UnknownMode: the key is Linear, which the autoscaler does not know: it {IDLE}; write linear",
        ),
        (
            ["config"],
            f"UnknownMode: the key is config, which the autoscaler does not know: it {IDLE}; write linear or ladder",
        ),
    ],
)
def test_without_exactly_one_known_key_the_autoscaler_does_nothing(keys: list[str], problem: str) -> None:
    data = dict.fromkeys(keys, CREATED)
    assert (read(data), raised(data, FLOOR)) == (odd("", problem), None)


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ('"min": "3"', f'NumberAsString: min is "3": {REFUSED}; write 3 without quotes'),
        ('"max": "2.5"', f'NumberAsString: max is "2.5": {REFUSED}; write 3 without quotes'),
        ('"min": "many"', f'NumberAsString: min is "many": {REFUSED}; write a whole number without quotes'),
        (
            '"coresPerReplica": "2.5"',
            f'NumberAsString: coresPerReplica is "2.5": {REFUSED}; write 2.5 without quotes',
        ),
        (
            '"coresPerReplica": "-2"',
            f'NumberAsString: coresPerReplica is "-2": {REFUSED}; write a number without quotes',
        ),
        ('"min": 3.0', f"NotAnInteger: min is 3.0: {REFUSED}; write 3"),
        ('"max": 1e1', f"NotAnInteger: max is 1e1: {REFUSED}; write 10"),
        ('"min": [3,\n 4]', f"WrongType: min is [3, 4]: {REFUSED}; write a whole number"),
        ('"coresPerReplica": true', f"WrongType: coresPerReplica is true: {REFUSED}; write a number"),
        (
            '"coresPerReplica": 1e999',
            f"NumberTooLarge: coresPerReplica is 1e999: {REFUSED}; write a smaller number",
        ),
        (
            '"max": 9223372036854775808',
            f"NumberTooLarge: max is 9223372036854775808: {REFUSED}; write a smaller number",
        ),
        ('"min": 2147483648', f"NumberTooLarge: min has the number 2147483648: {CUT}"),
        ('"min": -1', f"NegativeValue: min has the negative -1: {REFUSED}; write a positive number"),
        (
            '"max": -1',
            f"NegativeValue: max has the negative -1: {REFUSED}; write 0 or nothing for no maximum",
        ),
        (
            '"coresPerReplica": -0.5',
            f"NegativeValue: coresPerReplica has the negative -0.5: {REFUSED}; write a positive number",
        ),
        (
            '"preventSinglePointFailure": "False"',
            f'BooleanAsString: preventSinglePointFailure is "False": {REFUSED}; write false without quotes',
        ),
        (
            '"includeUnschedulableNodes": "yes"',
            f'BooleanAsString: includeUnschedulableNodes is "yes": {REFUSED}; write true without quotes',
        ),
        (
            '"includeUnschedulableNodes": 1',
            f"WrongType: includeUnschedulableNodes is 1: {REFUSED}; write true or false",
        ),
        ('"nodesPerReplica": 0', f"NothingPerReplica: {NO_RATE}"),
    ],
)
def test_one_wrong_value_and_the_autoscaler_refuses_all(members: str, problem: str) -> None:
    rate = "" if "nodesPerReplica" in members else '"nodesPerReplica": 16, '
    text = f"{{{rate}{members}}}"
    assert (read_text("linear", text), raised_text("linear", text, FLOOR)) == (odd("linear", problem), None)


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ('{"min": 3}', odd("linear", f"NothingPerReplica: {NO_RATE}")),
        ("null", odd("linear", f"NothingPerReplica: {NO_RATE}")),
        ("[3]", odd("linear", f"NotAnObject: linear is [3]: {REFUSED}; write an object in braces")),
        (
            '{"nodesPerReplica": 16, "min": 5, "max": 3}',
            odd(
                "linear",
                f"MaxBelowMin: max 3 is below min 5: {REFUSED}; write a max of at least 5, or none",
                most=3,
            ),
        ),
        (
            '{"max": -1, "min": "1", "zone": 1}',
            odd(
                "linear",
                f'UnknownKey: the key "zone" {UNKNOWN}; known are {LINEAR}',
                f'NumberAsString: min is "1": {REFUSED}; write 1 without quotes',
            ),
        ),
    ],
)
def test_parameters_that_say_nothing_or_contradict_themselves_are_refused(
    text: str, reading: Reading
) -> None:
    assert (read_text("linear", text), raised_text("linear", text, FLOOR)) == (reading, None)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "line 1, column 1: expected a value, found the end"),
        ('{"min": 3', "line 1, column 10: expected , or }, found the end"),
        ('{"min": 3}}', "line 1, column 11: expected nothing after the value, found }"),
        ('{\n  "min": 3,\n}', "line 3, column 1: expected a key in double quotes, found }"),
        # The example in the autoscaler's own README lacks this comma.
        ('{\n "min": 1\n "max": 9\n}', 'line 3, column 2: expected , or }, found "max": 9'),
        ("{'min': 3}", "line 1, column 2: expected a key in double quotes, found 'min': 3}"),
        ('{"min" 3}', "line 1, column 8: expected :, found 3}"),
        ('{"min": NaN}', "line 1, column 9: expected a value, found NaN}"),
        ('{"min": 03}', "line 1, column 10: expected , or }, found 3}"),
        ('{"steps": [1 2]}', "line 1, column 14: expected , or ], found 2]}"),
        ('{"a\tb": 1}', 'line 1, column 2: expected a key in double quotes, found "a\tb": 1}'),
        ("[" * 60, f"line 1, column 52: expected at most 50 levels, found {'[' * 9}"),
        ("min: 3\nmax: 4", "line 1, column 1: expected a value, found min: 3"),
    ],
)
def test_broken_json_is_named_with_its_place(text: str, error: str) -> None:
    problem = f"BrokenJSON: linear is no JSON, {error}: {REFUSED}; correct it there"
    assert (read_text("linear", text), raised_text("linear", text, FLOOR)) == (odd("linear", problem), None)


@pytest.mark.parametrize(
    ("members", "reading"),
    [
        (
            '"preventSinglePointOfFailure": true',
            odd(
                "linear",
                f'UnknownKey: the key "preventSinglePointOfFailure" {UNKNOWN}; write preventSinglePointFailure',
                least=1,
            ),
        ),
        (
            '"minReplicas": 3, "zone": {"min": 1}',
            odd(
                "linear",
                f'UnknownKey: the key "minReplicas" {UNKNOWN}; write min',
                f'UnknownKey: the key "zone" {UNKNOWN}; known are {LINEAR}',
                least=1,
            ),
        ),
        (
            '"min": 5, "MIN": 2, "min": null',
            odd(
                "linear",
                "DuplicateKey: min is there 3 times: the autoscaler takes 2; write it once",
                least=2,
            ),
        ),
        (
            '"max": 1, "preventSinglePointFailure": true',
            odd("linear", f"MaximumOverridden: {OVERRIDDEN}", least=1, most=1, highest=2),
        ),
    ],
)
def test_what_the_autoscaler_passes_over_without_a_word_is_said(members: str, reading: Reading) -> None:
    assert read_text("linear", f'{{"nodesPerReplica": 16, {members}}}') == reading


def no_pair(step: str, taken: str) -> str:
    taking = f"the autoscaler takes it for {taken}; write [threshold, replicas]"
    return f"NotAPair: step {step} of nodesToReplicas is no pair: {taking}"


@pytest.mark.parametrize(
    ("steps", "reading"),
    [
        (
            '[[1, "1"], [2, 2.5]]',
            odd(
                "ladder",
                f'NumberAsString: a number in step [1, "1"] of nodesToReplicas is "1": {REFUSED};'
                " write 1 without quotes",
                f"NotAnInteger: a number in step [2, 2.5] of nodesToReplicas is 2.5: {REFUSED}; write 3",
            ),
        ),
        (
            '[1, {"2": 3}]',
            odd(
                "ladder",
                f"NotAPair: a step of nodesToReplicas is 1: {REFUSED}; write [threshold, replicas]",
                f'NotAPair: a step of nodesToReplicas is {{"2": 3}}: {REFUSED}; write [threshold, replicas]',
            ),
        ),
        (
            '{"1": 2}',
            odd(
                "ladder",
                f'NotAList: nodesToReplicas is {{"1": 2}}: {REFUSED}; write a list of steps such as [[1, 3]]',
            ),
        ),
        (
            '[[4], [2, 7, "x"], [3, null], [9, 9], null]',
            odd(
                "ladder",
                no_pair("[4]", "[4, 0]"),
                no_pair('[2, 7, "x"]', "[2, 7]"),
                no_pair("[3, null]", "[3, 0]"),
                no_pair("null", "[0, 0]"),
                least=0,
                highest=9,
            ),
        ),
        (
            "[[1, -2], [-3, 4], [2147483648, 2147483648]]",
            odd(
                "ladder",
                f"NegativeValue: step [1, -2] of nodesToReplicas has the negative -2: {REFUSED};"
                " write a positive number",
                f"NegativeValue: step [-3, 4] of nodesToReplicas has the negative -3: {REFUSED};"
                " write a positive number",
                f"NumberTooLarge: step [2147483648, 2147483648] of nodesToReplicas has the number 2147483648: {CUT}",
            ),
        ),
        ("[]", odd("ladder", f"NoSteps: {NO_STEP}", least=0, highest=0)),
        ("null", odd("ladder", f"NoSteps: {NO_STEP}", least=0, highest=0)),
        (
            '[[1, 4]], "min": 3',
            odd("ladder", f'UnknownKey: the key "min" {UNKNOWN}; known are {LADDER}', least=4, highest=4),
        ),
        (
            '[[1, 1]], "nodesToReplicas": [[1, 2]]',
            odd(
                "ladder",
                "DuplicateKey: nodesToReplicas is there 2 times: the autoscaler takes [[1, 2]]; write it once",
                least=2,
                highest=2,
            ),
        ),
    ],
)
def test_what_is_odd_in_a_ladder_is_said(steps: str, reading: Reading) -> None:
    assert read_text("ladder", f'{{"nodesToReplicas": {steps}}}') == reading


def test_a_long_value_is_cut_in_a_message() -> None:
    text = f'{{"nodesPerReplica": "{"7" * 99}"}}'
    problem = f'NumberAsString: nodesPerReplica is "{"7" * 56}...: {REFUSED}; write a number without quotes'
    assert read_text("linear", text) == odd("linear", problem)


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
        # Keys in another spelling are the same keys, and of two the last counts.
        (
            '{"nodesPerReplica": 16, "MIN": 1, "\\u006din": 2, "PreventSinglePointFailure": null}',
            f'{{"nodesPerReplica": 16, "MIN": 1, "\\u006din": 3, "PreventSinglePointFailure": true, {INCLUDE}: true}}',
        ),
        (
            f'{{"nodesPerReplica": 16, "min": 5, {INCLUDE}: false}}',
            f'{{"nodesPerReplica": 16, "min": 5, {INCLUDE}: true, {PREVENT}: true}}',
        ),
        (f'{{"nodesPerReplica": 16, "min": 5, {PREVENT}: true, {INCLUDE}: true}}', None),
        (f'{{"nodesPerReplica": 16, "min": 3, "max": 3, {PREVENT}: true, {INCLUDE}: true}}', None),
        ('{"nodesPerReplica": 16, "min": 1, "max": 2}', None),
        ('{"nodesPerReplica": 16, "max": 1}', None),
        # What is left of two equal keys is not plain to every reader: not touched, and a Problem.
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
            '{"nodesToReplicas": [[1, 9]], "NodesToReplicas": [[1, 1]], "zone": [[1, 1]]}',
            '{"nodesToReplicas": [[1, 9]], "NodesToReplicas": [[1, 3]], "zone": [[1, 1]]}',
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


@pytest.mark.parametrize(
    ("maximum", "floor", "finding"),
    [
        (3, FLOOR, None),
        (0, FLOOR, None),
        (1, Floor(1, prevent_single_point_failure=False), None),
        (2, FLOOR, Problem("MaximumBelowFloor", BELOW)),
        (1, Floor(1), Problem("MaximumOverridden", OVERRIDDEN)),
    ],
)
def test_a_floor_above_the_owners_maximum_is_a_finding_and_never_written(
    maximum: int, floor: Floor, finding: Problem | None
) -> None:
    text = f'{{"nodesPerReplica": 16, "max": {maximum}}}'
    assert blocked(read_text("linear", text), floor) == finding
    assert (raised_text("linear", text, floor) is None) == (finding is not None)


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
    assert parse(tuple(argv), "dns-system") == autoscaler


def test_the_floor_is_written_into_the_default_params_and_no_other_argument_changes() -> None:
    floored = PARAMS[:-2] + ',"min":3}}'
    new = [*ARGV[:4], f"--default-params={floored}", *ARGV[5:]]
    assert raised_argv(ARGV, FLOOR) == tuple(new)
    assert raised_argv(new, FLOOR) is None
    assert raised_argv(ARGV[:4], FLOOR) is None
    two = ["--default-params", "{", "--default-params", PARAMS, "--v", "2"]
    assert raised_argv(two, FLOOR) == ("--default-params", "{", "--default-params", floored, "--v", "2")


@pytest.mark.parametrize(
    ("text", "reading", "new"),
    [
        (
            ' { "ladder" : { "nodesToReplicas" : [ [ 1, 2 ] ] } } ',
            odd("ladder", least=2, highest=2),
            ' { "ladder" : { "nodesToReplicas" : [ [ 1, 3 ] ] } } ',
        ),
        # The autoscaler rewrites every number before it reads them: here a whole number may have a point.
        (
            '{"linear": {"nodesPerReplica": 1e1, "min": 1.0, "max": 9.0}}',
            odd("linear", least=1, most=9, highest=9),
            f'{{"linear": {{"nodesPerReplica": 1e1, "min": 3, "max": 9.0, {PREVENT}: true, {INCLUDE}: true}}}}',
        ),
        (
            '{"ladder": {"nodesToReplicas": [[1.0, 1.0], [4, 8]]}}',
            odd("ladder", least=1, highest=8),
            '{"ladder": {"nodesToReplicas": [[1.0, 3], [4, 8]]}}',
        ),
        (
            '{"linear": {"nodesPerReplica": 16, "min": 1.5}}',
            odd("linear", f"NotAnInteger: min is 1.5: {REFUSED}; write 2"),
            None,
        ),
        ('{"linear": {"nodesPerReplica": 16, "max": 2}}', odd("linear", least=1, most=2, highest=2), None),
        # MIN comes before min when they are sorted, whatever the order in the text.
        (
            '{"linear": {"nodesPerReplica": 16, "min": 1, "MIN": 4}}',
            odd(
                "linear",
                "DuplicateKey: min is there 2 times: the autoscaler takes 1; write it once",
                least=1,
            ),
            None,
        ),
        (
            '{"linear": {}, "linear": {"nodesPerReplica": 16, "min": 1, "min": 2}}',
            odd(
                "linear",
                'DuplicateKey: --default-params has "linear" twice: the autoscaler takes the last one; write it once',
                'DuplicateKey: --default-params has "min" twice: the autoscaler takes the last one; write it once',
                least=2,
            ),
            None,
        ),
        (
            '{"linear": {}, "ladder": {}}',
            odd("", f"SeveralKeys: there are 2 keys (ladder, linear): {ONE_KEY}"),
            None,
        ),
        ("null", odd("", f"NoKey: no key is linear or ladder: {ONE_KEY}"), None),
        (
            "{'linear': {}}",
            odd(
                "",
                "BrokenJSON: --default-params is no JSON, line 1, column 2: expected a key in double quotes,"
                " found 'linear': {}}: the autoscaler does not start; correct it",
            ),
            None,
        ),
        (
            '{"linear": {"nodesPerReplica": 1e999}}',
            odd(
                "",
                "BrokenJSON: --default-params is no JSON, 1e999 is too large for a number:"
                " the autoscaler does not start; correct it",
            ),
            None,
        ),
        (
            "[1]",
            odd(
                "",
                "NotAnObject: --default-params is [1], no object: the autoscaler does not start; correct it",
            ),
            None,
        ),
    ],
)
def test_default_params_are_read_as_what_the_autoscaler_makes_of_them(
    text: str, reading: Reading, new: str | None
) -> None:
    assert (read_default_params(text), raised_default_params(text, FLOOR)) == (reading, new)


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
    """As Go reads a scalar: of all spellings the last that is not null."""
    pairs = json.loads(text, object_pairs_hook=tuple)
    return (
        [value for name, value in pairs if name.casefold() == key.casefold() and value is not None] or [None]
    )[-1]


def assert_satisfied(reading: Reading, floor: Floor, text: str) -> None:
    assert reading.effective_min is not None
    assert reading.effective_min >= floor.min_replicas
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
    reasons = {problem.reason for problem in before.problems}
    changed = raised(data, floor)
    if changed is None:
        explained = blocked(before, floor) or reasons & {"NotAPair", "NoSteps", "DuplicateKey"}
        assert before.effective_min is not None or reasons
        if before.effective_min is not None and not explained:
            assert_satisfied(before, floor, data[before.mode])
        return
    mode, new = changed
    after = read({mode: new})
    assert [mode] == list(data) == [before.mode] == [after.mode]
    assert (blocked(before, floor), raised({mode: new}, floor)) == (None, None)
    assert (after.maximum, {problem.reason for problem in after.problems}) == (before.maximum, reasons)
    assert_satisfied(after, floor, new)
    assert without_floor(mode, new) == without_floor(mode, data[mode])
    at = 0
    for member in unknown:
        at = new.index(member, at) + len(member)


@given(modes.flatmap(lambda mode: st.tuples(st.just(mode), parameters(mode))), floors)
def test_of_every_argument_list_only_the_floor_changes(
    made: tuple[str, tuple[str, list[str]]], floor: Floor
) -> None:
    mode, (text, unknown) = made
    params = f'{{"{mode}": {text}}}'
    new = raised_argv(["--default-params", params, "--v=2"], floor)
    if new is None:
        return
    before, after = read_default_params(params), read_default_params(new[1])
    assert new == ("--default-params", new[1], "--v=2")
    assert (after.mode, after.maximum) == (mode, before.maximum)
    assert (after.effective_min or 0) >= floor.min_replicas
    assert raised_argv(new, floor) is None
    assert without_floor(mode, new[1]) == without_floor(mode, params)
    assert all(member in new[1] for member in unknown)


@given(st.text(max_size=20) | unknown_values | modes.flatmap(parameters).map(lambda made: made[0]))
def test_the_scanner_takes_what_json_takes_and_knows_the_places(text: str) -> None:
    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        whole_value = json.loads(text, parse_constant=refuse)
    except ValueError:
        with pytest.raises(NotJSONError):
            scan(text)
        return
    node = scan(text)
    assert json.loads(text[node.start : node.end]) == whole_value
    inner = [json.loads(text[item.start : item.end]) for item in node.items]
    if isinstance(whole_value, dict):
        assert dict(zip((member.key for member in node.members), inner, strict=True)) == whole_value
    else:
        assert inner == (whole_value if isinstance(whole_value, list) else [])
