"""The floor of CoreDNS as an EKS add-on: the new configurationValues byte for byte, and boto3 that really sends them.

moto plays EC2; EKS's add-ons, which it does not have, are played by the stand-in tests/standins/eks.py.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience_operator.outside.eks import (
    Addon,
    AddonError,
    Addons,
    Busy,
    Denied,
    Failed,
    NoCredentials,
    NotFound,
)
from resilience_operator.targets.coredns.addon_configuration import (
    AddonScaling,
    blocked,
    command,
    raised,
    read,
    shortfall,
)
from tests.standins.eks import Eks, Installed, Refused, broken, serving

NOTHING = AddonScaling(enabled=False, min_replicas=None, max_replicas=None, replica_count=None)
NOT_JSON = (
    "YAML is not edited: write it as JSON, or raise replicaCount, and autoScaling.minReplicas if enabled, in it "
    "yourself"
)


def unreadable(problem: str) -> AddonScaling:
    return AddonScaling(
        enabled=False, min_replicas=None, max_replicas=None, replica_count=None, problem=problem
    )


@pytest.mark.parametrize(
    ("configuration", "scaling"),
    [
        ("", NOTHING),
        ("{}", NOTHING),
        ('{"autoScaling": null, "replicaCount": null}', NOTHING),
        ('{"replicaCount":3}', AddonScaling(False, None, None, 3)),
        ('{"autoScaling":{"enabled":true}}', AddonScaling(True, None, None, None)),
        (
            '{"autoScaling":{"enabled":true,"minReplicas":2,"maxReplicas":10.0},"replicaCount":4}',
            AddonScaling(True, 2, 10, 4),
        ),
        ('{"autoScaling":{"enabled":false,"minReplicas":5}}', AddonScaling(False, 5, None, None)),
        ({"autoScaling": {"enabled": True, "minReplicas": 3}}, AddonScaling(True, 3, None, None)),
    ],
)
def test_what_the_add_on_says_of_replicas(configuration: str | dict[str, Any], scaling: AddonScaling) -> None:
    assert read(configuration) == scaling


@pytest.mark.parametrize(
    ("configuration", "problem"),
    [
        (
            "autoScaling:\n  enabled: true\n",
            "configurationValues are no JSON, Expecting value: line 1 column 1 (char 0); " + NOT_JSON,
        ),
        (
            '{"replicaCount" 3}',
            "configurationValues are no JSON, Expecting ':' delimiter: line 1 column 17 (char 16); "
            + NOT_JSON,
        ),
        (
            "[]",
            (
                "configurationValues are no object in braces: write it as JSON, or raise replicaCount, and "
                "autoScaling.minReplicas if enabled, in it yourself"
            ),
        ),
        (
            '{"replicaCount": 2, "replicaCount": 3}',
            'configurationValues have "replicaCount" twice: write it once',
        ),
        (
            '{"autoScaling": {"enabled": true, "enabled": false}}',
            'configurationValues have "enabled" twice: write it once',
        ),
        (
            '{"autoScaling": true, "replicaCount": "3"}',
            (
                "configurationValues.autoScaling: write an object, not True; "
                "configurationValues.replicaCount: write a whole number, not '3'"
            ),
        ),
        (
            '{"autoScaling": {"enabled": "yes", "minReplicas": 2.5, "maxReplicas": 1e999}}',
            (
                "configurationValues.autoScaling.enabled: write true or false, not 'yes'; "
                "configurationValues.autoScaling.minReplicas: write a whole number, not 2.5; "
                "configurationValues.autoScaling.maxReplicas: write a whole number, not inf"
            ),
        ),
    ],
)
def test_what_cannot_be_read_is_a_problem_and_never_edited(configuration: str, problem: str) -> None:
    assert read(configuration) == unreadable(problem)
    assert blocked(read(configuration), 3) == problem
    assert raised(configuration, 3) is None


def test_nothing_whatever_makes_it_crash() -> None:
    for text in (
        '{"replicaCount": 3,}',
        "[" * 100_000,
        '{"replicaCount": ' + "9" * 5000 + "}",
        "\ufeff{}",
        "null",
        "NaN",
    ):
        assert read(text).problem
        assert raised(text, 3) is None


INDENTED = """{
    "corefile": ".:53 {\\n  errors\\n}",
    "autoScaling": {
        "enabled": true,
        "maxReplicas" : 10
    },
    "weight": 1.50, "name": "\\u00e4 \u00e4",   "list": [1 ,2]
}
"""
INDENTED_RAISED = """{
    "corefile": ".:53 {\\n  errors\\n}",
    "autoScaling": {
        "enabled": true,
        "maxReplicas" : 10,
        "minReplicas": 3
    },
    "weight": 1.50, "name": "\\u00e4 \u00e4",   "list": [1 ,2],   "replicaCount": 3
}
"""


@pytest.mark.parametrize(
    ("before", "floor", "after"),
    [
        ("", 3, '{"replicaCount":3}'),
        ("{}", 3, '{"replicaCount":3}'),
        ("", 2, None),
        ('{"replicaCount":2}', 3, '{"replicaCount":3}'),
        ('{"replicaCount":4}', 3, None),
        ('{"replicaCount": null}', 3, '{"replicaCount": 3}'),
        ('{"autoScaling":{"enabled":true}}', 2, None),
        (
            '{"autoScaling":{"enabled":true}}',
            3,
            '{"autoScaling":{"enabled":true,"minReplicas":3},"replicaCount":3}',
        ),
        (
            '{"autoScaling": {"enabled": true, "minReplicas": 2, "maxReplicas": 10}, "replicaCount": 2}',
            3,
            '{"autoScaling": {"enabled": true, "minReplicas": 3, "maxReplicas": 10}, "replicaCount": 3}',
        ),
        (
            '{"replicaCount": 2, "autoScaling": {"minReplicas": 5, "enabled": true}}',
            3,
            '{"replicaCount": 5, "autoScaling": {"minReplicas": 5, "enabled": true}}',
        ),
        ('{"replicaCount": 5, "autoScaling": {"minReplicas": 5, "enabled": true}}', 3, None),
        (
            '{"autoScaling":{"enabled":false,"minReplicas":1,"maxReplicas":2}}',
            3,
            '{"autoScaling":{"enabled":false,"minReplicas":1,"maxReplicas":2},"replicaCount":3}',
        ),
        ('{"autoScaling":{"enabled":true,"minReplicas":2,"maxReplicas":2}}', 3, None),
        ('{"autoScaling":{"enabled":true,"minReplicas":5,"maxReplicas":4}}', 3, None),
        ('{"autoScaling":{"enabled":true}}', 1001, None),
        (INDENTED, 3, INDENTED_RAISED),
        (INDENTED_RAISED, 3, None),
    ],
)
def test_the_floor_is_put_where_the_add_on_reads_it(before: str, floor: int, after: str | None) -> None:
    assert raised(before, floor) == after


@pytest.mark.parametrize(
    ("configuration", "short", "why"),
    [
        ("", "replicaCount is 2 by default, below the floor of 3", ""),
        ('{"replicaCount":3}', "", ""),
        (
            '{"autoScaling":{"enabled":true},"replicaCount":2}',
            (
                "autoScaling.minReplicas is 2 by default, below the floor of 3; "
                "replicaCount is 2, below a minReplicas of 3: updates of the add-on start with it"
            ),
            "",
        ),
        (
            '{"autoScaling":{"enabled":true,"minReplicas":4,"maxReplicas":4}}',
            "replicaCount is 2 by default, below a minReplicas of 4: updates of the add-on start with it",
            "",
        ),
        (
            '{"autoScaling":{"enabled":true,"minReplicas":2,"maxReplicas":2},"replicaCount":3}',
            "autoScaling.minReplicas is 2, below the floor of 3",
            (
                "autoScaling.maxReplicas is 2, below the floor of 3, and a maximum is never raised; to end it, commit "
                '{"autoScaling":{"maxReplicas":3}} to the configurationValues'
            ),
        ),
        (
            '{"autoScaling":{"enabled":true,"minReplicas":5,"maxReplicas":4},"replicaCount":5}',
            "",
            (
                "autoScaling.maxReplicas is 4, below autoScaling.minReplicas 5, and a maximum is never raised; to end "
                'it, commit {"autoScaling":{"maxReplicas":5}} to the configurationValues'
            ),
        ),
    ],
)
def test_what_is_short_of_the_floor_and_what_stands_against_it(
    configuration: str, short: str, why: str
) -> None:
    scaling = read(configuration)
    assert (shortfall(scaling, 3), blocked(scaling, 3)) == (short, why)


def test_a_floor_above_what_the_add_on_allows_is_named() -> None:
    why = "EKS takes no minReplicas above 1000: lower the floor of 1001"
    assert blocked(read('{"autoScaling":{"enabled":true}}'), 1001) == why


def test_an_update_takes_no_replica_away_that_the_autoscaler_made() -> None:
    scaled = '{"autoScaling":{"enabled":true,"maxReplicas":6}}'
    want = '{"autoScaling":{"enabled":true,"maxReplicas":6,"minReplicas":3},"replicaCount":%d}'
    assert [raised(scaled, 3, running=running) for running in (0, 5, 8)] == [want % 3, want % 5, want % 6]
    assert raised(want % 3, 3, running=5) is None
    assert raised('{"replicaCount":2}', 3, running=8) == '{"replicaCount":3}'


keys = st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=6)
others = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | keys,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
numbers = st.integers(1, 12)
scalings = st.fixed_dictionaries(
    {"enabled": st.booleans()}, optional={"minReplicas": numbers, "maxReplicas": numbers}
)
unordered = st.builds(
    lambda other, known: other | known,
    st.dictionaries(keys, others, max_size=3),
    st.fixed_dictionaries({}, optional={"autoScaling": scalings, "replicaCount": numbers}),
)
shuffled = unordered.flatmap(lambda values: st.permutations(list(values.items())).map(dict))
written = st.builds(
    lambda values, indent, signs, ascii_only: json.dumps(
        values, indent=indent, separators=signs, ensure_ascii=ascii_only
    ),
    shuffled,
    st.sampled_from([None, 0, 2, "\t"]),
    st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")]),
    st.booleans(),
)
OURS = re.compile(r'\s*,?\s*"(minReplicas|replicaCount)"\s*:\s*[0-9]+')


def with_floor(values: dict[str, Any], floor: int) -> dict[str, Any] | None:
    new = deepcopy(values)
    scaling, least = new.get("autoScaling", {}), floor
    if scaling.get("enabled"):
        least = max(floor, scaling.get("minReplicas", 2))
        if scaling.get("maxReplicas", least) < least:
            return None
        if scaling.get("minReplicas", 2) < least:
            scaling["minReplicas"] = least
    if new.get("replicaCount", 2) < least:
        new["replicaCount"] = least
    return None if new == values else new


@settings(max_examples=200)
@given(written, st.integers(1, 10))
def test_raised_changes_two_numbers_and_nothing_else(text: str, floor: int) -> None:
    new, wanted = raised(text, floor), with_floor(json.loads(text), floor)
    assert (new is None) == (wanted is None)
    if new is None:
        return
    assert json.dumps(json.loads(new)) == json.dumps(wanted)  # In the same order too.
    assert OURS.sub("", new) == OURS.sub("", text)
    assert raised(new, floor) is None
    assert (shortfall(read(new), floor), blocked(read(new), floor)) == ("", "")


def typed(line: str, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line in a shell for which `aws` is a program that prints its arguments."""
    program = directory / "aws"
    program.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    program.chmod(0o755)
    path = {"PATH": f"{directory}:{os.environ['PATH']}"}
    return subprocess.run(
        ["sh", "-c", line], env=path | environment, capture_output=True, text=True, check=False
    )


AWKWARD = '{"corefile": "it\'s $HOME `id` \\"x\\" \\\\n", \n "replicaCount": 3}'


def arguments(cluster: str, text: str) -> list[str]:
    told = ["--cluster-name", cluster, "--addon-name", "coredns", "--resolve-conflicts", "PRESERVE"]
    return ["eks", "update-addon", *told, "--configuration-values", text]


def test_the_command_is_what_a_person_would_type() -> None:
    assert command("prod", '{"replicaCount":3}') == (
        "aws eks update-addon --cluster-name prod --addon-name coredns --resolve-conflicts PRESERVE"
        " --configuration-values '{\"replicaCount\":3}'"
    )


def test_a_shell_hands_the_command_over_unchanged(tmp_path: Path) -> None:
    assert json.loads(typed(command("my-cluster", AWKWARD), tmp_path).stdout) == arguments(
        "my-cluster", AWKWARD
    )


def test_without_the_name_of_a_cluster_a_shell_refuses_the_command(tmp_path: Path) -> None:
    line = command("", AWKWARD)
    refused = typed(line, tmp_path)
    assert (refused.returncode != 0, refused.stdout) == (True, "")
    assert "EKS_CLUSTER: set EKS_CLUSTER to the name of the EKS cluster" in refused.stderr
    assert json.loads(typed(line, tmp_path, EKS_CLUSTER="prod").stdout) == arguments("prod", AWKWARD)


@given(keys, written)
def test_the_command_is_quoted_for_a_shell(cluster: str, text: str) -> None:
    assert shlex.split(command(cluster or "c", text)) == ["aws", *arguments(cluster or "c", text)]


@pytest.mark.parametrize(
    ("configuration", "problems"),
    [
        ('{"autoScaling":{"enabled":true,"minReplicas":3,"maxReplicas":10},"replicaCount":3}', []),
        ("autoScaling:\n  enabled: true\n", []),
        (
            '{"autoscaling":{"enabled":true}}',
            [
                "$.autoscaling: is not defined in the schema and the schema does not allow additional properties"
            ],
        ),
        (
            '{"autoScaling":{"minReplicas":1,"maxReplicas":1001,"x":1},"replicaCount":"3"}',
            [
                "$.replicaCount: string found, integer expected",
                "$.autoScaling.enabled: is missing but it is required",
                "$.autoScaling.x: is not defined in the schema and the schema does not allow additional properties",
                "$.autoScaling.minReplicas: must have a minimum value of 2",
                "$.autoScaling.maxReplicas: must have a maximum value of 1000",
            ],
        ),
    ],
)
def test_the_stand_in_keeps_to_the_schema_of_the_add_on(configuration: str, problems: list[str]) -> None:
    assert broken(configuration) == problems


@pytest.fixture(name="aws")
def _aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """An environment with an AWS identity in it, and nothing of this machine's own."""
    pytest.importorskip("boto3")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)

    def given_(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    nowhere = str(tmp_path / "none")
    given_(AWS_CONFIG_FILE=nowhere, AWS_SHARED_CREDENTIALS_FILE=nowhere, AWS_EC2_METADATA_DISABLED="true")
    given_(AWS_ACCESS_KEY_ID="AKIATEST", AWS_SECRET_ACCESS_KEY="secret", AWS_REGION="eu-west-1")
    return given_


@pytest.fixture(name="eks")
def _eks(aws: Callable[..., None]) -> Iterator[Eks]:
    with serving() as eks:
        aws(AWS_ENDPOINT_URL_EKS=eks.url)
        eks.addons["prod", "coredns"] = Installed()
        yield eks


ADDON = Addon(
    cluster="prod",
    name="coredns",
    version="v1.11.4-eksbuild.2",
    status="ACTIVE",
    modified="2025-11-24T16:00:00+00:00",
)


def test_the_add_on_is_read_as_it_is(eks: Eks) -> None:
    assert Addons().read("prod") == ADDON
    issue = {"code": "ConfigurationConflict", "message": "Conflicts found", "resourceIds": ["a", "b"]}
    eks.addons["prod", "coredns"] = Installed(
        configuration="replicaCount: 2\n", status="UPDATING", issues=[issue, {"code": "AccessDenied"}]
    )
    assert Addons().read("prod") == Addon(
        cluster="prod",
        name="coredns",
        version="v1.11.4-eksbuild.2",
        status="UPDATING",
        configuration="replicaCount: 2\n",
        update_in_flight=True,
        health_issues=("ConfigurationConflict: Conflicts found (a, b)", "AccessDenied: "),
        modified="2025-11-24T16:00:00+00:00",
    )


def test_the_floor_arrives_and_what_others_changed_in_the_cluster_stays(eks: Eks) -> None:
    before = '{"autoScaling": {"enabled": true}, "podLabels": {"team": "dns"}}'
    edits = {"spec.template.spec.priorityClassName": "mine"}
    eks.addons["prod", "coredns"] = Installed(before, edits=dict(edits), replicas=8)
    addon = Addons().read("prod")
    new = raised(addon.configuration, 3, running=8)
    assert new is not None
    update = Addons().update(addon, new)
    in_flight = Addons().read("prod")
    assert (in_flight.status, in_flight.update_in_flight) == ("UPDATING", True)
    eks.finish("prod")
    installed = eks.addons["prod", "coredns"]
    assert (installed.updates[0]["id"], installed.edits, installed.replicas) == (update, edits, 8)
    after = Addons().read("prod")
    assert after.configuration == (
        '{"autoScaling": {"enabled": true, "minReplicas": 3}, "podLabels": {"team": "dns"}, "replicaCount": 8}'
    )
    assert raised(after.configuration, 3) is None
    assert eks.requests.count("POST /clusters/prod/addons/coredns/update") == 1


def test_without_the_running_replicas_the_update_would_take_five_away(eks: Eks) -> None:
    eks.addons["prod", "coredns"] = Installed('{"autoScaling": {"enabled": true}}', replicas=8)
    addon = Addons().read("prod")
    Addons().update(addon, raised(addon.configuration, 3) or "")
    eks.finish("prod")
    assert eks.addons["prod", "coredns"].replicas == 3


def test_a_repeat_is_the_same_update_and_another_decision_is_not(eks: Eks) -> None:
    addon = Addons().read("prod")
    first = Addons().update(addon, '{"replicaCount":3}')
    assert Addons().update(addon, '{"replicaCount":3}') == first
    with pytest.raises(Busy):
        Addons().update(addon, '{"replicaCount":4}')
    eks.finish("prod")
    assert Addons().update(addon, '{"replicaCount":3}') == first
    # Somebody takes the floor away again: the same values as before, and yet another update.
    back = Addons().update(Addons().read("prod"), '{"replicaCount":2}')
    eks.finish("prod")
    again = Addons().update(Addons().read("prod"), '{"replicaCount":3}')
    assert len({first, back, again}) == 3
    assert len(eks.addons["prod", "coredns"].updates) == 3


def test_an_update_whose_answer_is_lost_is_sent_again_as_the_same(eks: Eks) -> None:
    eks.lost = 1
    update = Addons().update(Addons().read("prod"), '{"replicaCount":3}')
    assert [one["id"] for one in eks.addons["prod", "coredns"].updates] == [update]
    assert len(eks.tokens) == 2
    assert len(set(eks.tokens)) == 1


def test_what_changed_since_it_was_decided_is_not_overwritten(eks: Eks) -> None:
    addon = Addons().read("prod")
    eks.addons["prod", "coredns"].configuration = '{"corefile":"theirs"}'
    with pytest.raises(Busy) as caught:
        Addons().update(addon, '{"replicaCount":3}')
    assert str(caught.value) == (
        "cannot update the add-on coredns of the EKS cluster prod: its configuration is no longer what it was when "
        "this was decided (nothing was changed; look again when that is over)"
    )
    assert eks.tokens == []


IDENTITY = (
    "give this process an AWS identity and a region, as with EKS Pod Identity, or AWS_PROFILE and AWS_REGION; or "
    "type the command yourself"
)
LATER = "AWS is down or out of reach: try again later, whether an update was accepted shows then"


@pytest.mark.parametrize(
    ("answer", "error", "why"),
    [
        (
            Refused(403, "AccessDeniedException", "User: u is not authorized to perform: eks:DescribeAddon"),
            Denied,
            (
                "AccessDeniedException: User: u is not authorized to perform: eks:DescribeAddon (allow "
                "eks:DescribeAddon, eks:UpdateAddon and ec2:DescribeInstances to this identity; or type the command "
                "yourself)"
            ),
        ),
        (
            Refused(403, "ExpiredTokenException", "The security token included in the request is expired"),
            NoCredentials,
            f"ExpiredTokenException: The security token included in the request is expired ({IDENTITY})",
        ),
        (
            Refused(409, "ResourceInUseException", "Addon coredns cannot be updated"),
            Busy,
            (
                "ResourceInUseException: Addon coredns cannot be updated (nothing was changed; look again when that is "
                "over)"
            ),
        ),
        (
            Refused(400, "InvalidParameterException", "no"),
            Failed,
            "InvalidParameterException: no (correct what AWS names, and try again)",
        ),
    ],
)
def test_a_refusal_says_what_may_be_done(
    eks: Eks, answer: Refused, error: type[AddonError], why: str
) -> None:
    eks.answers.append(answer)
    with pytest.raises(AddonError) as caught:
        Addons().read("prod")
    assert type(caught.value) is error
    assert str(caught.value) == f"cannot read the add-on coredns of the EKS cluster prod: {why}"
    assert len(eks.requests) == 1


@pytest.mark.parametrize(
    ("cluster", "why"),
    [
        ("other", "ResourceNotFoundException: No cluster found for name: other."),
        ("bare", "ResourceNotFoundException: No addon: coredns found in cluster: bare"),
    ],
)
def test_no_such_cluster_and_no_such_add_on_are_told(eks: Eks, cluster: str, why: str) -> None:
    eks.addons["bare", "vpc-cni"] = Installed()
    with pytest.raises(NotFound) as caught:
        Addons().read(cluster)
    assert str(caught.value) == (
        f"cannot read the add-on coredns of the EKS cluster {cluster}: {why} (check the name of the cluster and "
        "AWS_REGION; a CoreDNS that is no EKS add-on is not scaled by one)"
    )


def test_values_that_the_schema_refuses_are_told_and_change_nothing(eks: Eks) -> None:
    with pytest.raises(Failed) as caught:
        Addons().update(Addons().read("prod"), '{"autoscaling":{"enabled":true}}')
    assert str(caught.value) == (
        "cannot update the add-on coredns of the EKS cluster prod: InvalidParameterException: ConfigurationValue "
        "provided in request is not supported: Json schema validation failed with error: [$.autoscaling: is not "
        "defined in the schema and the schema does not allow additional properties] (correct what AWS names, and try "
        "again)"
    )
    assert Addons().read("prod") == ADDON


def test_three_attempts_are_made_where_aws_is_down(eks: Eks) -> None:
    eks.answers += [Refused(503, "ServiceUnavailableException", "down")] * 5
    with pytest.raises(Failed) as caught:
        Addons().read("prod")
    assert str(caught.value) == (
        f"cannot read the add-on coredns of the EKS cluster prod: ServiceUnavailableException: down ({LATER})"
    )
    assert len(eks.requests) == 3


def test_nobody_at_the_other_end_is_a_failure_to_try_again(aws: Callable[..., None]) -> None:
    with serving() as gone:
        aws(AWS_ENDPOINT_URL_EKS=gone.url)
    with pytest.raises(Failed) as caught:
        Addons().read("prod")
    assert str(caught.value) == (
        "cannot read the add-on coredns of the EKS cluster prod: Could not connect to the endpoint URL: "
        f'"{gone.url}/clusters/prod/addons/coredns" ({LATER})'
    )


@pytest.mark.parametrize(
    ("missing", "why"),
    [
        ("AWS_ACCESS_KEY_ID", "Unable to locate credentials"),
        ("AWS_SECRET_ACCESS_KEY", "Partial credentials found in env, missing: AWS_SECRET_ACCESS_KEY"),
        ("AWS_REGION", "You must specify a region."),
    ],
)
def test_without_an_identity_nothing_is_sent(
    eks: Eks, monkeypatch: pytest.MonkeyPatch, missing: str, why: str
) -> None:
    monkeypatch.delenv(missing)
    with pytest.raises(NoCredentials) as caught:
        Addons().read("prod")
    assert str(caught.value) == f"cannot read the add-on coredns of the EKS cluster prod: {why} ({IDENTITY})"
    assert eks.requests == []


def test_several_threads_may_ask_at_once(eks: Eks) -> None:
    addons = Addons()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(addons.read, ["prod"] * 8)) == [ADDON] * 8


@pytest.fixture(name="ec2", scope="module")
def _ec2() -> Iterator[str]:
    """The URL of moto's EC2."""
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(name="node")
def _node(aws: Callable[..., None], ec2: str) -> Callable[..., str]:
    """Starts an instance with tags in eu-central-1, and says how a Node would name it."""
    client = pytest.importorskip("boto3").client
    aws(AWS_ENDPOINT_URL_EC2=ec2)

    def start(**tags: str) -> str:
        chosen = [{"Key": key.replace("__", "/").replace("_", ":"), "Value": tags[key]} for key in tags]
        answer = client("ec2", region_name="eu-central-1").run_instances(
            ImageId="ami-12345678",
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": chosen}] if chosen else [],
        )
        return f"aws:///eu-central-1a/{answer['Instances'][0]['InstanceId']}"

    return start


@pytest.mark.parametrize(
    ("tags", "cluster"),
    [
        ([{"aws_eks_cluster-name": "prod"}], "prod"),
        ([{"eks_cluster-name": "prod", "eks_nodegroup-name": "a"}], "prod"),
        ([{"kubernetes.io__cluster__prod": "owned"}], "prod"),
        ([{"aws_eks_cluster-name": "prod", "kubernetes.io__cluster__test": "shared"}], "prod"),
        ([{}, {"aws_eks_cluster-name": "prod"}, {"kubernetes.io__cluster__prod": "owned"}], "prod"),
        ([{"kubernetes.io__cluster__prod": "owned", "kubernetes.io__cluster__test": "shared"}], ""),
        ([{"aws_eks_cluster-name": "prod"}, {"aws_eks_cluster-name": "test"}], ""),
        ([{"Name": "web"}], ""),
    ],
)
def test_the_instances_of_the_nodes_name_their_cluster(
    node: Callable[..., str], tags: list[dict[str, str]], cluster: str
) -> None:
    gone = "aws:///eu-central-1a/i-0123456789abcdef0"
    assert Addons().find_cluster([gone, *(node(**one) for one in tags)]) == cluster


def test_the_region_of_the_nodes_is_where_the_cluster_is_read(
    node: Callable[..., str], eks: Eks, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = node(**{"aws_eks_cluster-name": "prod"})
    monkeypatch.delenv("AWS_REGION")
    addons = Addons()
    assert addons.read(addons.find_cluster([started])) == ADDON
    assert eks.regions == {"eu-central-1"}


@pytest.mark.parametrize(
    "provider_id",
    ["", "kind://podman/kind/kind-worker", "aws:///eu-west-1a/0f1e/fargate-ip-10-0-0-1", "gce://p/z/i-0abc"],
)
def test_other_nodes_ask_nobody(provider_id: str) -> None:
    assert Addons().find_cluster([provider_id]) == ""


@pytest.mark.parametrize(
    ("zone", "region"),
    [
        ("eu-west-1a", "eu-west-1"),
        ("us-gov-west-1b", "us-gov-west-1"),
        ("us-west-2-lax-1a", "us-west-2"),
        ("us-east-1-wl1-bos-wlz-1", "us-east-1"),
    ],
)
def test_the_region_is_that_of_the_zone(aws: Callable[..., None], zone: str, region: str) -> None:
    with serving() as nobody:
        aws(AWS_ENDPOINT_URL_EC2=nobody.url)
        with pytest.raises(AddonError, match=f"find the EKS cluster of the nodes in {region}: "):
            Addons().find_cluster([f"aws:///{zone}/i-0123456789abcdef0"])
        assert nobody.regions == {region}


def test_boto3_is_not_imported_before_it_is_asked() -> None:
    line = (
        "import sys, resilience_operator.outside.eks; print([m for m in sys.modules if m.startswith('boto')])"
    )
    answer = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"


def test_without_boto3_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(Failed) as caught:
        Addons().read("prod")
    assert str(caught.value) == (
        "cannot read the add-on coredns of the EKS cluster prod: import of boto3 halted; None in sys.modules "
        "(install boto3 beside the operator, or type the command yourself)"
    )
