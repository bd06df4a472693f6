"""What parsing makes of policies: whole values, problems with their paths, and nothing that raises."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_operator.policy.common import (
    AllowWindow,
    Conflicts,
    DenyWindow,
    Expression,
    Mode,
    NamespaceScope,
    OnRelease,
    Problem,
    Rollout,
    Selector,
    Windows,
)
from resilience_operator.policy.decode import digest
from resilience_operator.policy.policy import Policy
from resilience_operator.targets import crd, parse, validate
from resilience_operator.targets.coredns.settings import CoreDNS, NodeLocalCache
from resilience_operator.targets.deployments.settings import (
    Deployments,
    DNSConfig,
    DNSOption,
    GracefulShutdown,
)
from resilience_operator.targets.workloads.settings import Spread, SpreadConstraint
from tests.support.policies import BAD, GOOD, asking, document

NO_SECTION = "spec has no section, such as deployments: nothing is judged"
SPEC = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]

FULL = asking(
    name="full",
    digest=digest(GOOD["full"]),
    mode=Mode.ENFORCE,
    conflicts=Conflicts.TAKE_OVER,
    priority=-5,
    on_release=OnRelease.REVERT,
    windows=Windows(
        allow=(
            AllowWindow(
                "office-hours", ("Mon", "Tue", "Wed", "Thu"), time(9), time(16), time_zone="Europe/Berlin"
            ),
            AllowWindow("night", ("Fri",), time(22), time(0), time_zone="UTC"),
        ),
        deny=(
            DenyWindow(
                "black-friday",
                datetime(2026, 11, 26, tzinfo=UTC),
                datetime(2026, 12, 1, 0, 0, 0, 500_000, tzinfo=timezone(timedelta(hours=1))),
            ),
        ),
    ),
    rollout=Rollout(3, 2, 0, 300, 2, 3),
    deployments=Deployments(
        mode=Mode.AUDIT,
        conflicts=Conflicts.REPORT,
        windows=Windows(),
        rollout=Rollout(soak_seconds=5),
        namespaces=NamespaceScope(("shop-*", "kube-system"), ("shop-test?",)),
        namespace_selector=Selector({"team": "shop"}),
        selector=Selector(
            {"app.kubernetes.io/part-of": "shop", "empty": ""},
            (
                Expression("tier", "In", ("web", "api")),
                Expression("resilience.dev/ignore", "DoesNotExist"),
            ),
        ),
        spread=Spread(Mode.ENFORCE, (SpreadConstraint("kubernetes.io/hostname", 2, "DoNotSchedule"),)),
        graceful_shutdown=GracefulShutdown(Mode.ENFORCE, 5, 6, "All"),
        dns_config=DNSConfig(
            Mode.ENFORCE,
            (
                DNSOption("timeout", "30"),
                DNSOption("attempts", "5"),
                DNSOption("ndots", "0"),
                DNSOption("use-vc"),
            ),
            allow_search_change=True,
            report_only_images=(),
        ),
    ),
)


def test_every_field_of_a_policy_is_read() -> None:
    assert parse(document("full", GOOD["full"])) == (FULL, ())


def test_an_empty_object_asks_for_the_rule() -> None:
    policy, problems = parse(document("dns", {"coreDNS": {"nodeLocalCache": {}}}))
    assert (policy.sections, problems) == ({"coreDNS": CoreDNS(node_local_cache=NodeLocalCache())}, ())


def test_a_policy_is_identified_by_its_metadata() -> None:
    metadata = {
        "name": "shop",
        "uid": "u-1",
        "generation": 7,
        "labels": {"b": "2", "a": "1"},
        "finalizers": ["resilience.dev/release"],
        "deletionTimestamp": "2026-11-22T08:00:00Z",
    }
    assert parse({"metadata": metadata, "spec": {}}) == (
        Policy(
            name="shop",
            uid="u-1",
            generation=7,
            digest=digest({}),
            labels=(("a", "1"), ("b", "2")),
            finalizers=("resilience.dev/release",),
            deleting=True,
            warnings=(NO_SECTION,),
        ),
        (),
    )


def test_equal_specs_have_equal_digests_whatever_the_order() -> None:
    assert digest({"mode": "Audit", "priority": 1}) == digest({"priority": 1, "mode": "Audit"})
    assert digest({"mode": "Audit", "priority": 1}) != digest({"mode": "Audit", "priority": 2})


HOURS = {"name": "h", "days": ["Mon"], "start": "09:00", "end": "16:00"}


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (
            {"windows": {"allow": [HOURS | {"timeZone": "Mars/Olympus"}]}},
            (
                'spec.windows.allow[0].timeZone: write an IANA time zone name, as "Europe/Berlin";'
                " 'Mars/Olympus' is unknown here"
            ),
        ),
        (
            {"windows": {"allow": [HOURS | {"timeZone": "Europe"}]}},
            (
                'spec.windows.allow[0].timeZone: write an IANA time zone name, as "Europe/Berlin";'
                " 'Europe' is unknown here"
            ),
        ),
        (
            {"windows": {"allow": [HOURS | {"start": "9 am"}]}},
            "spec.windows.allow[0].start: write the time as \"HH:MM\" on a clock of 24 hours, not '9 am'",
        ),
        (
            {"windows": {"allow": [HOURS | {"days": ["Mon", "Workdays"]}]}},
            "spec.windows.allow[0].days[1]: write one of Mon, Tue, Wed, Thu, Fri, Sat, Sun, not 'Workdays'",
        ),
        (
            {"windows": {"deny": [{"name": "d", "from": "2026-11-26", "until": "2026-12-01T00:00:00Z"}]}},
            (
                'spec.windows.deny[0].from: write a time with its offset, as "2026-11-26T00:00:00Z",'
                " not '2026-11-26'"
            ),
        ),
        (
            {"mode": "Simulate"},
            "spec.mode: write one of Audit, Enforce; this operator does not know 'Simulate'",
        ),
        (
            {"statefulSets": {}},
            "spec.statefulSets: this operator does not know this field: remove it, or update the operator",
        ),
        (
            {"deployments": {"affinity": {}}},
            (
                "spec.deployments.affinity: this operator does not know this field:"
                " remove it, or update the operator"
            ),
        ),
        (
            {"deployments": {"selector": {"matchLabels": {"my team": "a"}}}},
            (
                "spec.deployments.selector.matchLabels: 'my team' is no label key, so no object bears it:"
                " write as app.kubernetes.io/name"
            ),
        ),
        (
            {"deployments": {"selector": {"matchExpressions": [{"key": "tier", "operator": "Gt"}]}}},
            (
                "spec.deployments.selector.matchExpressions[0].operator:"
                " write one of In, NotIn, Exists, DoesNotExist; this operator does not know 'Gt'"
            ),
        ),
        (
            {"deployments": {"spread": {"constraints": [{"maxSkew": 1}]}}},
            "spec.deployments.spread.constraints[0].topologyKey: is required",
        ),
        (
            {"deployments": {"dnsConfig": {"options": [{"name": "timeout", "value": 2}]}}},
            "spec.deployments.dnsConfig.options[0].value: write a string, in quotes, not 2",
        ),
        ({"rollout": {"soakSeconds": True}}, "spec.rollout.soakSeconds: write a whole number, not True"),
        ({"suspend": "no"}, "spec.suspend: write true or false, not 'no'"),
        ({"deployments": {"spread": []}}, "spec.deployments.spread: write an object, not []"),
    ],
)
def test_what_cannot_be_honoured_is_named_and_such_a_policy_writes_nothing(
    spec: dict[str, Any], problem: str
) -> None:
    policy, problems = parse(document("shop", {"onRelease": "Revert"} | spec))
    assert [str(found) for found in problems] == [problem]
    assert (policy.suspend, policy.on_release) == (True, OnRelease.RETAIN)


def test_a_policy_without_spec_demands_nothing() -> None:
    assert parse({}) == (Policy(name="", digest=digest({}), warnings=(NO_SECTION,)), ())


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_policy_that_a_server_would_refuse_does_not_raise(bad: Any) -> None:
    policy, _ = parse(bad.document)
    assert policy.name == bad.name


def values(schema: Any) -> st.SearchStrategy[Any]:
    """Values that fit the structure of a schema node; its CEL rules may still refuse them."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "x-kubernetes-int-or-string" in schema:
        return st.integers(schema["minimum"], schema["maximum"]) | st.sampled_from(["1%", "50%", "100%"])
    match schema["type"]:
        case "object" if "properties" in schema:
            required = schema.get("required", ())
            fields = {name: values(field) for name, field in schema["properties"].items()}
            return st.fixed_dictionaries(
                {name: fields[name] for name in required},
                optional={name: field for name, field in fields.items() if name not in required},
            )
        case "object":
            return st.dictionaries(st.text(max_size=9), values(schema["additionalProperties"]), max_size=3)
        case "array":
            return st.lists(values(schema["items"]), min_size=schema.get("minItems", 0), max_size=3)
        case "integer":
            return st.integers(schema["minimum"], schema["maximum"])
        case "boolean":
            return st.booleans()
    if "format" in schema:
        moments = st.datetimes(datetime(1999, 1, 1), datetime(2999, 1, 1))  # noqa: DTZ001 (the strategy adds it)
        return moments.map(lambda moment: moment.isoformat(timespec="seconds") + "Z")
    if "pattern" in schema:
        return st.from_regex(schema["pattern"], fullmatch=True).filter(
            lambda text: len(text) <= schema["maxLength"]
        )
    known = ["09:00", "23:59", "00:00", "Europe/Berlin", "UTC", "shop-*", "1", "5", "*alpine*", "../x"]
    texts = st.sampled_from(known) | st.text(min_size=schema.get("minLength", 0), max_size=9)
    return texts.filter(lambda text: schema.get("minLength", 0) <= len(text) <= schema["maxLength"])


MAY_BE_UNKNOWN_HERE = ("timeZone", "matchLabels")


@given(values(SPEC))
def test_what_fits_the_schema_is_read_without_an_exception_and_honoured(spec: dict[str, Any]) -> None:
    policy, problems = parse(document("any", spec))
    assert policy.mode == spec.get("mode", "Audit")
    if validate(document("any", spec)) == ():
        assert [found for found in problems if not found.path.endswith(MAY_BE_UNKNOWN_HERE)] == []


WORDS = st.text("aB0 :/-*é", max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(list(SPEC["properties"])), JSON))
def test_what_is_of_any_other_form_is_read_without_an_exception(spec: dict[str, Any]) -> None:
    policy, problems = parse(document("any", spec))
    assert policy == replace(policy, name="any")
    assert all(isinstance(found, Problem) for found in problems)
