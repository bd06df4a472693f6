"""`node-logs` against a stand-in of the kubelet's endpoint behind the API server: whole, or cleanly failed."""

import asyncio
import hashlib
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from resilience_operator.cli import node_logs
from resilience_operator.cli.main import main
from tests.support.api_server import Server, failing, kubeconfig, reset

MB = 1_000_000
BLOCK = b"\x1f\x8b" + bytes(range(256)) * 256
PATH = "/api/v1/nodes/node-1/proxy/logs/support/bottlerocket-logs.tar.gz"
RUN = """
import resource, sys
from resilience_operator.cli.main import main
code = main(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""


def content(start: int, size: int) -> bytes:
    """Any part of the archive, whose bytes depend on where they stand."""
    first, skip = divmod(start, len(BLOCK))
    blocks = (skip + size) // len(BLOCK) + 1
    return (b"".join(BLOCK for _ in range(first, first + blocks)))[skip : skip + size]


class Kubelet(Server):
    """Serves an archive of `size` bytes as http.FileServer does: ranges, If-Range, Last-Modified."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.stops = -1
        """The byte before which nothing comes for a long time."""
        self.cuts: list[int] = []
        """Bytes after which the next connections break, one each."""
        self.version = "Sat, 28 Nov 2026 10:00:00 GMT"
        self.versions: list[str] = []
        """What the next requests find, one each: somebody ran logdog again."""

    async def reply(self, request: web.Request) -> web.StreamResponse:
        self.version = self.versions.pop(0) if self.versions else self.version
        start = 0
        if request.headers.get("If-Range") == self.version:
            start = int(request.headers["Range"].removeprefix("bytes=").rstrip("-"))
        response = web.StreamResponse(status=206 if start else 200)
        response.headers["Last-Modified"] = self.version
        response.content_length = self.size - start
        await response.prepare(request)
        end = start + self.cuts.pop(0) if self.cuts else self.size
        for at in range(start, min(end, self.size), MB):
            if at == self.stops:
                await asyncio.sleep(30)
            await response.write(content(at, min(MB, min(end, self.size) - at)))
        if end < self.size:
            reset(request)
        return response


@dataclass
class Outcome:
    code: int
    out: str
    err: str
    left: list[str] = field(default_factory=list)
    peak: int = 0


async def fetch(server: Server, directory: Path, *more: str) -> Outcome:
    """Run the command in a process of its own; `peak`: its memory in KiB."""
    file = kubeconfig(directory / "kubeconfig", server.url)
    work = directory / "work"
    work.mkdir(exist_ok=True)
    arguments = ("node-logs", "node-1", "--kubeconfig", str(file), *more)
    made = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        RUN,
        *arguments,
        cwd=work,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await made.communicate()
    lines = out.decode().splitlines()
    peaks = [int(line.split()[1]) for line in lines if line.startswith("peak ")]
    shown = "\n".join(line for line in lines if not line.startswith("peak "))
    left = sorted(one.name for one in work.iterdir())
    return Outcome(made.returncode or 0, shown, err.decode().strip(), left, max(peaks, default=0))


def digest_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest(size: int) -> str:
    found = hashlib.sha256()
    for at in range(0, size, MB):
        found.update(content(at, min(MB, size - at)))
    return found.hexdigest()


async def test_an_archive_of_300_megabytes_takes_no_more_memory_than_a_small_one(tmp_path: Path) -> None:
    async with Kubelet(MB) as small:
        little = await fetch(small, tmp_path, "-o", "small.tar.gz")
    async with Kubelet(300 * MB) as server:
        big = await fetch(server, tmp_path)
    assert (little.code, big.code) == (0, 0)
    assert big.out == "node-1-bottlerocket-logs.tar.gz: 300,000,000 bytes"
    assert digest_of(tmp_path / "work" / "node-1-bottlerocket-logs.tar.gz") == digest(300 * MB)
    assert (server.asked[0].path, len(server.asked)) == (PATH, 1)
    assert big.peak - little.peak < 16 * 1024, "KiB"


async def test_what_breaks_off_is_resumed_where_it_broke(tmp_path: Path) -> None:
    async with Kubelet(20 * MB) as server:
        server.cuts = [7 * MB, 5 * MB]
        done = await fetch(server, tmp_path, "-o", "logs.tar.gz")
    assert (done.code, done.left) == (0, ["logs.tar.gz"])
    assert digest_of(tmp_path / "work" / "logs.tar.gz") == digest(20 * MB)
    assert [one.headers.get("If-Range") for one in server.asked] == [None, server.version, server.version]
    assert int(server.asked[1].headers["Range"][6:-1]) > 0


async def test_another_archive_under_the_same_name_is_fetched_from_its_beginning(tmp_path: Path) -> None:
    async with Kubelet(9 * MB) as server:
        server.cuts = [7 * MB]
        server.versions = [server.version, "Sat, 28 Nov 2026 11:00:00 GMT"]
        done = await fetch(server, tmp_path, "-o", "logs.tar.gz")
    assert done.code == 0
    assert digest_of(tmp_path / "work" / "logs.tar.gz") == digest(9 * MB)


async def test_what_breaks_off_again_and_again_leaves_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    async with Kubelet(9 * MB) as server:
        server.cuts = [0] * 99
        done = await fetch(server, tmp_path)
    assert (done.code, done.left, len(server.asked)) == (2, [], node_logs.TRIES)
    assert done.err.startswith("broke off 5 times after 0 bytes; nothing is kept: ")


async def test_who_interrupts_it_finds_nothing_left(tmp_path: Path) -> None:
    async with Kubelet(50 * MB) as server:
        server.stops = 20 * MB
        file = kubeconfig(tmp_path / "kubeconfig", server.url)
        work = tmp_path / "work"
        work.mkdir()
        command = (sys.executable, "-c", RUN, "node-logs", "node-1", "--kubeconfig", str(file))
        made = await asyncio.create_subprocess_exec(*command, cwd=work, stdout=asyncio.subprocess.DEVNULL)
        part = work / "node-1-bottlerocket-logs.tar.gz.part"
        async with asyncio.timeout(20):
            while not part.exists() or part.stat().st_size < 10 * MB:  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.05)
        made.send_signal(signal.SIGINT)
        code = await made.wait()
    assert (code, list(work.iterdir())) == (130, [])


async def text(words: str, code: int) -> web.StreamResponse:
    return web.Response(text=words, status=code)


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (
            lambda request: text("404 page not found\n", 404),
            ("node node-1 holds no support archive: run logdog in its admin container (sheltie logdog) and try again. "
            "If that container is off, it is too late for this node: enabling it replaces the node; set "
            "host-containers.admin.enabled = true in the launch settings before the next incident"),
        ),
        (
            lambda request: text("Forbidden (user=me, verb=get, resource=nodes, subresource(s)=[log])", 403),
            ("reading logs of node node-1 is not allowed: it takes get on nodes/proxy (and on nodes/log, where the "
            "kubelet asks for that): Forbidden (user=me, verb=get, resource=nodes, subresource(s)=[log])"),
        ),
        (failing(403, "Forbidden"), ("reading logs of node node-1 is not allowed: it takes get on nodes/proxy (and on "
         "nodes/log, where the kubelet asks for that): told to say 403")),
        (failing(503, "ServiceUnavailable"), "the API server does not reach the kubelet of node-1: told to say 503"),
        (
            lambda request: text("<pre>\n<a href='messages'>messages</a>", 200),
            ("what came is no archive; it begins with \"<pre>?<a href='messages'>messages</a>\". Is the node one of "
            "Bottlerocket?"),
        ),
        (lambda request: text("", 200), "the archive is empty; run logdog again in the admin container"),
    ],
)  # fmt: skip
async def test_each_refusal_is_a_sentence_and_leaves_nothing(
    tmp_path: Path, reply: Any, sentence: str
) -> None:
    async with Server() as server:
        server.replies = [reply]
        done = await fetch(server, tmp_path)
    assert (done.code, done.out, done.err, done.left) == (2, "", sentence, [])
    assert len(sentence) <= 300


async def test_a_node_that_is_not_there_is_named(tmp_path: Path) -> None:
    async def missing(request: web.Request) -> web.StreamResponse:
        body = {"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"}
        return web.json_response(body | {"message": 'nodes "node-1" not found'}, status=404)

    async with Server() as server:
        server.replies = [missing]
        done = await fetch(server, tmp_path)
    assert (done.code, done.err) == (2, "there is no node node-1; kubectl get nodes lists them")


def test_a_file_that_is_there_is_never_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "logs.tar.gz"
    file.write_text("mine")
    assert main(["node-logs", "node-1", "-o", str(file)]) == 2
    assert capsys.readouterr().err == f"{file} exists already; give another name with -o\n"
    assert file.read_text() == "mine"
