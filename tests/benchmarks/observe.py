"""10,000 Deployments listed into the cache, all of them evaluated, and what the whole operator holds in memory.

Bars: listing at most 1.5 times the bare client, a full evaluation within 3 s, at most 4 KiB a Deployment and 1 KiB
a pod, the operator at most 192 MiB beside 10,000 Deployments with their ReplicaSets, 30,000 pods, 3,000 Services
and 5,000 Nodes. Listing is measured in fresh processes, by turns; the median counts.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.fleet import Size, big_lab, fill
from tests.benchmarks.memory import MIB, rss
from tests.benchmarks.report import Row, show
from tests.e2e.conftest import install_crd
from tests.e2e.process import OperatorProcess
from tests.lab import Lab

FULL = Size(deployments=10_000, services=3_000, nodes=5_000, pods=True)
ROUNDS = 5
SETTLE = 20.0
"""Seconds after which the operator's memory is read: all is listed, evaluated and told."""


def main() -> int:
    """Make the fleet, measure, and print each figure beside its bar."""
    with big_lab() as lab, tempfile.TemporaryDirectory() as logs:
        install_crd(lab)
        fill(lab, FULL)
        pairs = [(_child("ours", lab), _child("bare", lab)) for _ in range(ROUNDS)]
        whole = _operator(lab, Path(logs))
    return show("observe", _rows(pairs, whole))


def _rows(pairs: list[tuple[Any, Any]], whole: dict[str, float]) -> list[Row]:
    ours = [one for one, _ in pairs]
    first = ours[0]
    objects = ", ".join(f"{number} {kind}" for kind, number in first["objects"].items())
    listed = statistics.median(one["seconds"]["Deployment"] for one in ours)
    bare = statistics.median(one["seconds"] for _, one in pairs)
    ratio = statistics.median(one["seconds"]["Deployment"] / other["seconds"] for one, other in pairs)
    evaluated = statistics.median(one["evaluation"] for one in ours)
    each = {
        kind: statistics.median(one["bytes"][kind] for one in ours) / first["objects"][kind] / 1024
        for kind in ("Deployment", "Pod")
    }
    return [
        Row(f"list Deployments ({listed:.2f} s, bare client {bare:.2f} s), ratio", ratio, 1.5),
        Row(
            f"full evaluation ({first['decisions']} decisions, {first['findings']} findings), s",
            evaluated,
            3.0,
        ),
        Row("KiB a Deployment", each["Deployment"], 4.0),
        Row("KiB a pod", each["Pod"], 1.0),
        Row(f"operator in memory ({objects}), MiB", whole["rss"] / MIB, 192.0),
        Row("  of it at most while listing, MiB", whole["peak"] / MIB),
        Row("  its start to ready, s", whole["ready"]),
    ]


def _child(name: str, lab: Lab) -> Any:
    argv = [sys.executable, "-m", f"tests.benchmarks.{name}", str(lab.kubeconfig())]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, env=dict(os.environ))
    return json.loads(done.stdout)


def _operator(lab: Lab, logs: Path) -> dict[str, float]:
    """The real program with a policy that finds drift on every Deployment."""
    lab.kubectl("create", "namespace", "home")
    body = {
        "apiVersion": "resilience.dev/v1alpha1",
        "kind": "ResiliencePolicy",
        "metadata": {"name": "bench"},
        "spec": {"deployments": {"spread": {}, "gracefulShutdown": {}, "dnsConfig": {}}},
    }
    lab.kubectl("apply", "-f", "-", input=json.dumps(body))
    started = time.monotonic()
    operator = OperatorProcess(lab.kubeconfig(), logs / "operator.log", "--namespace=home")
    with operator.start():
        ready = time.monotonic() - started
        lab.wait(lambda: _evaluated(lab) == FULL.deployments, timeout=120, what="the audit of all")
        time.sleep(SETTLE)
        return {"ready": ready, "rss": rss(operator.pid), "peak": rss(operator.pid, "VmHWM")}


def _evaluated(lab: Lab) -> int:
    text = lab.kubectl("get", "rp", "bench", "-o", "json")
    return int(json.loads(text).get("status", {}).get("summary", {}).get("evaluated", -1))


if __name__ == "__main__":
    sys.exit(main())
