"""Watch events into the cache, and how long from a drift to its decision.

Bars: at least 20,000 events a second into the cache (replayed over loopback, as fast as the reader takes them), and
on a real API server with 300 drifts a second 99 of 100 decided within 50 ms of the event's arrival. What lies before
that, from the API server's answer to the arrival, is not the operator's, and printed beside it.
"""

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.benchmarks.bare import session
from tests.benchmarks.fleet import Size, big_lab, fill, namespace_of
from tests.benchmarks.replay import NAME, VERSION
from tests.benchmarks.report import Row, show
from tests.e2e.conftest import install_crd
from tests.e2e.process import free_port
from tests.lab import Lab

OBJECTS, EVENTS = 10_000, 200_000
ROUNDS = 3
FLEET, RATE, SECONDS = 3_000, 300, 10


def main() -> int:
    """Measure both, and print each figure beside its bar."""
    with big_lab() as lab, tempfile.TemporaryDirectory() as scratch:
        install_crd(lab)
        fill(lab, Size(FLEET))
        rows = _throughput(lab, Path(scratch)) + _latency(lab, Path(scratch))
    return show("events", rows)


def _throughput(lab: Lab, scratch: Path) -> list[Row]:
    body = lab.kubectl("get", "--raw", f"/apis/apps/v1/namespaces/{namespace_of(0)}/deployments/d0")
    found: dict[str, Any] = json.loads(body)
    found["metadata"] |= {"name": NAME.decode(), "resourceVersion": VERSION.decode()}
    template = scratch / "deployment.json"
    template.write_text(json.dumps(found, separators=(",", ":")))
    with _replay(template) as url:
        pairs = [(_take("ours", url), _take("bare", url)) for _ in range(ROUNDS)]
    ours = statistics.median(one for one, _ in pairs)
    bare = statistics.median(one for _, one in pairs)
    size = f"{template.stat().st_size} bytes each; bare client {EVENTS / bare:,.0f}/s"
    return [
        Row(f"events a second into the cache ({size})", EVENTS / ours, 20_000, least=True),
        Row("  ratio to the bare client's time", ours / bare),
    ]


@contextmanager
def _replay(template: Path) -> Iterator[str]:
    argv = [sys.executable, "-m", "tests.benchmarks.replay", str(template), str(OBJECTS), str(EVENTS)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def _take(who: str, url: str) -> float:
    argv = [sys.executable, "-m", "tests.benchmarks.take", who, url, str(EVENTS)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, env=dict(os.environ))
    return float(json.loads(done.stdout))


def _latency(lab: Lab, scratch: Path) -> list[Row]:
    lab.kubectl("create", "namespace", "home")
    body = {
        "apiVersion": "resilience.dev/v1alpha1",
        "kind": "ResiliencePolicy",
        "metadata": {"name": "bench"},
        "spec": {"deployments": {"dnsConfig": {}}},
    }
    lab.kubectl("apply", "-f", "-", input=json.dumps(body))
    notes, metrics = scratch / "notes", free_port()
    flags = [f"--kubeconfig={lab.kubeconfig()}", "--namespace=home", "--health-bind=0"]
    argv = [sys.executable, "-m", "tests.benchmarks.decisions", str(notes), *flags]
    with (scratch / "operator.log").open("wb") as log:
        process = subprocess.Popen([*argv, f"--metrics-bind=127.0.0.1:{metrics}"], stdout=log, stderr=log)
        # Two cores carry the API server and the writer as well: what they take is not the operator's time.
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, process.pid, -10)
        try:
            lab.wait(lambda: _evaluated(lab) == FLEET, timeout=120, what="the audit of all")
            time.sleep(3)
            answered = asyncio.run(_drift(lab.kubeconfig()))
            time.sleep(3)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
    found = list(_decided(notes, answered))
    decided = sorted(decided - arrived for _, arrived, decided in found)
    whole = sorted(decided - answer for answer, _, decided in found)
    return [
        Row(
            f"p99 from the arrival of {len(found)} drifts at {RATE}/s to the decision, ms",
            _at(0.99, decided),
            50,
        ),
        Row("  p50, ms", _at(0.5, decided)),
        Row("  p99 from the API server's answer to the decision, ms", _at(0.99, whole)),
        Row("  p50 of that, ms", _at(0.5, whole)),
        Row("  drifts that were not decided", len(answered) - len(found), 0),
    ]


def _at(share: float, ordered: list[float]) -> float:
    return ordered[int(len(ordered) * share)] * 1000


async def _drift(kubeconfig: Path) -> dict[str, tuple[int, float]]:
    """Give RATE Deployments a second another resolver option; name -> (resourceVersion, time of the answer)."""
    answered: dict[str, tuple[int, float]] = {}
    options = [{"name": "ndots", "value": "2"}]
    patch = json.dumps({"spec": {"template": {"spec": {"dnsConfig": {"options": options}}}}})
    headers = {"Content-Type": "application/merge-patch+json"}
    async with session(kubeconfig) as client:

        async def one(number: int) -> None:
            name = f"{namespace_of(number)}/d{number}"
            path = f"/apis/apps/v1/namespaces/{namespace_of(number)}/deployments/d{number}"
            async with client.patch(path, data=patch, headers=headers) as answer:
                answer.raise_for_status()
                found = json.loads(await answer.read())
                answered[name] = (int(found["metadata"]["resourceVersion"]), time.monotonic())

        started, tasks = time.monotonic(), []
        for number in range(min(RATE * SECONDS, FLEET)):
            await asyncio.sleep(max(0.0, started + number / RATE - time.monotonic()))
            tasks.append(asyncio.create_task(one(number)))
        await asyncio.gather(*tasks)
    return answered


def _decided(notes: Path, answered: dict[str, tuple[int, float]]) -> Iterator[tuple[float, float, float]]:
    """(answered, arrived, decided) of each drift, at the first decision that knew it."""
    seen = set()
    for line in notes.read_text().splitlines():
        name, version, arrived, decided = line.split()
        if name in answered and name not in seen and int(version) >= answered[name][0]:
            seen.add(name)
            yield answered[name][1], float(arrived), float(decided)


def _evaluated(lab: Lab) -> int:
    text = lab.kubectl("get", "rp", "bench", "-o", "json")
    return int(json.loads(text).get("status", {}).get("summary", {}).get("evaluated", -1))


if __name__ == "__main__":
    sys.exit(main())
