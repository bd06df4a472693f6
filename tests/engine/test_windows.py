"""Windows: when something disruptive may start, in the time zone of people, and when it opens next."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from resilience_operator.engine.windows import closed_because, is_open, next_opening, wake_at
from resilience_operator.policy.common import ALWAYS, AllowWindow, DenyWindow, Windows

WEEK = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
OFFICE = AllowWindow("office-hours", WEEK[:4], time(9), time(16), "Europe/Berlin")
NIGHT = AllowWindow("night", ("Fri",), time(22), time(2))
ALL_DAY = AllowWindow("friday", ("Fri",), time(0), time(0))
FREEZE = DenyWindow("black-friday", datetime(2026, 11, 26, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("windows", "now", "expected"),
    [
        (ALWAYS, "2026-11-22T08:00Z", True),
        (Windows((OFFICE,)), "2026-11-23T07:59:59Z", False),  # Monday 08:59:59 in Berlin
        (Windows((OFFICE,)), "2026-11-23T08:00Z", True),
        (Windows((OFFICE,)), "2026-11-23T14:59:59Z", True),
        (Windows((OFFICE,)), "2026-11-23T15:00Z", False),
        (Windows((OFFICE,)), "2026-07-20T07:00Z", True),  # summer time: 09:00 is 07:00 UTC
        (Windows((OFFICE,)), "2026-11-27T10:00Z", False),  # a Friday
        (Windows((NIGHT,)), "2026-11-27T21:59Z", False),
        (Windows((NIGHT,)), "2026-11-27T22:00Z", True),
        (Windows((NIGHT,)), "2026-11-28T01:59Z", True),  # over midnight: Saturday, begun on Friday
        (Windows((NIGHT,)), "2026-11-28T02:00Z", False),
        (Windows((NIGHT,)), "2026-11-27T01:00Z", False),  # Friday, but begun on a Thursday
        (Windows((ALL_DAY,)), "2026-11-27T00:00Z", True),  # end = start: a whole day
        (Windows((ALL_DAY,)), "2026-11-27T23:59:59Z", True),
        (Windows((ALL_DAY,)), "2026-11-28T00:00Z", False),
        (Windows((OFFICE, NIGHT)), "2026-11-27T23:00Z", True),
        (Windows((), (FREEZE,)), "2026-11-25T23:59:59Z", True),
        (Windows((), (FREEZE,)), "2026-11-26T00:00Z", False),
        (Windows((NIGHT,), (FREEZE,)), "2026-11-27T23:00Z", False),  # deny within allow
        (Windows((), (FREEZE,)), "2026-12-01T00:00Z", True),
    ],
)
def test_a_window_is_open_from_its_start_until_before_its_end(
    windows: Windows, now: str, expected: bool
) -> None:
    assert is_open(windows, at(now)) is expected
    assert (closed_because(windows, at(now)) == "") is expected


@pytest.mark.parametrize(
    ("window", "opens", "closes"),
    [
        # Berlin springs forward on 2026-03-29, 02:00 to 03:00: what starts in the gap starts an hour late.
        (
            AllowWindow("gap", ("Sun",), time(2, 30), time(4), "Europe/Berlin"),
            "2026-03-29T01:30Z",
            "2026-03-29T02:00Z",
        ),
        # and falls back on 2026-10-25, 03:00 to 02:00: a night of five hours.
        (
            AllowWindow("long", ("Sat",), time(23), time(3), "Europe/Berlin"),
            "2026-10-24T21:00Z",
            "2026-10-25T02:00Z",
        ),
        (
            AllowWindow("far", ("Mon",), time(0), time(1), "Pacific/Kiritimati"),
            "2026-11-22T10:00Z",
            "2026-11-22T11:00Z",
        ),
    ],
)
def test_clocks_that_change_move_a_window_and_never_lose_it(
    window: AllowWindow, opens: str, closes: str
) -> None:
    windows, second = Windows((window,)), timedelta(seconds=1)
    moments = [at(opens) - second, at(opens), at(closes) - second, at(closes)]
    assert [is_open(windows, moment) for moment in moments] == [False, True, True, False]


@pytest.mark.parametrize(
    ("windows", "now", "says"),
    [
        (
            Windows((OFFICE,)),
            "2026-11-22T08:00Z",
            "waits for the window office-hours, 2026-11-23 09:00 CET",
        ),
        (Windows((OFFICE,)), "2026-11-26T15:00Z", "waits for the window office-hours, 2026-11-30 09:00 CET"),
        (Windows((NIGHT, OFFICE)), "2026-11-26T15:30Z", "waits for the window night, 2026-11-27 22:00 UTC"),
        (
            Windows((), (FREEZE,)),
            "2026-11-27T08:00Z",
            "waits for the end of black-friday, 2026-12-01 00:00 UTC",
        ),
        (
            Windows((OFFICE,), (FREEZE,)),
            "2026-11-25T15:30Z",
            "waits for the window office-hours, 2026-12-01 09:00 CET",
        ),
        (
            Windows((NIGHT,), (DenyWindow("freeze", at("2026-11-20T00:00Z"), at("2027-01-10T00:00Z")),)),
            "2026-11-19T08:00Z",
            "waits for the window night, which does not open within 8 days",
        ),
        (
            Windows((NIGHT,), (DenyWindow("short", at("2026-11-27T21:00Z"), at("2026-11-27T23:30Z")),)),
            "2026-11-27T12:00Z",
            "waits for the window night, 2026-11-27 23:30 UTC",
        ),
    ],
)
def test_who_waits_is_told_for_what_and_until_when(windows: Windows, now: str, says: str) -> None:
    assert closed_because(windows, at(now)) == says


def test_the_next_opening_is_one_at_which_it_is_open() -> None:
    windows = Windows((OFFICE, NIGHT), (FREEZE,))
    for hour in range(24 * 14):
        now = at("2026-11-20T00:00Z") + timedelta(hours=hour)
        opening = next_opening(windows, now)
        assert opening is not None
        window, moment = opening
        assert is_open(windows, moment.astimezone(UTC)), (now, window.name)
        assert (moment == now) is is_open(windows, now)


@pytest.mark.parametrize(
    ("windows", "now", "expected"),
    [
        (ALWAYS, "2026-11-22T08:00Z", None),
        (Windows((OFFICE,)), "2026-11-22T08:00Z", "2026-11-23T08:00Z"),
        (Windows((OFFICE,)), "2026-11-23T08:00Z", "2026-11-23T15:00Z"),
        (Windows((NIGHT,)), "2026-11-28T00:00Z", "2026-11-28T02:00Z"),
        (Windows((), (FREEZE,)), "2026-11-22T08:00Z", "2026-11-26T00:00Z"),
        (Windows((), (FREEZE,)), "2026-12-01T00:00Z", None),
    ],
)
def test_the_answer_is_asked_for_again_when_it_may_change(windows: Windows, now: str, expected: Any) -> None:
    assert wake_at(windows, at(now)) == (at(expected) if expected else None)
