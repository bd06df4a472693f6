"""SIGKILL at every write of a remediation, and a leader that was stopped in the middle of one.

Wherever the operator dies, another one ends what it began: the same specs, each Deployment restarted once, the limit
reached and never exceeded at any revision of the audit log, one durable record and an Event for every write.
"""

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.conftest import make_scene
from tests.e2e.history import deployment_writes, most_before_soaked, most_in_flight, replay
from tests.e2e.scene import LABEL, Body, Scene, settle, workload
from tests.faults import Proxy, at, hold
from tests.lab import Lab
from tests.lab.audit import Write
from tests.lab.errors import LabError

NAMES = ("d0", "d1", "d2", "d3", "d4")
LIMIT = 2
SOAK = 1
WORKERS = 4
DEPOSED = "deposed-leader"
TIMES = ("--lease-duration=2", "--request-timeout=2", "--max-rollouts=1000")
LASTING = ("--lease-duration=5", "--request-timeout=5", "--max-rollouts=1000")
"""Rollouts of all points at once count against the operator's own limit; the policy's is what is reached here."""
ROLLOUT: Body = {"maxConcurrent": LIMIT, "maxConcurrentPerNamespace": LIMIT, "soakSeconds": SOAK}

WRITES = {
    "lease": ("POST", "/leases$"),
    "finalizer": ("PATCH", "/resiliencepolicies/[^/]+$"),
    "deployment": ("PATCH", "/deployments/[^/]+$"),
    "event": ("POST", "/events$"),
    "status": ("PATCH", "/resiliencepolicies/[^/]+/status$"),
}
"""The writes of a remediation: what -> (method, path)."""


@dataclass(frozen=True)
class Point:
    """Where the operator is killed: at its nth write of a kind, before it is sent, committed or answered."""

    what: str
    nth: int
    at: str

    def __str__(self) -> str:
        return f"{self.what}-{self.nth}-{self.at}"


MOMENTS = ("before", "committed", "replied")
SENT = {"lease": 1, "finalizer": 1, "deployment": 10, "event": 8, "status": 4}
"""How many writes of each kind every remediation has at least."""
EVERY = [
    Point(what, nth, moment)
    for what, count in SENT.items()
    for nth in range(1, count + 1)
    for moment in MOMENTS
]
QUICK = [
    *(Point("deployment", nth, moment) for nth in (1, 2, 5) for moment in MOMENTS),
    Point("finalizer", 1, "committed"),
    Point("event", 3, "committed"),
    Point("status", 1, "before"),
    Point("status", 2, "committed"),
]
SLOW = [point for point in EVERY if point not in QUICK]


@dataclass
class Outcome:
    """What was found after all had settled; `killed` False where the operator never came to the point."""

    killed: bool
    end: Body
    writes: list[Write]
    in_flight: int
    before_soaked: int
    records: list[tuple[str, str]]
    events: list[str]
    log: str = field(repr=False)


def end_state(scene: Scene) -> Body:
    """What must always be the same at the end: specs, that we own nothing, revision, and the policy's verdict."""
    found: Body = {}
    for name in NAMES:
        body = scene.deployment(name)
        owned = [
            entry["fieldsV1"]
            for entry in body["metadata"]["managedFields"]
            if entry["manager"] == "resilience-operator"
        ]
        revision = body["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
        found[name] = {"spec": body["spec"], "owned": owned, "revision": revision}
    conditions = scene.status()["conditions"]
    found["conditions"] = {one["type"]: (one["status"], one["reason"]) for one in conditions}
    return found


def remediate(lab: Lab, directory: Path, point: Point | None) -> Outcome:
    """One remediation in a namespace of its own; at the point the operator is killed, and another one started."""
    directory.mkdir()
    scene = make_scene(lab, directory)
    try:
        bodies = [workload(scene.namespace, name, replicas=2) for name in NAMES]
        scene.apply({"apiVersion": "v1", "kind": "List", "items": bodies})
        scene.wait_rolled_out(*NAMES)
        scene.policy(deployments={"dnsConfig": {}}, rollout=ROLLOUT)
        killed = False
        if point is not None:
            killed = kill_at(scene, point)
        end_with(scene)
        return outcome(scene, killed)
    finally:
        remove(scene)


def kill_at(scene: Scene, point: Point) -> bool:
    """Run an operator through the proxy until it is killed; False where it ends its work before."""
    with Proxy(scene.lab.kubeconfig()) as proxy:
        operator = scene.operator(*TIMES, kubeconfig=proxy.kubeconfig(scene.logs / "proxy.kubeconfig"))
        method, path = WRITES[point.what]
        rule = proxy.on(method, path, at(point.at, operator.kill), nth=point.nth)
        operator.start(wait=False)
        try:
            rule.wait_matched(timeout=60)
            scene.wait(lambda: operator.ended, "the operator is dead", 10)
        except TimeoutError:
            return False
        finally:
            operator.kill()
    return True


def end_with(scene: Scene) -> None:
    """Run an operator until all is told, and stop it in order."""
    with scene.operator(*TIMES) as operator:
        scene.wait(lambda: operator.metric("resilience_leader").get("") == 1.0, "it leads", 60)
        scene.wait_compliant(timeout=90)
        settle(3)


def outcome(scene: Scene, killed: bool) -> Outcome:
    moments = replay(deployment_writes(scene.lab, scene.namespace))
    return Outcome(
        killed=killed,
        end=end_state(scene),
        writes=[moment.write for moment in moments if moment.ours],
        in_flight=most_in_flight(moments),
        before_soaked=most_before_soaked(moments, SOAK),
        records=[(one["object"]["name"], one["result"]) for one in scene.status().get("remediations", [])],
        events=[name for name in NAMES for _, reason in scene.events(name) if reason == "RemediationApplied"],
        log="\n".join(file.read_text(errors="replace") for file in sorted(scene.logs.glob("*.log"))),
    )


def remove(scene: Scene) -> None:
    with suppress(LabError):
        removal = '[{"op":"remove","path":"/metadata/finalizers"}]'
        with suppress(LabError):
            scene.lab.kubectl("patch", "rp", scene.name, "--type=json", "-p", removal)
        scene.lab.kubectl("delete", "rp", "-l", f"{LABEL}={scene.name}", "--wait=false")
        scene.lab.kubectl("delete", "namespace", scene.namespace, "--wait=false")


Outcomes = Callable[[Point | None], Outcome]


def run_all(lab: Lab, directory: Path, points: list[Point]) -> Iterator[Outcomes]:
    """Remediations for all points and one without a fault, some at a time; gives what becomes of each."""
    with ThreadPoolExecutor(WORKERS) as pool:
        running: dict[Point | None, Future[Outcome]] = {
            point: pool.submit(remediate, lab, directory / str(point), point) for point in [None, *points]
        }
        try:
            yield lambda point: running[point].result(timeout=280)
        finally:
            for future in running.values():
                future.cancel()


@pytest.fixture(scope="module")
def quick(lab: Lab, crd: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    lab.needs("audit")
    yield from run_all(lab, tmp_path_factory.mktemp("quick"), QUICK)


@pytest.fixture(scope="module")
def slow(lab: Lab, crd: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    lab.needs("audit")
    yield from run_all(lab, tmp_path_factory.mktemp("slow"), SLOW)


def judge(found: Outcome, reference: Outcome) -> None:
    """The invariants, however often the operator died."""
    try:
        assert found.end == reference.end
        assert Counter(write.name for write in found.writes) == Counter(NAMES), "each was written once"
        assert found.in_flight == LIMIT, "the limit was reached, and never exceeded at any revision"
        assert found.before_soaked == LIMIT, "what soaks counts as well"
        assert sorted(found.records) == [(name, "Applied") for name in NAMES], "a record for each write"
        assert sorted(found.events) == sorted(NAMES), "an Event for each write"
    except AssertionError as error:
        error.add_note(found.log)
        raise


def test_without_a_fault_five_are_repaired_two_at_a_time(quick: Outcomes) -> None:
    found = quick(None)
    judge(found, found)
    spec = found.end["d0"]["spec"]["template"]["spec"]
    assert spec["dnsConfig"] == {"options": [{"name": "single-request-reopen"}]}
    assert found.end["d0"]["revision"] == "2"
    assert found.end["d0"]["owned"] == []
    assert found.end["conditions"]["Compliant"][0] == "True"


@pytest.mark.parametrize("point", QUICK, ids=str)
def test_killed_at_a_write_another_operator_ends_what_it_began(quick: Outcomes, point: Point) -> None:
    found = quick(point)
    assert found.killed, "it came to the point"
    judge(found, quick(None))


@pytest.mark.slow
@pytest.mark.parametrize("point", SLOW, ids=str)
def test_killed_at_any_other_write_the_end_is_the_same(slow: Outcomes, point: Point) -> None:
    found = slow(point)
    assert found.killed, "it came to the point"
    judge(found, slow(None))


@pytest.mark.parametrize("when", ["before the new leader writes", "when the new leader is done"])
def test_of_a_leader_that_was_stopped_at_most_the_held_request_commits(
    scene: Scene, tmp_path: Path, when: str
) -> None:
    scene.lab.needs("audit", "users")
    bodies = [workload(scene.namespace, name, replicas=2) for name in NAMES]
    scene.apply({"apiVersion": "v1", "kind": "List", "items": bodies})
    scene.wait_rolled_out(*NAMES)
    config = scene.lab.kubeconfig(DEPOSED, groups=["system:masters"])
    early = when.startswith("before")
    with Proxy(config) as proxy, Proxy(scene.lab.kubeconfig()) as door:
        rule = proxy.on("PATCH", "/deployments/d1$", hold())
        later = door.on("PATCH", "/deployments/d1$", hold())
        leader = scene.operator(*LASTING, "--identity=first", kubeconfig=proxy.kubeconfig(tmp_path / "first"))
        second = door.kubeconfig(tmp_path / "second")
        other = scene.operator(*LASTING, "--identity=second", "--request-timeout=10", kubeconfig=second)
        with leader, other:
            scene.wait(lambda: leader.metric("resilience_leader").get("") == 1.0, "the first one leads", 30)
            # Only now: what is held times out at the leader, which then sends it again.
            scene.policy(deployments={"dnsConfig": {}}, rollout=ROLLOUT)
            held = rule.wait_held(timeout=30)
            leader.signal(signal.SIGSTOP)
            scene.wait(lambda: other.metric("resilience_leader").get("") == 1.0, "a new leader", 30)
            if not early:
                later.release()
                scene.wait_compliant()
            rule.release()
            leader.signal(signal.SIGCONT)
            proxy.wait(lambda: held.status, 20)
            later.release()
            scene.wait_compliant()
            settle(3)
            assert leader.metric("resilience_leader").get("") == 0.0
            status, late = held.status, late_writes(scene)
    assert status == (200 if early else 422), "the API server refuses what was decided on an older object"
    moments = replay(deployment_writes(scene.lab, scene.namespace))
    assert most_in_flight(moments) == LIMIT
    assert most_before_soaked(moments, SOAK) == LIMIT
    assert Counter(moment.name for moment in moments if moment.ours) == Counter(NAMES)
    assert late == [("deployments", "d1", status)], "no other request after the Lease was lost"
    assert sorted(one["object"]["name"] for one in scene.status()["remediations"]) == sorted(NAMES)


def late_writes(scene: Scene) -> list[tuple[str, str, int]]:
    """(resource, name, code) of what the deposed leader sent after another held the Lease, but for the Lease."""
    leases = scene.lab.audit.writes(resource="leases", namespace=scene.namespace)
    taken = next(write.time for write in leases if write.succeeded and write.user != DEPOSED)
    return [
        (write.resource, write.name, write.code)
        for write in scene.lab.audit.writes(user=DEPOSED)
        if write.time > taken
        and write.resource != "leases"
        and not write.asks_the_guard
        and scene.name in f"{write.namespace} {write.name}"
    ]
