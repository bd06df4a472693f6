"""The node agent: 20,000 stale entries of 200,000 purged, the memory of it, and how long packets wait meanwhile.

In a network namespace of its own, as root, with entries that the `conntrack` tool makes and counts.
`python -m tests.benchmarks.agent`
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.agent.namespaces import Namespace, namespace, tcp, udp

STALE, LIVE, TCP = 20_000, 40_000, 140_000
SECONDS, RSS, DELAY = 5.0, 24.0, 3.0
"""The bars: seconds of the purge, MiB, milliseconds that the longest packet waits more than without a purge."""

ROOT = Path(__file__).resolve().parents[2]

PURGE = """
import json, os, socket, sys, time
sys.path.insert(0, sys.argv[1])
from resilience_operator.agent import main, purge, stale
os.sched_setaffinity(0, {0})
packed = socket.inet_aton
name = stale.Name("kube-system", "kube-dns")
service = stale.Protected(name, "u", frozenset({packed("10.96.0.10")}), frozenset({53}),
                          frozenset({(packed("10.244.2.2"), 53)}))
began, cpu = time.monotonic(), time.process_time()
outcome = purge.Purge(lambda _: service).run([service], purge.Limits(), lambda: False)
took, cpu = time.monotonic() - began, time.process_time() - cpu
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"seconds": took, "cpu": cpu, "deleted": outcome.deleted[name], "mib": int(peak.split()[1]) / 1024}))
"""

PING = """
import json, os, socket, sys, time
os.sched_setaffinity(0, {1})
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.bind(("127.0.0.1", 0))
one.settimeout(2)
waits, end = [], time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    began = time.perf_counter()
    one.sendto(b"x", one.getsockname())
    one.recv(8)
    waits.append((time.perf_counter() - began) * 1000)
    time.sleep(0.0005)
waits.sort()
print(json.dumps({"packets": len(waits), "median": waits[len(waits) // 2], "max": waits[-1]}))
"""


def fill(ns: Namespace) -> None:
    """200,000 entries: TCP, UDP to a live backend, UDP to one that is gone."""

    def client(number: int) -> str:
        return f"10.{100 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"

    lines = [tcp(client(n), 30000, "10.96.0.10", "10.244.2.2") for n in range(TCP)]
    lines += [udp(client(n), 31000, "10.96.0.10", "10.244.2.2") for n in range(LIVE)]
    lines += [udp(client(n), 32000, "10.96.0.10", "10.244.2.3") for n in range(STALE)]
    ns.load(lines)


def waits(ns: Namespace, seconds: float) -> "subprocess.Popen[str]":
    """Round trips over loopback through CPU 0, where the purge runs; the asking side waits on CPU 1 for no other."""
    return ns.start(sys.executable, "-c", PING, str(seconds))


def said(program: "subprocess.Popen[str]") -> dict[str, Any]:
    """What a program of the benchmark printed."""
    output, _ = program.communicate(timeout=120)
    found: dict[str, Any] = json.loads(output)
    return found


def measure() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The purge, the packets while it ran, and the packets without it."""
    with namespace() as ns:
        ns.run("sh", "-c", "echo 1 > /sys/class/net/lo/queues/rx-0/rps_cpus")
        fill(ns)
        before = int(ns.run("conntrack", "-C"))
        alone = said(waits(ns, 6.0))
        ping = waits(ns, 6.0)
        purged = said(ns.start(sys.executable, "-I", "-S", "-c", PURGE, str(ROOT / "operator")))
        during = said(ping)
        after = int(ns.run("conntrack", "-C"))
        stale = sum("src=10.244.2.3" in line for line in ns.conntrack("-p", "udp"))
    return purged | {"before": before, "after": after, "stale": stale}, during, alone


def main() -> int:
    """Measure, print, and fail where a bar is missed."""
    if os.geteuid() or not shutil.which("conntrack") or (os.cpu_count() or 1) < 2:
        print("agent: left out; needs root, two CPUs, and apt-get install conntrack iproute2")
        return 0
    purged, during, alone = measure()
    more = during["max"] - alone["max"]
    print(
        f"agent: {purged['deleted']} of {purged['before']} entries purged in {purged['seconds']:.2f} s (bar {SECONDS}),"
        f" {purged['cpu']:.2f} s of CPU, {purged['mib']:.1f} MiB at most (bar {RSS});"
        f" left {purged['after']}, of them stale {purged['stale']}"
    )
    for name, one in (("without", alone), ("during", during)):
        print(
            f"  packets {name} a purge: {one['packets']}, median {one['median']:.3f} ms, longest {one['max']:.2f} ms"
        )
    good = purged["seconds"] <= SECONDS and purged["mib"] <= RSS and purged["stale"] == 0 and more <= DELAY
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
