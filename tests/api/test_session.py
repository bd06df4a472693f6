"""The session: what it sends, how it paces and retries, and which error each failure becomes."""

import asyncio
import gzip
import json
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from resilience_operator.api import credentials
from resilience_operator.api.http import Call
from resilience_operator.api.pacing import Backoff, TokenBucket, retry_after
from resilience_operator.api.session import Session
from resilience_operator.core.errors import (
    ApiError,
    Cause,
    ConfigurationError,
    NotLeader,
    OperatorError,
    Silent,
    Unreachable,
)
from resilience_operator.core.kinds import CONFIG_MAP, DEPLOYMENT, LEASE, NODE, POD
from tests.lab.pki import Authority
from tests.support.api_server import Reply, Server, failing, kubeconfig, reset

APPLY = "application/apply-patch+yaml"


async def test_a_request_carries_body_query_and_who_is_asking_and_gives_the_answer(tmp_path: Path) -> None:
    async with Server() as server, await server.session(tmp_path) as session:
        answer = await session.request(
            "PATCH",
            DEPLOYMENT.path("shop", "web"),
            params={"fieldManager": "resilience-operator", "force": "true"},
            body=b"{}",
            content_type=APPLY,
        )
        (asked,) = server.asked
    assert json.loads(answer) == {"path": "/apis/apps/v1/namespaces/shop/deployments/web"}
    assert (asked.method, asked.query, asked.body) == (
        "PATCH",
        {"fieldManager": "resilience-operator", "force": "true"},
        b"{}",
    )
    assert (asked.headers["Content-Type"], asked.headers["User-Agent"]) == (APPLY, "test/1")
    assert "gzip" in asked.headers["Accept-Encoding"]


async def test_a_compressed_answer_is_read(tmp_path: Path) -> None:
    async def compressed(request: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(b"x" * 10**6), headers={"Content-Encoding": "gzip"})

    async with Server() as server, await server.session(tmp_path) as session:
        server.replies = [compressed]
        assert await session.request("GET", "/api/v1/pods") == b"x" * 10**6


async def test_an_error_of_the_api_server_says_all_that_it_said(tmp_path: Path) -> None:
    cause = {"reason": "FieldManagerConflict", "field": ".spec.replicas", "message": 'conflict with "helm"'}
    async with Server() as server, await server.session(tmp_path) as session:
        server.replies = [failing(409, "Conflict", {"Retry-After": "2"}, causes=[cause], name="web")]
        with pytest.raises(ApiError) as caught:
            await session.request("GET", DEPLOYMENT.path("shop", "web"))
    error = caught.value
    assert (error.status, error.reason, error.message, error.causes, error.retry_after) == (
        409,
        "Conflict",
        "told to say 409",
        (Cause("FieldManagerConflict", ".spec.replicas", 'conflict with "helm"'),),
        2.0,
    )
    assert str(error) == "the API server answered 409 Conflict: told to say 409"


async def test_a_page_of_something_in_between_is_an_error_too(tmp_path: Path) -> None:
    async def page(request: web.Request) -> web.Response:
        return web.Response(status=502, text="<html>bad \ngateway</html>")

    async def elsewhere(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/login"})

    async with Server() as server, await server.session(tmp_path) as session:
        server.replies = [page, elsewhere]
        with pytest.raises(ApiError, match="answered 502: <html>bad"):
            await session.request("GET", "/api/v1/pods")
        with pytest.raises(ApiError, match="answered 302"):
            await session.request("GET", "/api/v1/pods")


async def drops(request: web.Request) -> web.StreamResponse:
    reset(request)
    return web.Response()


async def sleeps(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(5)
    return web.Response()


async def stops_within(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"{")
    reset(request)
    return response


@pytest.mark.parametrize("fault", [drops, sleeps, stops_within])
async def test_no_complete_answer_is_unreachable(tmp_path: Path, fault: Reply) -> None:
    async with Server() as server, await server.session(tmp_path) as session:
        server.replies = [fault] * 2
        with pytest.raises(Unreachable, match=r"GET /api/v1/pods: no complete answer from http://127"):
            await session.request("GET", "/api/v1/pods", timeout=0.2)


async def test_nobody_there_is_unreachable(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:9")
    async with await Session.connect(str(file), None, qps=1, burst=1, user_agent="test/1") as session:
        with pytest.raises(Unreachable, match="Connect call failed"):
            await session.request("GET", "/version")


async def test_a_refused_write_sends_nothing_although_the_connection_stood(tmp_path: Path) -> None:
    connections: asyncio.Queue[bytes] = asyncio.Queue()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.put_nowait(await reader.read())
        writer.close()

    def refuse() -> None:
        raise NotLeader("this replica does not hold the Lease")

    raw = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with raw:
        file = kubeconfig(tmp_path / "kubeconfig", f"http://127.0.0.1:{raw.sockets[0].getsockname()[1]}")
        async with await Session.connect(str(file), None, qps=9, burst=9, user_agent="test/1") as session:
            for body in (b'{"spec":{}}', None):
                with pytest.raises(NotLeader, match="does not hold the Lease"):
                    await session.request("PATCH", "/api/v1/x", body=body, before_send=refuse)
        assert [await connections.get(), await connections.get()] == [b"", b""]


async def test_the_fence_is_asked_after_the_wait_for_a_connection(tmp_path: Path) -> None:
    leading = True
    entered, free = asyncio.Event(), asyncio.Event()

    async def holds(request: web.Request) -> web.StreamResponse:
        entered.set()
        await free.wait()
        return web.Response()

    def fence() -> None:
        if not leading:
            raise NotLeader("lost")

    async with Server() as server, await server.session(tmp_path) as session:
        session._http._connector._limit = 1  # type: ignore[union-attr]
        server.replies = [holds]
        reading = asyncio.create_task(session.request("GET", "/api/v1/pods"))
        await entered.wait()
        writing = asyncio.create_task(session.request("PATCH", "/api/v1/x", body=b"{}", before_send=fence))
        await asyncio.sleep(0.05)
        leading = False
        free.set()
        await reading
        with pytest.raises(NotLeader):
            await writing
        assert [asked.method for asked in server.asked] == ["GET"]
        leading = True
        await session.request("PATCH", "/api/v1/x", body=b"{}", before_send=fence)
        assert [asked.method for asked in server.asked] == ["GET", "PATCH"]


async def test_writes_are_paced_reads_and_leases_are_not(tmp_path: Path) -> None:
    async with Server() as server, await server.session(tmp_path, qps=20, burst=3) as session:
        loop = asyncio.get_running_loop()
        began = loop.time()
        writes = [session.request("PATCH", DEPLOYMENT.path("shop", f"d{n}"), body=b"{}") for n in range(7)]
        others = [session.request("PUT", LEASE.path("x", "y"), body=b"{}") for _ in range(10)]
        others += [session.request("GET", POD.path()) for _ in range(10)]
        paced = asyncio.gather(*writes)
        await asyncio.gather(*others)
        unpaced_took = loop.time() - began
        await paced
        patched = [asked.at - began for asked in server.asked if asked.method == "PATCH"]
    assert unpaced_took < 0.15
    assert [at < 0.05 + 0.05 for at in patched[:3]] == [True] * 3
    assert patched[-1] >= 4 / 20


async def test_a_write_that_is_told_to_wait_makes_all_writes_wait(tmp_path: Path) -> None:
    async with Server() as server, await server.session(tmp_path) as session:
        server.replies = [failing(429, "TooManyRequests", {"Retry-After": "0.3"})]
        with pytest.raises(ApiError, match="429"):
            await session.request("PATCH", "/api/v1/x", body=b"{}")
        await asyncio.gather(*(session.request("PATCH", "/api/v1/x", body=b"{}") for _ in range(3)))
        await session.request("GET", "/api/v1/x")
    first, *later = [asked.at for asked in server.asked if asked.method == "PATCH"]
    assert [at - first >= 0.28 for at in later] == [True] * 3


NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("1", 1.0),
        ("0.5", 0.5),
        ("30", 30.0),
        ("1e9", 60.0),
        ("inf", 60.0),
        ("-5", 0.0),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Sun, 01 Mar 2026 12:00:20 GMT", 20.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2099 12:00:00 GMT", 60.0),
        ("Sun, 99 Mar 2026 12:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_whatever_stands_in_it(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds


def test_back_off_doubles_is_jittered_has_a_ceiling_and_begins_again() -> None:
    backoff = Backoff(first=0.2, most=30.0)
    waits = [backoff.next() for _ in range(40)]
    ceilings = [min(0.2 * 2**number, 30.0) for number in range(40)]
    assert all(ceiling / 2 <= wait <= ceiling for wait, ceiling in zip(waits, ceilings, strict=True))
    assert len(set(waits[20:])) > 10
    assert backoff.next(at_least=45.0) == 45.0
    backoff.reset()
    assert backoff.next() <= 0.2


@pytest.mark.parametrize(("qps", "burst"), [(0, 1), (-1, 1), (float("nan"), 1), (1, 0)])
def test_a_bucket_that_would_never_let_anything_through_is_refused(qps: float, burst: int) -> None:
    with pytest.raises(ValueError, match="qps must be above 0 and burst at least 1"):
        TokenBucket(qps, burst, lambda: 0.0)


async def test_a_refused_token_is_read_again_and_the_request_repeated_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "RELOAD_PERIOD", 0.0)
    token = tmp_path / "token"
    token.write_text("old")
    async with Server() as server:
        file = kubeconfig(tmp_path / "kubeconfig", server.url, tokenFile=str(token))
        async with await Session.connect(str(file), None, qps=9, burst=9, user_agent="test/1") as session:
            token.write_text("new\n")
            server.replies = [failing(401, "Unauthorized")]
            await session.request("PATCH", "/api/v1/x", body=b"{}")
            server.replies = [failing(401, "Unauthorized")] * 2
            with pytest.raises(ApiError, match="renew the token or the kubeconfig"):
                await session.request("GET", "/api/v1/x")
    assert [asked.headers["Authorization"] for asked in server.asked] == [
        "Bearer old",
        "Bearer new",
        "Bearer new",
        "Bearer new",
    ]


async def test_in_the_cluster_a_new_token_is_used_within_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    (tmp_path / "token").write_text("first")
    Authority(tmp_path)
    monkeypatch.setattr(credentials, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    found = credentials.Credentials(None, None, lambda: now)
    seen = []
    for at, text in ((0.0, "first"), (30.0, "second"), (61.0, "second"), (62.0, "third")):
        now = at
        (tmp_path / "token").write_text(text)
        seen.append((await found.access()).headers["Authorization"])
    (tmp_path / "token").unlink()
    now = 200.0
    seen.append((await found.access()).headers["Authorization"])
    assert seen == ["Bearer first", "Bearer first", "Bearer second", "Bearer second", "Bearer second"]
    assert (await found.access()).server == "https://10.0.0.1:443"


async def test_kubeconfig_of_the_environment_is_honoured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Server() as server:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "kubeconfig", server.url)))
        async with await Session.connect(None, None, qps=9, burst=9, user_agent="test/1") as session:
            await session.request("GET", "/version")
    assert [asked.path for asked in server.asked] == ["/version"]


async def test_a_kubeconfig_that_cannot_be_used_says_what_to_do(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:9")
    for path, context in ((file, "nope"), (tmp_path / "missing", None)):
        with pytest.raises(
            ConfigurationError, match=r"cannot be used: .* Give another one with --kubeconfig"
        ):
            await Session.connect(str(path), context, qps=9, burst=9, user_agent="test/1")


async def test_requests_are_counted_by_verb_resource_and_code_and_never_by_name(tmp_path: Path) -> None:
    counted: list[tuple[str, str, str]] = []
    async with Server() as server, await server.session(tmp_path) as session:
        session.on_request = lambda *labels: counted.append(labels)
        await session.request("GET", NODE.path("", "node-1"))
        server.replies = [failing(404, "NotFound"), drops, drops]
        for method, path in (
            ("DELETE", CONFIG_MAP.path("shop", "settings")),
            ("PUT", NODE.path("", "n", "status")),
        ):
            with pytest.raises((ApiError, Unreachable)):
                await session.request(method, path, body=b"{}")
    assert counted == [
        ("get", "nodes", "200"),
        ("delete", "configmaps", "404"),
        ("update", "nodes/status", "error"),
    ]


@pytest.mark.parametrize(
    ("method", "path", "params", "labels"),
    [
        ("GET", "/api/v1/namespaces", {}, ("list", "namespaces")),
        ("GET", "/api/v1/namespaces/shop", {}, ("get", "namespaces")),
        ("GET", "/api/v1/namespaces/shop/pods", {}, ("list", "pods")),
        ("GET", "/api/v1/pods", {"watch": "true"}, ("watch", "pods")),
        ("GET", "/apis/apps/v1/namespaces/shop/deployments/web/scale", {}, ("get", "deployments/scale")),
        ("POST", "/apis/events.k8s.io/v1/namespaces/shop/events", {}, ("create", "events")),
        (
            "PATCH",
            "/apis/resilience.dev/v1alpha1/resiliencepolicies/p/status",
            {},
            ("patch", "resiliencepolicies/status"),
        ),
        ("GET", "/version", {}, ("get", "version")),
    ],
)
def test_verb_and_resource_are_those_of_access_rights(
    method: str, path: str, params: dict[str, str], labels: tuple[str, str]
) -> None:
    call = Call(method, path, params)
    assert (call.verb, call.resource) == labels


def chunks(*parts: bytes, end: str = "well") -> Reply:
    """A stream that comes in these pieces and ends well, with RST, or not at all."""

    async def reply(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for part in parts:
            await response.write(part)
            await asyncio.sleep(0.01)
        if end == "RST":
            reset(request)
        elif end == "never":
            await asyncio.sleep(5)
        return response

    return reply


async def heard(
    tmp_path: Path, reply: Reply, stall_timeout: float = 5.0
) -> tuple[list[bytes], Exception | None]:
    """The lines of a stream, and the error that it ended with."""
    lines: list[bytes] = []
    async with Server() as server, await server.session(tmp_path) as session:
        server.replies = [reply]
        try:
            async with aclosing(session.stream("/api/v1/pods", {}, stall_timeout)) as stream:
                async for some in stream:
                    lines += some
        except OperatorError as error:
            return lines, error
    return lines, None


async def test_lines_are_whole_however_they_are_cut_and_however_long(tmp_path: Path) -> None:
    long = b"y" * 3_000_000
    lines, error = await heard(tmp_path, chunks(b"a\nb", b"b\n", b"c\n\nd\n", long[:-1], b"y\n"))
    assert (lines == [b"a", b"bb", b"c", b"", b"d", long], error) == (True, None)


@pytest.mark.parametrize(
    ("reply", "kind", "what"),
    [
        (chunks(b"a\n{tr"), Unreachable, "ended within a line"),
        (chunks(b"a\n{tr", end="RST"), Unreachable, "no complete answer"),
        (chunks(b"a\n", end="RST"), Unreachable, "no complete answer"),
        (chunks(b"a\n", end="never"), Silent, "no complete answer"),
        (failing(410, "Expired"), ApiError, "answered 410 Expired"),
    ],
)
async def test_a_stream_that_ends_badly_says_so_and_never_gives_half_a_line(
    tmp_path: Path, reply: Reply, kind: type[Exception], what: str
) -> None:
    lines, error = await heard(tmp_path, reply, stall_timeout=0.3)
    assert type(error) is kind
    assert what in str(error)
    assert lines == ([] if kind is ApiError else [b"a"])
