"""The stand-in for the cluster-proportional-autoscaler (CPA) does what is known of CPA.

The tables are CPA's documentation, its own tests' cases and what was measured on its binary; the last test holds the
running stand-in against a real API server. Those who use it: the tests of the CoreDNS floor.
"""

import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.scene import workload
from tests.lab import Lab
from tests.standins import cpa
from tests.standins.cpa import (
    NAME,
    Autoscaler,
    Count,
    Ladder,
    Linear,
    Params,
    ParamsError,
    RequestError,
    counted,
    default_data,
    expected,
    parse_params,
    running,
    scale_path,
)

Body = dict[str, Any]
DEFAULT = '{"linear": {"nodesPerReplica": 2, "min": 1, "coresPerReplica": 64}}'
COMPACT = '{"coresPerReplica":64,"min":1,"nodesPerReplica":2}'


# Parameters


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ('{"coresPerReplica":2}', Linear(cores_per_replica=2, minimum=1)),
        ('{"nodesPerReplica":2.5}', Linear(nodes_per_replica=2.5)),
        ('{"nodesPerReplica":1e1}', Linear(nodes_per_replica=10)),
        (
            '{"coresPerReplica":2,"nodesPerReplica":1,"max":9,"preventSinglePointFailure":true}',
            Linear(2, 1, 1, 9, prevent_single_point_failure=True),
        ),
        (
            '{"coresPerReplica":2,"includeUnschedulableNodes":true}',
            Linear(cores_per_replica=2, include_unschedulable_nodes=True),
        ),
        ('{"nodesPerReplica":1,"min":0,"max":0}', Linear(nodes_per_replica=1, minimum=1, maximum=0)),
        ('{"nodesPerReplica":1,"min":3,"max":3}', Linear(nodes_per_replica=1, minimum=3, maximum=3)),
        ('{"NODESPERREPLICA":1,"Min":2}', Linear(nodes_per_replica=1, minimum=2)),
        ('{"nodesPerReplica":1,"min":5,"MIN":2}', Linear(nodes_per_replica=1, minimum=2)),
        ('{"nodesPerReplica":1,"min":2,"min":null}', Linear(nodes_per_replica=1, minimum=2)),
        ('{"nodesPerReplica":1,"minimum":7,"floor":{"min":9}}', Linear(nodes_per_replica=1)),
        ('{"nodesPerReplica":1,"max":null}', Linear(nodes_per_replica=1)),
    ],
)
def test_linear_parameters(text: str, params: Linear) -> None:
    assert parse_params({"linear": text}) == params


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ('{"nodesToReplicas":[[1,1],[2,2]]}', Ladder(nodes_to_replicas=((1, 1), (2, 2)))),
        ('{"coresToReplicas":[[512,5],[0,0],[64,3]]}', Ladder(cores_to_replicas=((0, 0), (64, 3), (512, 5)))),
        (
            '{"nodestoreplicas":[[6],[],null,[7,2,"more"],[null,1]]}',
            Ladder((), ((0, 0), (0, 0), (0, 1), (6, 0), (7, 2))),
        ),
        ('{"coresToReplicas":[[1,1]],"includeUnschedulableNodes":true}', Ladder(((1, 1),), (), True)),
        ('{"min":2,"nodesToReplicas":[]}', Ladder()),
        ("{}", Ladder()),
        ("null", Ladder()),
    ],
)
def test_ladder_parameters(text: str, params: Ladder) -> None:
    assert parse_params({"ladder": text}) == params


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({}, "expected only one entry, got: []"),
        ({"linear": COMPACT, "ladder": "{}"}, "expected only one entry, got: ['ladder', 'linear']"),
        ({"linear": COMPACT, "note": "ours"}, "expected only one entry, got: ['linear', 'note']"),
        ({"Linear": COMPACT}, "not a supported control mode: Linear"),
        ({"linear": ""}, "could not parse parameters (Expecting value"),
        ({"linear": COMPACT[:-1]}, "could not parse parameters (Expecting ',' delimiter"),
        ({"linear": f"{COMPACT} {{}}"}, "could not parse parameters (Extra data"),
        ({"linear": '{"nodesPerReplica":NaN}'}, "could not parse parameters (NaN is no JSON)"),
        ({"linear": "[1]"}, "could not parse parameters (not an object: [1])"),
        ({"linear": '{"nodesPerReplica":1,"min":"3"}'}, "min: '3' is no whole number"),
        ({"linear": '{"nodesPerReplica":1,"min":3.0}'}, "min: 3.0 is no whole number"),
        ({"linear": '{"nodesPerReplica":1,"max":true}'}, "max: True is no whole number"),
        ({"linear": '{"nodesPerReplica":1,"max":9223372036854775808}'}, "is no whole number"),
        ({"linear": '{"nodesPerReplica":"1"}'}, "nodesPerReplica: '1' is no number"),
        ({"linear": '{"nodesPerReplica":false}'}, "nodesPerReplica: False is no number"),
        ({"linear": '{"nodesPerReplica":1e400}'}, "nodesPerReplica is out of range"),
        ({"linear": f'{{"nodesPerReplica":1{"0" * 400}}}'}, "nodesPerReplica is out of range"),
        (
            {"linear": '{"nodesPerReplica":1,"preventSinglePointFailure":"true"}'},
            "'true' is not true or false",
        ),
        ({"linear": '{"nodesPerReplica":1,"min":-1}'}, "invalid negative value for min: -1"),
        (
            {"linear": '{"nodesPerReplica":1,"min":3,"max":2}'},
            "max 2 should be greater than or equal to min 3",
        ),
        ({"linear": '{"nodesPerReplica":1,"max":-1}'}, "max -1 should be greater than or equal to min 1"),
        ({"linear": '{"min":1}'}, "should at least provide either coresPerReplica or nodesPerReplica"),
        ({"linear": "null"}, "should at least provide either coresPerReplica or nodesPerReplica"),
        ({"linear": '{"coresPerReplica":-2}'}, "invalid negative value for coresPerReplica: -2.0"),
        ({"linear": '{"nodesPerReplica":-2}'}, "invalid negative value for nodesPerReplica: -2.0"),
        ({"ladder": '{"nodesToReplicas":[[1,-1]]}'}, "invalid negative value in step [1, -1]"),
        ({"ladder": '{"coresToReplicas":[[-1,1]]}'}, "invalid negative value in step [-1, 1]"),
        ({"ladder": '{"nodesToReplicas":[[1,"1"]]}'}, "nodesToReplicas: '1' is no whole number"),
        ({"ladder": '{"nodesToReplicas":{"1":1}}'}, "is no list"),
        ({"ladder": '{"nodesToReplicas":[1,2]}'}, "nodesToReplicas: 1 is no pair"),
    ],
)
def test_what_scales_nothing(data: dict[str, str], says: str) -> None:
    with pytest.raises(ParamsError, match=re.escape(says)):
        parse_params(data)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (DEFAULT, {"linear": COMPACT}),
        (
            '{"ladder": {"nodesToReplicas": [[1, 1.0], [2, 2]], "coresToReplicas": []}}',
            {"ladder": '{"coresToReplicas":[],"nodesToReplicas":[[1,1],[2,2]]}'},
        ),
        (
            '{"linear": {"nodesPerReplica": 0.5, "preventSinglePointFailure": true, "max": null, "note": "n"}}',
            {"linear": '{"max":null,"nodesPerReplica":0.5,"note":"n","preventSinglePointFailure":true}'},
        ),
        ('{"linear": 1, "other": "x"}', {"linear": "1", "other": '"x"'}),
        ("{}", {}),
    ],
)
def test_the_config_map_of_the_default_parameters(text: str, data: dict[str, str]) -> None:
    assert default_data(text) == data


@pytest.mark.parametrize("text", ["", "[]", '{"linear": '])
def test_default_parameters_that_are_none(text: str) -> None:
    with pytest.raises(ParamsError, match="could not parse parameters"):
        default_data(text)


# The decision


def node(*, ready: str = "True", cordoned: bool = False, cpu: str | None = "4") -> Body:
    conditions = [{"type": "MemoryPressure", "status": "True"}, {"type": "Ready", "status": ready}]
    status = {"conditions": conditions, "capacity": {"cpu": "64"}}
    return {
        "spec": {"unschedulable": True} if cordoned else {},
        "status": {**status, "allocatable": {"cpu": cpu}} if cpu else status,
    }


ALL = Linear(nodes_per_replica=1, include_unschedulable_nodes=True)
SCHEDULABLE = Linear(nodes_per_replica=1)


@pytest.mark.parametrize(
    ("nodes", "schedulable", "every"),
    [
        ([], Count(0, 0), Count(0, 0)),
        ([node(), node()], Count(2, 8), Count(2, 8)),
        ([node(), node(cordoned=True)], Count(1, 4), Count(2, 8)),
        ([node(), node(ready="False"), node(ready="Unknown")], Count(1, 4), Count(3, 12)),
        ([node(), {}, {"spec": {}, "status": {}}], Count(1, 4), Count(3, 4)),
        ([node(cpu="3920m"), node(cpu="3920m")], Count(2, 8), Count(2, 8)),
        ([node(cpu="100m"), node(cpu="100m", cordoned=True)], Count(1, 1), Count(2, 1)),
        ([node(cpu="1k"), node(cpu="1u"), node(cpu="1n"), node(cpu="0.5")], Count(4, 1001), Count(4, 1001)),
        ([node(cpu=None)], Count(1, 0), Count(1, 0)),
    ],
)
def test_which_nodes_count(nodes: list[Body], schedulable: Count, every: Count) -> None:
    assert (counted(nodes, SCHEDULABLE), counted(nodes, ALL)) == (schedulable, every)
    assert counted(nodes, Ladder()) == schedulable
    assert counted(nodes, Ladder(include_unschedulable_nodes=True)) == every


SAFE = Linear(nodes_per_replica=16, cores_per_replica=256, prevent_single_point_failure=True)
MULTIPLE = Linear(2, 2.5, 1, 100, prevent_single_point_failure=True)
DOCUMENTED = Ladder(
    cores_to_replicas=((1, 1), (64, 3), (512, 5), (1024, 7), (2048, 10), (4096, 15)),
    nodes_to_replicas=((1, 1), (2, 2)),
)


@pytest.mark.parametrize(
    ("params", "answers"),
    [
        pytest.param(
            Linear(cores_per_replica=2, nodes_per_replica=1, maximum=100),
            {(4, 13): 7, (4, 1): 4, (0, 0): 1, (200, 0): 100},
            id="the more of the two, within min and max",
        ),
        pytest.param(
            Linear(cores_per_replica=2, minimum=2, maximum=100),
            {(0, 0): 2, (9, 1): 2, (9, 4): 2, (9, 6): 3, (9, 11): 6, (9, 19): 10, (9, 21): 11, (9, 40): 20},
            id="CPA's own test of one parameter",
        ),
        pytest.param(
            MULTIPLE,
            {(0, 0): 1, (2, 1): 2, (3, 2): 2, (4, 4): 2, (4, 6): 3, (5, 6): 3, (5, 8): 4, (15, 8): 6},
            id="CPA's own test of both parameters, small",
        ),
        pytest.param(
            MULTIPLE,
            {(16, 8): 7, (21, 19): 10, (20, 23): 12, (38, 26): 16, (49, 30): 20, (20, 40): 20},
            id="CPA's own test of both parameters, large",
        ),
        pytest.param(
            Linear(64, 2, 1), {(6, 24): 3, (5, 20): 3, (4, 16): 2, (2, 8): 1}, id="the incident: 3 to 2"
        ),
        pytest.param(Linear(64, 2, 3), {(6, 24): 3, (4, 16): 3, (0, 0): 3}, id="a floor"),
        pytest.param(
            Linear(nodes_per_replica=2, minimum=3, maximum=4), {(1, 1): 3, (8, 900): 4}, id="min and max"
        ),
        pytest.param(
            SAFE, {(0, 0): 1, (1, 4): 1, (2, 8): 2, (33, 8): 3, (2, 900): 4}, id="never one of many"
        ),
        pytest.param(
            Linear(nodes_per_replica=16, maximum=1, prevent_single_point_failure=True),
            {(1, 4): 1, (2, 8): 2, (99, 8): 2},
            id="never one of many, whatever the max",
        ),
        pytest.param(DOCUMENTED, {(100, 400): 3, (1, 64): 3, (2, 1): 2, (1, 9999): 15}, id="steps"),
        pytest.param(DOCUMENTED, {(0, 0): 1}, id="below the lowest step it is still the lowest"),
        pytest.param(
            Ladder(nodes_to_replicas=((0, 0), (6, 1))), {(0, 99): 0, (5, 99): 0, (6, 0): 1}, id="to zero"
        ),
        pytest.param(
            Ladder(nodes_to_replicas=((1, 0), (3, 3))),
            {(0, 0): 0, (2, 0): 0, (4, 0): 3},
            id="to zero, from one",
        ),
        pytest.param(Ladder(), {(5, 20): 0}, id="no steps at all"),
        pytest.param(Linear(nodes_per_replica=1, minimum=2**32 + 3), {(1, 4): 3}, id="32 bits"),
        pytest.param(Ladder(nodes_to_replicas=((1, 2**31),)), {(1, 4): -(2**31)}, id="32 bits with a sign"),
        pytest.param(Ladder(nodes_to_replicas=((2, 2), (2, 4))), {(2, 0): 4}, id="a step twice: the last"),
    ],
)
def test_how_many_replicas(params: Params, answers: dict[tuple[int, int], int]) -> None:
    assert {seen: expected(params, *seen) for seen in answers} == answers


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("deployment/coredns", "/apis/apps/v1/namespaces/kube-system/deployments/coredns/scale"),
        ("Deployments/CoreDNS", "/apis/apps/v1/namespaces/kube-system/deployments/coredns/scale"),
        ("replicaset/a", "/apis/apps/v1/namespaces/kube-system/replicasets/a/scale"),
        ("statefulset/a", "/apis/apps/v1/namespaces/kube-system/statefulsets/a/scale"),
        ("replicationcontroller/a", "/api/v1/namespaces/kube-system/replicationcontrollers/a/scale"),
    ],
)
def test_targets(target: str, path: str) -> None:
    assert scale_path("kube-system", target) == path


@pytest.mark.parametrize("target", ["", "coredns", "deployment/", "deployment/a/b", "daemonset/a"])
def test_what_is_no_target(target: str) -> None:
    with pytest.raises(ValueError, match="target format error"):
        scale_path("kube-system", target)


# Poll by poll


MAP, SCALE = "/api/v1/namespaces/dns/configmaps/params", scale_path("dns", "deployment/coredns")


class Server:
    """An API server of four nodes, one ConfigMap and one scale; `fails` refuses requests."""

    def __init__(self, data: dict[str, str] | None, replicas: int = 3) -> None:
        self.version = 0
        self.objects: dict[str, Body] = {
            "/api/v1/nodes": {"items": [node() for _ in range(4)]},
            SCALE: {"kind": "Scale", "metadata": {"resourceVersion": "9"}, "spec": {"replicas": replicas}},
        }
        self.writes: list[tuple[str, str, Body]] = []
        self.fails: dict[tuple[str, str], Exception] = {}
        if data is not None:
            self.edit(data)

    def edit(self, data: dict[str, str]) -> None:
        self.version += 1
        self.objects[MAP] = {"metadata": {"resourceVersion": str(self.version)}, "data": data}

    def __call__(self, method: str, path: str, body: Body | None) -> Body:
        if (method, path) in self.fails:
            raise self.fails[method, path]
        if body is None:
            if path not in self.objects:
                raise RequestError("404")
            return self.objects[path]
        self.writes.append((method, path, body))
        if method == "POST":
            self.edit(body["data"])
            return self.objects[MAP]
        self.objects[path] = body
        return body

    def autoscaler(self, default: dict[str, str] | None = None) -> Autoscaler:
        return Autoscaler(self, "dns", "params", "deployment/coredns", default)

    @property
    def replicas(self) -> int:
        found: int = self.objects[SCALE]["spec"]["replicas"]
        return found


def put(replicas: int) -> tuple[str, str, Body]:
    scale = {"kind": "Scale", "metadata": {"resourceVersion": "9"}, "spec": {"replicas": replicas}}
    return "PUT", SCALE, scale


def test_it_scales_at_once_and_then_not_again() -> None:
    server = Server({"linear": COMPACT})
    autoscaler = server.autoscaler()
    assert autoscaler.poll() == "deployment/coredns from 3 to 2: 4 of 4 nodes count, 16 cores"
    assert autoscaler.poll() == "deployment/coredns stays at 2: 4 of 4 nodes count, 16 cores"
    assert server.writes == [put(2)]


def test_a_target_at_zero_has_no_replicas_in_its_scale() -> None:
    server = Server({"linear": COMPACT})
    server.objects[SCALE]["spec"] = {}
    assert server.autoscaler().poll().startswith("deployment/coredns from 0 to 2")
    assert server.writes == [put(2)]


def test_a_missing_config_map_is_created_from_the_default_parameters() -> None:
    server = Server(None)
    server.autoscaler(default_data(DEFAULT)).poll()
    metadata = {"name": "params", "namespace": "dns"}
    created = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"linear": COMPACT}}
    assert server.writes == [("POST", "/api/v1/namespaces/dns/configmaps", created), put(2)]


def test_default_parameters_that_are_wrong_are_written_all_the_same() -> None:
    server = Server(None)
    with pytest.raises(ParamsError, match="not a supported control mode: other"):
        server.autoscaler({"other": "1"}).poll()
    assert [(method, body["data"]) for method, _, body in server.writes] == [("POST", {"other": "1"})]


@pytest.mark.parametrize("error", [RequestError("503"), requests.ConnectionError("reset")])
def test_a_config_map_that_cannot_be_read_is_taken_for_missing(error: Exception) -> None:
    server = Server({"linear": COMPACT})
    server.fails = {("GET", MAP): error, ("POST", MAP.rpartition("/")[0]): RequestError("409 AlreadyExists")}
    with pytest.raises(type(error)):
        server.autoscaler().poll()
    with pytest.raises(RequestError, match="409 AlreadyExists"):
        server.autoscaler(default_data(DEFAULT)).poll()
    assert server.writes == []


def test_a_missing_config_map_without_default_parameters_scales_nothing() -> None:
    server = Server(None)
    with pytest.raises(RequestError, match="404"):
        server.autoscaler().poll()
    assert server.writes == []


def test_a_second_key_stops_it_and_taking_it_away_starts_it_again() -> None:
    server = Server({"linear": COMPACT}, replicas=2)
    autoscaler = server.autoscaler()
    autoscaler.poll()
    server.objects["/api/v1/nodes"] = {"items": [node() for _ in range(6)]}
    server.edit({"linear": COMPACT, "ladder": "{}"})
    for _ in range(2):
        with pytest.raises(ParamsError, match="expected only one entry"):
            autoscaler.poll()
    assert server.writes == []
    server.edit({"linear": COMPACT})
    autoscaler.poll()
    assert server.writes == [put(3)]


def test_an_unchanged_config_map_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[dict[str, str]] = []

    def parse(data: dict[str, str]) -> Params:
        parsed.append(data)
        return parse_params(data)

    monkeypatch.setattr(cpa, "parse_params", parse)
    server = Server({"linear": COMPACT})
    autoscaler = server.autoscaler()
    autoscaler.poll()
    autoscaler.poll()
    assert parsed == [{"linear": COMPACT}]
    ladder = {"ladder": '{"nodesToReplicas":[[0,0],[6,1]]}'}
    server.edit(ladder)
    autoscaler.poll()
    assert parsed == [{"linear": COMPACT}, ladder]
    assert server.writes == [put(2), put(0)], "the mode may change, and a ladder may scale to zero"


@pytest.mark.parametrize("request_", [("GET", "/api/v1/nodes"), ("GET", SCALE), ("PUT", SCALE)])
def test_a_refused_request_ends_the_poll_and_not_the_next(request_: tuple[str, str]) -> None:
    server = Server({"linear": COMPACT})
    autoscaler = server.autoscaler()
    server.fails = {request_: RequestError("409 Conflict")}
    with pytest.raises(RequestError, match="409 Conflict"):
        autoscaler.poll()
    assert server.replicas == 3
    server.fails = {}
    autoscaler.poll()
    assert server.replicas == 2


# As a process


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A kubeconfig of an API server that does not answer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        server = f"http://127.0.0.1:{probe.getsockname()[1]}"
    file = tmp_path / "kubeconfig"
    config = {
        "clusters": [{"name": "nowhere", "cluster": {"server": server}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "nowhere", "context": {"cluster": "nowhere", "user": "nobody"}}],
        "current-context": "nowhere",
    }
    file.write_text(json.dumps(config))
    return file


def lines(log: Path, text: str) -> int:
    """How many lines of a log have this text."""
    return sum(text in line for line in log.read_text().splitlines())


def wait(probe: Callable[[], bool], timeout: float = 20) -> None:
    end = time.monotonic() + timeout
    while not probe():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_without_an_api_server_it_polls_on_and_ends_when_told_to(nowhere: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running(nowhere, "dns", "params", "deployment/coredns", poll_seconds=0.1, log=log) as process:
        wait(lambda: lines(log, "nothing is scaled") >= 3)
        began = time.monotonic()
    assert process.returncode == -signal.SIGTERM
    assert time.monotonic() - began < 2


def test_a_failing_body_ends_it_too_and_is_told_its_log(nowhere: Path, tmp_path: Path) -> None:
    log, started = tmp_path / "log", []

    def body() -> None:
        with running(nowhere, "dns", "params", "deployment/coredns", log=log) as process:
            started.append(process)
            wait(lambda: lines(log, "nothing is scaled") >= 1)
            process.send_signal(signal.SIGSTOP)
            raise RuntimeError("the body")

    with pytest.raises(RuntimeError, match="the body") as caught:
        body()
    assert [process.returncode for process in started] == [-signal.SIGTERM]
    assert ["nothing is scaled" in note for note in caught.value.__notes__] == [True]


def test_one_that_cannot_start_fails_the_test(nowhere: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="ended by itself") as caught,
        running(nowhere, "dns", "params", "daemonset/a", log=tmp_path / "log") as process,
    ):
        process.wait(20)
    assert "target format error: daemonset/a" in str(caught.value)


def test_without_its_parent_it_ends(nowhere: Path) -> None:
    flags = [
        "--namespace=dns",
        "--configmap=params",
        "--target=deployment/coredns",
        f"--parent={os.getpid()}",
    ]
    assert cpa.main([f"--kubeconfig={nowhere}", *flags]) == 0


# In a cluster


def owned(body: Body) -> list[tuple[str, str, Body]]:
    """(operation, subresource, fields) of the stand-in's entries in managedFields."""
    return [
        (one["operation"], one.get("subresource", ""), one["fieldsV1"])
        for one in body["metadata"]["managedFields"]
        if one["manager"] == NAME
    ]


@pytest.mark.lab
def test_it_scales_a_deployment_as_the_autoscaler_does(own_lab: Callable[..., Lab], tmp_path: Path) -> None:
    lab = own_lab(nodes=6)
    namespace = lab.namespace("dns")
    log, mark = tmp_path / "log", lab.audit.mark()

    def get(kind: str, name: str) -> Body:
        options = ("-o", "json", "--show-managed-fields", "--ignore-not-found")
        found: Body = json.loads(lab.kubectl("-n", namespace, "get", kind, name, *options) or "{}")
        return found

    def replicas() -> int:
        found: int = get("deployment", "coredns")["spec"]["replicas"]
        return found

    lab.kubectl("apply", "-f", "-", input=json.dumps(workload(namespace, "coredns", replicas=3)))
    with running(lab.kubeconfig(), namespace, "params", "deployment/coredns", DEFAULT, log=log):
        lab.wait(lambda: lines(log, "stays at 3: 6 of 6 nodes count, 24 cores") >= 2, what="3 replicas")
        created = get("configmap", "params")
        assert created["data"] == {"linear": COMPACT}
        assert owned(created) == [("Update", "", {"f:data": {".": {}, "f:linear": {}}})]
        assert owned(get("deployment", "coredns")) == []

        lab.cordon("node-1")
        lab.set_ready("node-2", False)
        lab.wait(lambda: replicas() == 2, what="3 to 2 as nodes go")
        assert owned(get("deployment", "coredns")) == [("Update", "scale", {"f:spec": {"f:replicas": {}}})]

        patch = json.dumps({"data": {"ladder": '{"nodesToReplicas":[[0,0]]}'}})
        lab.kubectl("-n", namespace, "patch", "configmap", "params", "--type=merge", "-p", patch)
        lab.uncordon("node-1")
        lab.set_ready("node-2", True)
        before = lines(log, "expected only one entry")
        lab.wait(lambda: lines(log, "expected only one entry") >= before + 3, what="polls with two keys")
        assert replicas() == 2

        lab.kubectl("-n", namespace, "delete", "configmap", "params")
        lab.wait(lambda: replicas() == 3, what="scaled by a ConfigMap that is created again")
        assert get("configmap", "params")["data"] == {"linear": COMPACT}

    writes = lab.audit.writes(since=mark, user_agent=NAME)
    assert [(one.verb, one.resource, one.subresource, one.name, one.code) for one in writes] == [
        ("create", "configmaps", "", "params", 201),
        ("update", "deployments", "scale", "coredns", 200),
        ("create", "configmaps", "", "params", 201),
        ("update", "deployments", "scale", "coredns", 200),
    ]
    assert {one.user_agent for one in writes} == {NAME}
