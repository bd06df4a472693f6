"""The reflector: whatever a stream does, the store ends up equal to the server, and knows how old it is."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from resilience_operator.api import watch
from resilience_operator.api.watch import Reflector, Scope
from resilience_operator.cluster.cache import Described
from resilience_operator.cluster.store import Store
from resilience_operator.cluster.unreadable_keys import Unreadable
from resilience_operator.core.kinds import POD, Kind
from resilience_operator.targets import TARGETS
from tests.support.api_server import Fault, Pods, Reply, Watching, failing, reset, status


class Sink(Store):
    """A store that also notes how it was told; `broken`: it raises as often."""

    def __init__(self) -> None:
        super().__init__(TARGETS)
        self.told: list[str] = []
        self.broken = 0

    def put(self, kind: Kind, new: Described | Unreadable) -> None:
        if self.broken:
            self.broken -= 1
            raise KeyError("an error of the store")
        self.told.append(f"put {new.metadata.name}")
        super().put(kind, new)

    def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        self.told.append(f"delete {name}")
        super().delete(kind, namespace, name, uid)

    def replace(self, kind: Kind, objects: Sequence[Described | Unreadable], resource_version: str) -> None:
        self.told.append(f"replace {len(objects)}")
        super().replace(kind, objects, resource_version)

    def rewound(self, kind: Kind) -> None:
        self.told.append("rewound")
        super().rewound(kind)

    def names(self) -> set[str]:
        """The pods that are known."""
        return {pod.metadata.name for pod in self.cache[POD]}


class Running:
    """A reflector that runs against a server."""

    def __init__(self, pods: Pods, reflector: Reflector, sink: Sink, task: "asyncio.Task[None]") -> None:
        self.pods, self.reflector, self.sink, self.task = pods, reflector, sink, task

    async def until(self, *names: str, within: float = 10.0) -> None:
        """Wait until the store knows exactly these pods and they are fresh."""
        try:
            await eventually(lambda: self.sink.names() == set(names) and self.reflector.fresh, within)
        except TimeoutError:
            pytest.fail(f"{self.sink.names()} and not {names}: {self.sink.told}, {self.reflector.last_error}")

    def watched_from(self) -> list[str]:
        """The versions from which watches were opened, in their order."""
        return [asked.query["resourceVersion"] for asked in self.pods.asked if "watch" in asked.query]

    def lists(self) -> int:
        """How many list requests there were."""
        return sum(asked.method == "GET" and "watch" not in asked.query for asked in self.pods.asked)


async def eventually(probe: Callable[[], bool], within: float = 10.0) -> None:
    """Wait until `probe` says so."""
    async with asyncio.timeout(within):
        while not probe():  # noqa: ASYNC110 - a state of the server, not of a task
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(
    tmp_path: Path,
    pods: Pods,
    stall_timeout: float = 30.0,
    scope: Scope | None = None,
    kind: Kind = POD,
) -> AsyncIterator[Running]:
    """Run a reflector against the server until the block ends; it must still be trying then."""
    async with pods, await pods.session(tmp_path) as session:
        sink = Sink()
        reflector = Reflector(
            session, kind, sink, time.monotonic, scope or Scope(stall_timeout=stall_timeout)
        )
        task: asyncio.Task[None] = asyncio.create_task(reflector.run())
        try:
            yield Running(pods, reflector, sink, task)
            assert not task.done()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def pods(*names: str, faults: Sequence[Fault] = (), lists: Sequence[Reply] = ()) -> Pods:
    return Pods(names=dict.fromkeys(names, 90), faults=list(faults), lists=list(lists))


async def test_what_is_listed_and_then_changes_is_known(tmp_path: Path) -> None:
    async with running(tmp_path, pods("a", "b")) as run:
        await run.until("a", "b")
        await run.pods.put("c")
        await run.pods.delete("a")
        await run.until("b", "c")
        listing, watching = run.pods.asked
    assert run.sink.told == ["replace 2", "put c", "delete a"]
    assert listing.query == {"limit": "500"}
    assert 15 <= int(watching.query.pop("timeoutSeconds")) <= 21, "well before 30 s of silence"
    assert watching.query == {"watch": "true", "resourceVersion": "100", "allowWatchBookmarks": "true"}


async def test_a_long_list_comes_in_chunks_and_is_one_replacement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "CHUNK", 2)
    async with running(tmp_path, pods(*"abcde")) as run:
        await run.until(*"abcde")
        chunks = [asked.query for asked in run.pods.asked[:3]]
    assert chunks == [{"limit": "2"}, {"limit": "2", "continue": "2"}, {"limit": "2", "continue": "4"}]
    assert run.sink.told == ["replace 5"]


async def test_of_objects_so_large_that_there_is_no_room_fewer_are_asked_for_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "CHUNK", 100)
    monkeypatch.setattr(watch, "MOST", 250)
    names = "abc"
    async with running(tmp_path, pods(*names)) as run:
        await run.until(*names)
        asked = [one.query for one in run.pods.asked if "watch" not in one.query]
    of_one = [{"limit": "1"}, {"limit": "1", "continue": "1"}, {"limit": "1", "continue": "2"}]
    assert asked == [{"limit": "100"}, {"limit": "10"}, *of_one]
    assert run.sink.told == ["replace 3"]


async def test_namespace_and_selectors_limit_what_is_asked_for(tmp_path: Path) -> None:
    scope = Scope("shop", label_selector="app=web", field_selector="spec.nodeName=n")
    async with running(tmp_path, pods("a"), scope=scope) as run:
        await run.until("a")
    assert [
        (asked.path, asked.query["labelSelector"], asked.query["fieldSelector"]) for asked in run.pods.asked
    ] == [("/api/v1/namespaces/shop/pods", "app=web", "spec.nodeName=n")] * 2


async def test_an_expired_token_begins_the_list_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "CHUNK", 2)
    server = pods(*"abcd")
    server.lists = [server.list, failing(410, "Expired")]
    async with running(tmp_path, server) as run:
        await run.until(*"abcd")
        asked = [asked.query.get("continue") for asked in run.pods.asked if "watch" not in asked.query]
    assert (asked, run.sink.told) == ([None, "2", None, "2"], ["replace 4"])


async def ends_well(watching: Watching) -> None:
    """End at once, as after timeoutSeconds."""


async def is_gone(watching: Watching) -> None:
    watching.pods.forget()
    await watching.send(b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}\n')


async def has_500(watching: Watching) -> None:
    await watching.event("ERROR", status(500, "InternalError"))


async def has_504(watching: Watching) -> None:
    await watching.event("ERROR", status(504, "Timeout"))


async def is_truncated(watching: Watching) -> None:
    await watching.send(b'{"type":"ADDED","object":{"metadata":{"na')


async def is_reset_in_mid_line(watching: Watching) -> None:
    await is_truncated(watching)
    reset(watching.request)


async def is_reset(watching: Watching) -> None:
    reset(watching.request)


async def is_no_json(watching: Watching) -> None:
    await watching.send(b"<html>\n")


async def has_an_unknown_type(watching: Watching) -> None:
    await watching.event("RENAMED", watching.pods.pod("a"))


FAULTS = [
    ends_well,
    is_gone,
    has_500,
    has_504,
    is_truncated,
    is_reset_in_mid_line,
    is_reset,
    is_no_json,
    has_an_unknown_type,
]


def missing(fault: Fault) -> Fault:
    """While the fault strikes, `a` is deleted and `c` is made, and no event of it is sent."""

    async def strikes(watching: Watching) -> None:
        await watching.pods.delete("a")
        await watching.pods.put("c")
        await fault(watching)

    return strikes


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_happened_during_a_fault_is_known_after_it(tmp_path: Path, fault: Fault) -> None:
    async with running(tmp_path, pods("a", "b", faults=[missing(fault)])) as run:
        await run.until("b", "c")
        await run.pods.put("d")
        await run.until("b", "c", "d")
        assert run.reflector.last_error == ""


@pytest.mark.parametrize("code", [401, 403, 429, 500, 503])
async def test_a_refused_watch_and_a_refused_list_are_tried_again(tmp_path: Path, code: int) -> None:
    async with running(tmp_path, pods("a", lists=[failing(code)] * 2)) as run:
        await run.until("a")
    server = pods("a")
    async with running(tmp_path, server) as run:
        await run.until("a")
        server.replies = [failing(code)] * 2
        server.follow = False
        await server.put("b")
        server.follow = True
        await run.until("a", "b")


async def test_what_we_may_lack_the_right_to_read_is_empty_without_it_and_is_read_once_it_is_given(
    tmp_path: Path,
) -> None:
    spared = replace(POD, beside_the_point=True)
    server = pods("a", lists=[failing(403)])
    server.rights = [False, True, False]
    async with running(tmp_path, server, stall_timeout=1.0, kind=spared) as run:
        await run.until()
        assert (run.reflector.last_error, run.sink.told[:1]) == ("", ["replace 0"])
        await eventually(lambda: not server.rights)
        assert run.lists() == 0, "what is sure to be refused is not asked for"
        await run.until("a")
        server.replies = [failing(403)] * 2
        server.follow = False
        await server.put("b")
        await run.until()
        server.follow = True
        await run.until("a", "b")


async def test_whether_we_may_read_is_asked_again_where_nobody_knows_and_nothing_is_forgotten(
    tmp_path: Path,
) -> None:
    server = pods("a")
    server.rights = ["the webhook is down"]
    async with running(tmp_path, server, kind=replace(POD, beside_the_point=True)) as run:
        await run.until("a")
        assert run.sink.told == ["replace 1"]


async def test_a_right_that_is_missing_for_a_moment_takes_nothing_away(tmp_path: Path) -> None:
    server = pods("a")
    async with running(tmp_path, server, stall_timeout=1.0, kind=replace(POD, beside_the_point=True)) as run:
        await run.until("a")
        server.replies = [failing(403)]
        server.follow = False
        await server.put("b")
        await eventually(lambda: not server.replies)
        server.follow = True
        await run.until("a", "b")
        assert "replace 0" not in run.sink.told


async def test_what_is_beside_the_point_is_forgotten_when_it_is_old(tmp_path: Path) -> None:
    server = pods("a")
    async with running(tmp_path, server, stall_timeout=0.3, kind=replace(POD, beside_the_point=True)) as run:
        await run.until("a")
        server.replies = [failing(500)] * 4
        server.follow = False
        await server.put("b")
        await eventually(lambda: len(server.replies) < 4)
        server.follow = True
        await eventually(lambda: not run.sink.names())
        await run.until("a", "b")


async def test_http_410_on_a_watch_lists_again(tmp_path: Path) -> None:
    server = pods("a")
    server.replies = [server.reply, failing(410, "Gone")]
    async with running(tmp_path, server) as run:
        await run.until("a")
        await run.pods.put("b")
        await run.until("a", "b")
        assert (run.lists(), run.sink.told[:1]) == (2, ["replace 1"])


async def test_a_stream_that_broke_goes_on_from_the_last_line_without_a_new_list(tmp_path: Path) -> None:
    async def breaks_after_an_event(watching: Watching) -> None:
        await watching.event("ADDED", watching.pods.pod("b", 103))
        await watching.event("BOOKMARK", {"metadata": {"resourceVersion": "105"}})
        await asyncio.sleep(0.05)
        reset(watching.request)

    async with running(tmp_path, pods("a", faults=[breaks_after_an_event])) as run:
        await run.until("a", "b")
        await eventually(lambda: len(run.watched_from()) == 2)
        assert (run.watched_from(), run.lists()) == (["100", "105"], 1)


async def test_an_event_of_three_mebibytes_is_read(tmp_path: Path) -> None:
    async def sends_it(watching: Watching) -> None:
        pod = watching.pods.pod("big", 101)
        pod["metadata"]["annotations"] = {"note": "x" * 3 * 2**20}
        await watching.event("ADDED", pod)
        await asyncio.sleep(5)

    async with running(tmp_path, pods(faults=[sends_it])) as run:
        await run.until("big")


async def is_silent(watching: Watching) -> None:
    await asyncio.sleep(5)


async def test_silence_ends_in_a_new_list_and_meanwhile_nothing_counts_as_fresh(tmp_path: Path) -> None:
    server = pods("a", "b", faults=[missing(is_silent)])
    async with running(tmp_path, server, stall_timeout=0.4) as run:
        await run.until("a", "b")
        seen = []
        while run.sink.names() != {"b", "c"}:
            seen.append((round(run.reflector.age(), 1), run.reflector.fresh))
            await asyncio.sleep(0.02)
        await run.until("b", "c")
        assert run.lists() == 2
    ages = [age for age, _ in seen]
    assert ages == sorted(ages)
    assert all(fresh == (age < 0.4) for age, fresh in seen if age != 0.4)


async def lasts_as_asked(watching: Watching) -> None:
    await asyncio.sleep(int(watching.request.query["timeoutSeconds"]))


async def test_a_watch_without_events_and_bookmarks_is_no_dead_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = pods("a", faults=[lasts_as_asked] * 3)
    async with running(tmp_path, server, stall_timeout=2.0) as run:
        await run.until("a")
        while len(run.watched_from()) < 4:
            assert run.reflector.fresh
            await asyncio.sleep(0.02)
        assert (run.watched_from(), run.lists(), run.reflector.last_error) == (["100"] * 4, 1, "")
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def breaks(watching: Watching) -> None:
    await asyncio.sleep(0.05)
    reset(watching.request)


async def ends_too_early(watching: Watching) -> None:
    await asyncio.sleep(0.05)


@pytest.mark.parametrize("fault", [breaks, ends_too_early])
async def test_a_watch_that_is_accepted_and_then_says_nothing_does_not_stay_fresh(
    tmp_path: Path, fault: Fault
) -> None:
    async def refuses(request: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    server = pods("a", faults=[fault] * 1000)
    async with running(tmp_path, server, stall_timeout=0.6) as run:
        await run.until("a")
        server.lists = [refuses] * 1000
        await asyncio.sleep(1.0)
        assert len(run.watched_from()) > 2
        assert not run.reflector.fresh


async def test_nothing_is_fresh_before_the_first_list(tmp_path: Path) -> None:
    async with running(tmp_path, pods("a", lists=[failing(503)] * 2)) as run:
        await asyncio.sleep(0.1)
        assert (run.reflector.synced, run.reflector.fresh) == (False, False)
        assert "answered 503" in run.reflector.last_error
        await run.until("a")
        assert (run.reflector.synced, run.reflector.fresh) == (True, True)


async def test_an_error_of_our_own_does_not_end_the_stream(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, pods("a")) as run:
        await run.until("a")
        run.sink.broken = 1
        with caplog.at_level(logging.CRITICAL, logger="resilience_operator.api.watch"):
            await run.pods.put("b")
            await run.until("a", "b")
        assert run.sink.told == ["replace 1", "replace 2"]


async def test_a_server_that_was_restored_from_a_backup_is_believed(tmp_path: Path) -> None:
    restored = asyncio.Event()

    async def is_gone_then(watching: Watching) -> None:
        await restored.wait()
        await is_gone(watching)

    server = pods("a", "b", faults=[is_gone_then])
    async with running(tmp_path, server) as run:
        await run.until("a", "b")
        server.names, server.version = {"a": 40}, 50
        restored.set()
        await run.until("a")
        assert run.sink.told == ["replace 2", "rewound", "replace 1", "delete b"]


async def test_a_version_that_the_server_never_reaches_is_given_up_after_some_tries(tmp_path: Path) -> None:
    server = pods("a", faults=[has_504] * 4)
    async with running(tmp_path, server) as run:
        await run.until("a")
        await server.put("b")
        await run.until("a", "b")
        assert run.lists() == 2


async def test_requests_get_rarer_in_an_outage_and_its_end_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = pods("a", lists=[failing(503)] * 6)
    async with running(tmp_path, server) as run:
        await run.until("a", within=30)
        gaps = [later.at - former.at for former, later in zip(server.asked, server.asked[1:6], strict=False)]
    assert [0.5 * 0.2 * 2**n <= gap <= 0.2 * 2**n + 0.5 for n, gap in enumerate(gaps)] == [True] * 5


async def test_retry_after_of_a_list_is_obeyed(tmp_path: Path) -> None:
    server = pods("a", lists=[failing(429, headers={"Retry-After": "1"})])
    async with running(tmp_path, server) as run:
        await run.until("a")
        first, second = [asked.at for asked in server.asked if "watch" not in asked.query]
        assert second - first >= 1.0
