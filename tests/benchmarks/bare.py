"""The bare client that every ratio is against: aiohttp, the same structs, the same patches, and nothing else.

No store, no index, no decision, no retry: what a person would write for this one measurement. Run as a program it
lists Deployments once and prints its figures as JSON: `python -m tests.benchmarks.bare KUBECONFIG`.
"""

import asyncio
import base64
import json
import ssl
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import yaml

from resilience_operator.cluster.wire import WireDeployment
from tests.benchmarks.memory import rss

CONCURRENCY = 32
CHUNK = 500

Body = dict[str, Any]


class _Meta(msgspec.Struct):
    continue_: str = msgspec.field(default="", name="continue")


class _List(msgspec.Struct):
    metadata: _Meta
    items: list[WireDeployment]


def session(kubeconfig: Path) -> aiohttp.ClientSession:
    """A client of a kubeconfig's first user, who has a client certificate."""
    config = yaml.safe_load(kubeconfig.read_text())
    user, cluster = config["users"][0]["user"], config["clusters"][0]["cluster"]
    context = ssl.create_default_context(cafile=_file(cluster, "certificate-authority"))
    context.load_cert_chain(_file(user, "client-certificate"), _file(user, "client-key"))
    connector = aiohttp.TCPConnector(ssl=context, limit=CONCURRENCY)
    return aiohttp.ClientSession(base_url=cluster["server"], connector=connector)


def _file(entry: Body, key: str) -> str:
    if key in entry:
        return str(entry[key])
    with tempfile.NamedTemporaryFile(delete=False, suffix=".pem") as file:
        file.write(base64.b64decode(entry[f"{key}-data"]))
    return file.name


async def each(number: int, one: Callable[[int], Awaitable[None]]) -> None:
    """Do something for 0 to number - 1, CONCURRENCY at a time."""
    numbers = iter(range(number))

    async def worker() -> None:
        for mine in numbers:
            await one(mine)

    await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))


async def send(client: aiohttp.ClientSession, method: str, path: str, body: Any, kind: str = "json") -> None:
    """One request whose answer is read and thrown away; an error raises with the API server's words."""
    headers = {"Content-Type": f"application/{kind}"}
    async with client.request(method, path, data=json.dumps(body), headers=headers) as answer:
        text = await answer.text()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text}")


async def list_deployments(kubeconfig: Path) -> list[WireDeployment]:
    """All Deployments, in chunks, as the operator's own structs of the wire."""
    decode = msgspec.json.Decoder(_List).decode
    found: list[WireDeployment] = []
    params = {"limit": str(CHUNK)}
    async with session(kubeconfig) as client:
        while True:
            async with client.get("/apis/apps/v1/deployments", params=params) as answer:
                page = decode(await answer.read())
            found += page.items
            if not page.metadata.continue_:
                return found
            params["continue"] = page.metadata.continue_


def main(kubeconfig: Path) -> Body:
    """List once; seconds, and what the process holds after it."""
    before, started = rss(), time.monotonic()
    found = asyncio.run(list_deployments(kubeconfig))
    return {"seconds": time.monotonic() - started, "objects": len(found), "bytes": rss() - before}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
