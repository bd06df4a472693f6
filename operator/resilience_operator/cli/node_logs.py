"""`kubectl resilience node-logs NODE`: a Bottlerocket node's support archive through the API. Called by cli/main.

logdog writes the archive to /var/log/support on the node, and the kubelet serves that directory. To run logdog takes
the admin container, which has to be enabled before the incident: to enable it in the launch settings later replaces
the node. What breaks off is resumed where it broke; a file under its name is always whole.
"""

import argparse
import asyncio
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Final
from urllib.parse import quote

from resilience_operator.api.session import Download, Session
from resilience_operator.cli.cluster import connect
from resilience_operator.cli.progress import Bar
from resilience_operator.core.errors import ApiError, OperatorError, Unreachable

ARCHIVE: Final = "bottlerocket-logs.tar.gz"
STALL = 60.0
"""Seconds without a byte after which the connection counts as broken."""
TRIES = 5
"""Connections that may break before the command gives up, unless each brings something."""
PAUSE = 1.0
"""Seconds between them."""
MAX_SIZE = 8 << 30
"""Bytes: whatever is bigger is no support archive, but fills a disk."""
_GZIP = b"\x1f\x8b"
_ENABLE = "set host-containers.admin.enabled = true in the launch settings before the next incident"


class NodeLogsError(OperatorError):
    """The archive could not be had; the message says what to do."""


@dataclass(slots=True)
class _Archive:
    """What has come of the archive so far."""

    file: BinaryIO
    done: int = 0
    version: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    parser.add_argument("node", metavar="NODE")
    parser.add_argument("-o", "--output", metavar="FILE", help=f"default: NODE-{ARCHIVE}; must not exist yet")
    parser.add_argument("--kubeconfig", default="", metavar="FILE")
    parser.add_argument("--context", default="", metavar="NAME")


def run(options: argparse.Namespace) -> int:
    """Fetch the archive. Raises OperatorError; then nothing is left behind."""
    target = options.output or f"{os.path.basename(options.node)}-{ARCHIVE}"
    if os.path.exists(target):
        raise NodeLogsError(f"{target} exists already; give another name with -o")
    part = f"{target}.part"
    try:
        # Logs may hold what only their owner should read.
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file, Bar("bytes") as bar:
            asyncio.run(_fetch(options, _Archive(file), bar.show))
        os.replace(part, target)
    except OSError as error:
        raise NodeLogsError(f"cannot write {error.filename or target}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(part)
    print(f"{target}: {os.path.getsize(target):,} bytes")
    return 0


async def _fetch(options: argparse.Namespace, archive: _Archive, show: Callable[[int, int], None]) -> None:
    path = f"/api/v1/nodes/{quote(options.node, safe='')}/proxy/logs/support/{ARCHIVE}"
    left = TRIES
    async with await connect(options.kubeconfig, options.context) as session:
        while True:
            before = archive.done
            try:
                return await _some(session, path, archive, show)
            except ApiError as error:
                raise NodeLogsError(_sentence(options.node, error)) from error
            except Unreachable as error:
                left = TRIES if archive.done > before else left - 1
                if left <= 0:
                    raise NodeLogsError(
                        f"broke off {TRIES} times after {archive.done:,} bytes; nothing is kept: {error}"
                    ) from error
            await asyncio.sleep(PAUSE)


async def _some(session: Session, path: str, archive: _Archive, show: Callable[[int, int], None]) -> None:
    """As much as one connection brings; returns where that was all. Raises ApiError, Unreachable."""
    async with session.download(path, STALL, archive.done, archive.version) as download:
        archive.version = download.version
        if download.start != archive.done:
            archive.done = download.start
            archive.file.seek(download.start)
            archive.file.truncate()
        async for chunk in download.chunks:
            _write(archive, chunk)
            show(archive.done, download.size or archive.done)
    _check_end(archive, download)


def _write(archive: _Archive, chunk: bytes) -> None:
    wanted = _GZIP[archive.done :]
    if not wanted.startswith(chunk[: len(wanted)]):
        begin = "".join(char if char.isprintable() else "?" for char in chunk[:40].decode("latin-1"))
        raise NodeLogsError(
            f"what came is no archive; it begins with {begin!r}. Is the node one of Bottlerocket?"
        )
    if archive.done + len(chunk) > MAX_SIZE:
        raise NodeLogsError(f"more than {MAX_SIZE:,} bytes came: that is no support archive; nothing is kept")
    try:
        archive.file.write(chunk)
    except OSError as error:
        raise NodeLogsError(f"cannot write the archive: {error.strerror}; nothing is kept") from error
    archive.done += len(chunk)


def _check_end(archive: _Archive, download: Download) -> None:
    if download.size is not None and archive.done != download.size:
        raise Unreachable(f"{archive.done:,} of {download.size:,} bytes came")
    if archive.done < len(_GZIP):
        raise NodeLogsError("the archive is empty; run logdog again in the admin container")


def _sentence(node: str, error: ApiError) -> str:
    """What an answer means, and what to do."""
    if error.status == 404 and error.reason == "NotFound" and "nodes" in error.message:
        return f"there is no node {node}; kubectl get nodes lists them"
    if error.status == 404:
        return (
            f"node {node} holds no support archive: run logdog in its admin container (sheltie logdog) and try again. "
            f"If that container is off, it is too late for this node: enabling it replaces the node; {_ENABLE}"
        )
    if error.status == 405:
        return f"the kubelet of {node} serves no logs (enableSystemLogHandler: false); {_ENABLE}, and take them by SSM"
    if error.status == 403:
        return (
            f"reading logs of node {node} is not allowed: it takes get on nodes/proxy (and on nodes/log, where the "
            f"kubelet asks for that): {_short(error.message)}"
        )
    if error.status in (502, 503, 504):
        return f"the API server does not reach the kubelet of {node}: {_short(error.message)}"
    return _short(str(error))


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 120 else f"{words[:117]}..."
