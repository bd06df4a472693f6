"""What the reconciler remembers between passes: when it tries again."""

import pytest

from resilience_operator.run.memory import RIGHTS_RETRY, Memory

WEB, API, ELSEWHERE, SCALER = (
    ("Deployment", "shop", "web"),
    ("Deployment", "shop", "api"),
    ("Deployment", "bank", "web"),
    ("HorizontalPodAutoscaler", "shop", "web"),
)


def test_a_right_that_is_missing_keeps_the_whole_namespace_waiting_and_no_other() -> None:
    memory = Memory()
    memory.forbidden(WEB, "cannot patch", 100.0)
    soon, later = 100.0 + RIGHTS_RETRY - 0.1, 100.0 + RIGHTS_RETRY
    assert [memory.waits(place, soon) for place in (WEB, API, ELSEWHERE, SCALER)] == [
        True,
        True,
        False,
        False,
    ]
    assert [memory.waits(place, later) for place in (WEB, API, ELSEWHERE, SCALER)] == [False] * 4
    assert memory.lost_rights["shop", "Deployment"].message == "cannot patch"


def test_a_right_is_not_missed_once_something_was_written_or_nothing_is_to_be_written() -> None:
    memory = Memory()
    memory.forbidden(WEB, "cannot patch", 100.0)
    memory.succeeded(API)
    assert memory.lost_rights == {}
    memory.forbidden(WEB, "cannot patch", 100.0)
    memory.keep_rights({("bank", "Deployment")})
    assert memory.lost_rights == {}


def test_failures_of_one_object_wait_longer_each_time_up_to_five_minutes() -> None:
    memory, now = Memory(), 0.0
    waits = []
    for _ in range(12):
        until = memory.failed(WEB, now, 0.0)
        waits.append(until - now)
        now = until
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0]
    assert not memory.waits(API, now - 1)
    assert memory.failed(WEB, now, 1000.0) - now == 1000.0, "the API server's Retry-After is obeyed"


def test_what_only_came_too_late_is_tried_again_soon() -> None:
    memory = Memory()
    assert [memory.failed(WEB, 100.0, 0.0, stale=True) - 100.0 for _ in range(3)] == pytest.approx(
        [0.05, 0.1, 0.2]
    )
    assert memory.next_try(100.0) == pytest.approx(0.2)
    assert memory.next_try(101.0) == float("inf")
