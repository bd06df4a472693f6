"""The lab's real nodes keep their promises, and the machine is as before when they are gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab.boot import start
from tests.lab.fixtures import needs_real_nodes
from tests.lab.real import cgroups
from tests.lab.waiting import wait

pytestmark = pytest.mark.real

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 30
# What the kernel counts by itself; all else that can be read is compared.
COUNTERS = (
    "random",
    "quota/",
    "pty/nr",
    "dentry-state",
    "file-nr",
    "inode-",
    "nf_conntrack_count",
    "ns_last_pid",
    "cad_pid",
)


def command(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def machine() -> dict[str, object]:
    """The machine's network, sysctls, control groups and mounts."""
    interfaces = [
        (one["ifname"], one["operstate"], [each["local"] for each in one.get("addr_info", ())])
        for one in json.loads(command("ip", "-json", "address"))
    ]
    return {
        "interfaces": interfaces,
        "routes": command("ip", "route", "show", "table", "all"),
        "namespaces": command("ip", "netns", "list"),
        **dict(sysctls()),
        # Another lab of the same run may have real nodes, too.
        "groups": sorted(
            set(Path("/sys/fs/cgroup").glob("*/*/")) - set(Path("/sys/fs/cgroup").glob("*/resilience-lab-*"))
        ),
        "mounts": sorted(
            line.split(" ", 2)[2] for line in Path("/proc/self/mountinfo").read_text().splitlines()
        ),
        "folders": [
            folder
            for folder in ("/etc/cni", "/run/containerd", "/opt/containerd", "/var/lib/kubelet")
            if Path(folder).exists()
        ],
    }


def sysctls() -> Iterator[tuple[str, str]]:
    for folder, _, names in os.walk("/proc/sys"):
        for name in names:
            file = Path(folder) / name
            if not any(counter in str(file) for counter in COUNTERS):
                try:
                    yield str(file), file.read_text()
                except (OSError, UnicodeDecodeError):
                    continue


@pytest.fixture
def before() -> dict[str, object]:
    """How the machine is before a lab is started on it."""
    needs_real_nodes()
    return machine()


def changed(before: dict[str, object]) -> list[str]:
    after = machine()
    return [
        f"{key}: {value}, then {after.get(key)}" for key, value in before.items() if after.get(key) != value
    ]


@pytest.mark.slow
def test_two_nodes_are_ready_within_30_seconds_and_the_machine_is_as_before(
    before: dict[str, object],
) -> None:
    began = time.monotonic()
    with start(nodes=0, real=2) as lab:
        seconds = time.monotonic() - began - lab.seconds_to_ready
        assert seconds < READY_SECONDS, f"ready after {seconds:.1f} s of a started control plane"
        assert changed(before) == [], "while they run"
        group, directory = lab.real.group, lab.directory
        assert cgroups.left(group), "the pods' control groups"
        nodes = json.loads(lab.kubectl("get", "nodes", "-o", "json"))["items"]
        versions = [node["status"]["nodeInfo"]["containerRuntimeVersion"] for node in nodes]
        assert [version.partition(":")[0] for version in versions] == ["containerd", "containerd"]
    assert (changed(before), cgroups.left(group), directory.exists()) == ([], [], False)


KILLED = """
import time
from tests.lab.boot import start
lab = start(nodes=0, real=2)
print(lab._supervisor.pid, lab.real.group, lab.directory, flush=True)
time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.parametrize("who", ["owner", "reaper"])
def test_after_a_kill_the_machine_is_as_before(before: dict[str, object], who: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as owner:
        try:
            assert owner.stdout is not None
            reaper, group, directory = owner.stdout.readline().split()
            assert cgroups.left(group), "the pods' control groups"
            os.kill(owner.pid if who == "owner" else int(reaper), signal.SIGKILL)
            what = f"nothing is left after the {who} was killed"
            wait(lambda: (cgroups.left(group), Path(directory).exists()) == ([], False), 30, what)
            assert changed(before) == []
        finally:
            owner.kill()


def test_a_node_has_no_way_out(real_lab: Lab) -> None:
    for name in real_lab.real.names():
        routes = real_lab.real.run(name, "ip", "route")
        assert "default" not in routes, routes
    inside = command("nsenter", f"--net={real_lab.directory / 'network'}", "ip", "route")
    assert "default" not in inside, inside


def test_cluster_dns_answers_through_its_service(real_lab: Lab) -> None:
    name = "kubernetes.default.svc.cluster.local"
    for node in real_lab.real.names():
        seen = real_lab.real.traffic(node, "dns", "-for", "2s", "10.96.0.10:53", name).wait()
        assert (seen.lost, seen.sent >= 15) == (0, True), seen


def test_a_killed_daemon_is_started_again(real_lab: Lab) -> None:
    before = real_lab.real.process("real-1", "kube-proxy")
    real_lab.real.signal("real-1", "kube-proxy", signal.SIGKILL)
    real_lab.wait(
        lambda: real_lab.real.process("real-1", "kube-proxy") not in (0, before), what="kube-proxy runs again"
    )


def test_a_node_may_write_what_belongs_to_the_whole_machine_and_the_machines_stays(real_lab: Lab) -> None:
    limit = "/proc/sys/net/netfilter/nf_conntrack_max"
    before = Path(limit).read_text()
    for node in real_lab.real.names():
        assert real_lab.real.inside(node, "cat", limit) == before
    real_lab.real.inside("real-1", "sh", "-c", f"echo 524288 > {limit}")
    seen = [real_lab.real.inside(node, "cat", limit) for node in ("real-1", "real-2")]
    assert (seen, Path(limit).read_text()) == (["524288\n", before], before)
    real_lab.real.inside("real-1", "sh", "-c", f"echo {before.strip()} > {limit}")
