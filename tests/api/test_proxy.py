"""The fault proxy itself: what it does to requests and watches is what it says."""

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from resilience_operator.api.session import Session
from resilience_operator.core.errors import ApiError, OperatorError, Unreachable
from tests.faults import (
    Action,
    Proxy,
    Stream,
    answer,
    at,
    delay,
    drop_before,
    drop_reply,
    hold,
    hold_reply,
    opening,
)
from tests.support.api_server import Pods, kubeconfig

POD = "/api/v1/namespaces/shop/pods/web"


@pytest.fixture
def upstream() -> Iterator[Pods]:
    """An API server in a thread of its own."""
    loop, server = asyncio.new_event_loop(), Pods(names={"a": 90})
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
    yield server
    asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def proxy(upstream: Pods, tmp_path: Path) -> Iterator[Proxy]:
    """The proxy in front of it."""
    with Proxy(kubeconfig(tmp_path / "upstream", upstream.url, token="secret")) as running:
        yield running


async def connect(proxy: Proxy, tmp_path: Path) -> Session:
    """The operator's session, through the proxy."""
    file = await asyncio.to_thread(proxy.kubeconfig, tmp_path / "operator")
    return await Session.connect(str(file), None, qps=99, burst=99, user_agent="operator/1")


async def outcome(session: Session, method: str = "PATCH") -> str:
    """What becomes of one request: "ok", the status of an error, or "cut"."""
    try:
        await session.request(method, POD, params={"force": "true"}, body=b"{}", timeout=5)
    except ApiError as error:
        return str(error.status)
    except Unreachable:
        return "cut"
    return "ok"


async def test_a_request_passes_unchanged_as_the_user_of_the_proxy_and_is_noted(
    proxy: Proxy, upstream: Pods, tmp_path: Path
) -> None:
    async with await connect(proxy, tmp_path) as session:
        assert await outcome(session) == "ok"
    (noted,), (asked,) = proxy.requests, upstream.asked
    assert (noted.number, noted.method, noted.path, noted.query, noted.body, noted.status) == (
        1,
        "PATCH",
        POD,
        {"force": "true"},
        b"{}",
        200,
    )
    assert (asked.method, asked.path, asked.query, asked.body) == ("PATCH", POD, {"force": "true"}, b"{}")
    assert (asked.headers["Authorization"], asked.headers["User-Agent"]) == ("Bearer secret", "operator/1")


async def test_each_action_strikes_at_its_point_and_only_what_it_matches(
    proxy: Proxy, upstream: Pods, tmp_path: Path
) -> None:
    called: list[tuple[str, int]] = []

    def note(point: str) -> None:
        called.append((point, len(upstream.asked)))

    async with await connect(proxy, tmp_path) as session:
        seen = []
        for action in (
            drop_before(),
            drop_reply(),
            answer(503, headers={"Retry-After": "0"}),
            at("before", lambda: note("before")),
            at("committed", lambda: note("committed")),
            at("replied", lambda: note("replied")),
            delay(0.01),
        ):
            rule = proxy.on("PATCH", "/pods/web$", action)
            before = len(upstream.asked)
            seen.append((await outcome(session, "PUT"), await outcome(session), len(upstream.asked) - before))
            assert await outcome(session) == "ok"
            rule.remove()
    assert seen == [
        ("ok", "cut", 1),
        ("ok", "cut", 2),
        ("ok", "503", 1),
        ("ok", "cut", 1),
        ("ok", "cut", 2),
        ("ok", "ok", 2),
        ("ok", "ok", 2),
    ]
    base = called[0][1]
    assert called == [("before", base), ("committed", base + 3), ("replied", base + 6)]


async def test_a_rule_counts_its_own_matches(proxy: Proxy, tmp_path: Path) -> None:
    async with await connect(proxy, tmp_path) as session:
        rule = proxy.on("*", "/pods/", answer(500), nth=2, times=2)
        assert [await outcome(session) for _ in range(5)] == ["ok", "500", "500", "ok", "ok"]
    assert [request.number for request in rule.matched] == [2, 3]


@pytest.mark.parametrize(("action", "arrived"), [(hold, 0), (hold_reply, 1)])
async def test_a_held_request_waits_until_it_is_released(
    proxy: Proxy, upstream: Pods, tmp_path: Path, action: Callable[[], Action], arrived: int
) -> None:
    async with await connect(proxy, tmp_path) as session:
        rule = proxy.on("PATCH", "web", action())
        waiting = asyncio.create_task(outcome(session))
        held = await asyncio.to_thread(rule.wait_held)
        await asyncio.sleep(0.05)
        assert (held.number, waiting.done(), len(upstream.asked)) == (1, False, arrived)
        rule.release()
        assert (await waiting, len(upstream.asked)) == ("ok", 1)


def change(upstream: Pods, name: str) -> None:
    """Let the API server send an event of a pod."""
    asyncio.run_coroutine_threadsafe(upstream.put(name), upstream.loop).result(10)


def cut(stream: Stream) -> None:
    stream.truncate()


def cut_as_if_it_were_whole(stream: Stream) -> None:
    stream.truncate("end")


@pytest.mark.parametrize(
    ("fault", "ending"),
    [
        (Stream.end, "^$"),
        (Stream.reset, "^Unreachable: GET .* no complete answer"),
        (Stream.silence, "^Silent: GET .* no complete answer"),
        (cut, "^Unreachable: GET .* no complete answer"),
        (cut_as_if_it_were_whole, "^Unreachable: the watch ended within a line"),
        (lambda stream: stream.error(410), "^$"),
    ],
)
async def test_an_open_watch_is_struck_and_the_next_one_is_whole(
    proxy: Proxy, upstream: Pods, tmp_path: Path, fault: Callable[[Stream], object], ending: str
) -> None:
    async with await connect(proxy, tmp_path) as session:
        rule = proxy.on("GET", "/pods$", opening(fault))
        struck = asyncio.create_task(watch(session))
        await asyncio.to_thread(rule.wait_matched)
        await asyncio.to_thread(change, upstream, "b")
        lines, error = await struck
        following = asyncio.create_task(watch(session, enough=1))
        whole, _ = await following
    assert re.search(ending, error)
    assert [b'"code": 410' in line for line in lines] == ([True] if "lambda" in fault.__name__ else [])
    assert [b'"name": "b"' in line for line in whole] == [True]


async def test_a_lost_event_is_the_only_one_that_is_lost(
    proxy: Proxy, upstream: Pods, tmp_path: Path
) -> None:
    async with await connect(proxy, tmp_path) as session:
        following = asyncio.create_task(watch(session, enough=2))
        (stream,) = await asyncio.to_thread(proxy.wait, lambda: proxy.streams("/pods$"))
        stream.drop('"name": "b"')
        for name in ("b", "c", "d"):
            await asyncio.to_thread(change, upstream, name)
        lines, _ = await following
    assert [name in line for name, line in zip((b'"c"', b'"d"'), lines, strict=True)] == [True, True]


async def watch(session: Session, enough: int = 0) -> tuple[list[bytes], str]:
    """The lines of a watch until there are `enough` or it ends, and the error with which it ended."""
    lines: list[bytes] = []
    try:
        async with aclosing(session.stream("/api/v1/pods", {"resourceVersion": "100"}, 0.5)) as stream:
            async for some in stream:
                lines += some
                if enough and len(lines) >= enough:
                    break
    except OperatorError as error:
        return lines, f"{type(error).__name__}: {error}"
    return lines, ""
