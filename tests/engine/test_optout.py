"""Opt-outs: which words of people keep which rule away from an object, and until when."""

from datetime import UTC, datetime, timedelta

import pytest

from resilience_operator.engine.optout import OptOut, opted_out
from resilience_operator.targets import CATALOG

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
IGNORE, UNTIL, REASON = "resilience.dev/ignore", "resilience.dev/ignore-until", "resilience.dev/ignore-reason"


@pytest.mark.parametrize(
    ("labels", "annotations", "out"),
    [
        ({}, {}, False),
        ({IGNORE: "all"}, {}, True),
        ({IGNORE: "spread"}, {}, True),
        ({IGNORE: "dns-config"}, {}, False),
        ({}, {IGNORE: "spread,dns-config"}, True),
        ({}, {IGNORE: " dns-config , spread "}, True),
        ({}, {IGNORE: "all"}, True),
        ({}, {IGNORE: "spreads"}, False),
        ({}, {IGNORE: ""}, False),
        ({IGNORE: "dns-config"}, {IGNORE: "spread"}, True),
        ({"ignore": "all"}, {REASON: "spread"}, False),
    ],
)
def test_a_label_or_an_annotation_names_the_rule_or_all(
    labels: dict[str, str], annotations: dict[str, str], out: bool
) -> None:
    assert opted_out(labels, annotations, ["spread"], NOW) == (OptOut() if out else None)


@pytest.mark.parametrize(
    ("said", "rules"),
    [
        ("spread", {"spread", "coredns-spread"}),
        ("coredns-spread", {"spread", "coredns-spread"}),
        ("replicas", {"replicas", "coredns-floor"}),
        ("coredns-floor", {"replicas", "coredns-floor"}),
        ("disruption-budget", {"disruption-budget", "coredns-budget"}),
        ("coredns-budget", {"disruption-budget", "coredns-budget"}),
        ("dns-config", {"dns-config"}),
    ],
)
def test_rules_that_write_the_same_are_opted_out_of_together(said: str, rules: set[str]) -> None:
    assert {
        rule for rule in CATALOG.rules if opted_out({IGNORE: said}, {}, CATALOG.siblings(rule), NOW)
    } == rules


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("2026-12-31", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-11-22", datetime(2026, 11, 23, tzinfo=UTC)),
        ("2026-11-22T10:00:00+01:00", datetime(2026, 11, 22, 9, tzinfo=UTC)),
        ("2026-11-22T08:00:01Z", datetime(2026, 11, 22, 8, 0, 1, tzinfo=UTC)),
    ],
)
def test_an_opt_out_ends_when_it_says(text: str, until: datetime) -> None:
    annotations = {IGNORE: "spread", UNTIL: text, REASON: "TICKET-7"}
    assert opted_out({}, annotations, ["spread"], NOW) == OptOut(until, "TICKET-7")
    assert opted_out({}, annotations, ["spread"], until) is None
    assert opted_out({}, annotations, ["spread"], until - timedelta(seconds=1)) == OptOut(until, "TICKET-7")
    assert opted_out({IGNORE: "all"}, {UNTIL: text}, ["spread"], until) is None


@pytest.mark.parametrize(
    "text", ["soon", "2026-13-01", "31.12.2026", "2026-12-31T10:00:00", "9999-12-31", "1"]
)
def test_an_end_that_cannot_be_read_is_no_end_and_is_reported(text: str) -> None:
    problem = f"{UNTIL} '{text}' is no RFC 3339 date or time: the opt-out holds for ever"
    annotations = {UNTIL: text, REASON: "why"}
    assert opted_out({IGNORE: "spread"}, annotations, ["spread"], NOW) == OptOut(None, "why", problem)
