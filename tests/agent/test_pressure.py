"""Pressure of the table: named before the first packet is lost, and not said to be over too soon."""

import pytest

from resilience_operator.agent.pressure import (
    Counters,
    Level,
    Pressure,
    Sample,
    Thresholds,
    assess,
    read_counters,
)


def course(
    *entries: int,
    limit: int = 262144,
    drops: dict[int, int] | None = None,
    thresholds: Thresholds = Thresholds(),  # noqa: B008  - frozen
) -> list[Pressure]:
    """What is said each five seconds while the table holds so many entries; `drops` by sample number."""
    samples: list[Sample] = []
    said: list[Pressure] = []
    lost = 0
    for step, count in enumerate(entries):
        lost += (drops or {}).get(step, 0)
        samples.append(Sample(step * 5.0, count, limit, lost))
        said.append(assess(samples[-60:], said[-1] if said else Pressure(), thresholds))
    return said


def test_conntrack_full_is_named_before_the_first_packet_is_dropped() -> None:
    """192,125 of 262,144, and 150 more each second: full in 8 minutes."""
    said = course(*(192125 + 750 * step for step in range(14)))
    first = next(step for step, one in enumerate(said) if one.level is Level.WARNING)
    assert first * 5 == 60
    assert (said[first].reason, said[first].message) == (
        "FullSoon",
        "201125 of 262144 entries (77%); full in 6 minutes at the present trend, and then every new flow is dropped",
    )
    assert (said[first].per_minute, said[first].minutes_to_full) == (9000, 6)


def test_a_share_above_the_threshold_warns_after_two_minutes_and_ends_five_points_below() -> None:
    high, between, low = 200_000, 190_000, 180_000
    said = course(*[high] * 26, *[between] * 60, *[low] * 1)
    assert [one.level for one in said[:24]] == [Level.NORMAL] * 24
    assert (said[24].level, said[24].reason) == (Level.WARNING, "Filling")
    assert {one.level for one in said[24:86]} == {Level.WARNING}, "190000 is below 75 % and above 70 %"
    assert said[86].level is Level.NORMAL


def test_ninety_percent_is_critical_at_once_and_ends_five_points_below() -> None:
    said = course(240_000, 225_000, 220_000)
    assert [one.level for one in said] == [Level.CRITICAL, Level.CRITICAL, Level.WARNING]


def test_a_threshold_of_a_few_percent_ends_as_well() -> None:
    said = course(10_000, 0, thresholds=Thresholds(warning=2, critical=3))
    assert [one.level for one in said] == [Level.CRITICAL, Level.NORMAL]


def test_one_dropped_packet_is_critical_for_two_minutes() -> None:
    said = course(*[100_000] * 30, drops={2: 1})
    assert [one.level for one in said].count(Level.CRITICAL) == 24
    assert (said[2].reason, said[2].message) == (
        "EntriesLost",
        "100000 of 262144 entries (38%); the table drops packets of new flows, or evicts flows to take them",
    )


def test_a_node_that_starts_is_no_alarm() -> None:
    said = course(*(1000 * step for step in range(60)))
    assert {one.level for one in said} == {Level.NORMAL}


def test_a_table_without_a_limit_is_never_full() -> None:
    said = course(*(10**6 * step for step in range(20)), limit=0)
    assert {(one.level, one.minutes_to_full) for one in said} == {(Level.NORMAL, None)}
    assert said[-1].message == "19000000 entries, without a limit"


def test_counters_are_read_by_their_columns_and_wrap_around() -> None:
    text = "entries  clashres insert_failed drop early_drop\n00000a 00000002 ffffffff 00000001 00000000\nbroken\n"
    assert read_counters(text) == [
        {"clash_resolve": 2, "insert_failed": 0xFFFFFFFF, "drop": 1, "early_drop": 0}
    ]
    counters = Counters()
    counters.add([{"drop": 0xFFFFFFFE}, {"drop": 5}])
    counters.add([{"drop": 3}, {"drop": 6}])
    assert counters.totals == {"drop": 6}
    counters.add([{"drop": 100}])
    assert counters.totals == {"drop": 6}, "a CPU went: nothing is made of the difference"


@pytest.mark.parametrize("text", ["", "\n", "a b\n1\n", "entries drop\nzz zz\n", "drop\n" + "0\n" * 5000])
def test_a_strange_file_of_counters_is_read_within_bounds(text: str) -> None:
    assert len(read_counters(text)) <= 4096
