"""The host: flags, health, supervision, the pause switch, the feed of policies, and the program's life and end."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from resilience_operator import __version__
from resilience_operator.api.health import Endpoints, Health, address
from resilience_operator.api.metrics import Metrics
from resilience_operator.api.pacing import Backoff
from resilience_operator.api.pause import PauseSwitch
from resilience_operator.api.policies import PolicyFeed
from resilience_operator.core.errors import ApiError, ConfigurationError, Unreachable
from resilience_operator.run import flags
from resilience_operator.run.host import main
from resilience_operator.run.logs import JsonFormatter, Repeats
from resilience_operator.run.services import Settings
from resilience_operator.run.supervision import Tasks
from tests.lab import Lab
from tests.support import ROOT
from tests.support.fake_api import FakeApi
from tests.support.fake_time import FakeTime, settle
from tests.support.served import serve_policies

# Flags


def test_without_flags_the_published_defaults_hold() -> None:
    chosen = flags.parse(["run"])
    assert chosen == Settings(
        kubeconfig="",
        context="",
        namespace="resilience-system",
        identity=chosen.identity,
        metrics_bind=":8080",
        health_bind=":8081",
        max_rollouts=1,
        max_unhealthy_percent=20,
        max_restarting_percent=5,
        policy_selector="",
        lease_duration=15.0,
        request_timeout=10.0,
        resync=300.0,
        stall_timeout=90.0,
        contest_window=600.0,
        contest_backoff=600.0,
        api_qps=50.0,
        api_burst=100,
        log_format="text",
        log_level="info",
    )


def test_every_flag_is_read() -> None:
    given = {
        "kubeconfig": "/etc/k",
        "context": "c",
        "namespace": "n",
        "identity": "i",
        "metrics-bind": "127.0.0.1:1",
        "health-bind": "[::1]:2",
        "max-rollouts": "3",
        "max-unhealthy-percent": "4",
        "max-restarting-percent": "13",
        "policy-selector": "team in (a,b)",
        "lease-duration": "5.5",
        "request-timeout": "6",
        "resync": "7",
        "stall-timeout": "8",
        "contest-window": "9",
        "contest-backoff": "10",
        "api-qps": "11",
        "api-burst": "12",
        "log-format": "json",
        "log-level": "debug",
    }
    chosen = flags.parse(["run", *(f"--{name}={value}" for name, value in given.items())])
    assert chosen == Settings(
        "/etc/k", "c", "n", "i", "127.0.0.1:1", "[::1]:2", 3, 4, "team in (a,b)", 5.5, 6, 7, 8, 9, 10, 11, 12,
        "json", "debug", max_restarting_percent=13,
    )  # fmt: skip


def test_two_replicas_are_never_the_same_holder() -> None:
    first, second = flags.parse(["run"]).identity, flags.parse(["run"]).identity
    assert first != second
    assert first.rpartition("_")[0] == second.rpartition("_")[0] != ""


def test_the_home_is_the_namespace_of_the_service_account(tmp_path: Path) -> None:
    file = tmp_path / "namespace"
    assert flags.home_namespace(file) == "resilience-system"
    file.write_text("ops\n")
    assert flags.home_namespace(file) == "ops"


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("--lease-duration=0", "must be above 0, not 0"),
        ("--resync=nan", "must be above 0, not nan"),
        ("--max-rollouts=0", "must be at least 1, not 0"),
        ("--policy-selector=team in (a", "'team in (a' is no label selector: write it as for kubectl -l"),
        ("--policy-selector=a=b,", "is no label selector"),
        ("--max-unhealthy-percent=101", "must be from 0 to 100, not 101"),
        ("--api-burst=0", "must be at least 1, not 0"),
        ("--metrics-bind=8080x", "an address to listen on is written [HOST]:PORT, not '8080x'"),
        ("--log-format=xml", "invalid choice: 'xml'"),
        ("--log-level=loud", "invalid choice: 'loud'"),
        ("--resink=1", "unrecognized arguments: --resink=1"),
    ],
)
def test_a_wrong_flag_ends_the_program_with_a_sentence(
    argument: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        flags.parse(["run", argument])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"resilience-operator {__version__}\n")


def test_a_kubeconfig_that_is_not_there_ends_the_program_with_a_sentence(tmp_path: Path) -> None:
    argv = ["run", f"--kubeconfig={tmp_path}/none", "--metrics-bind=0", "--health-bind=0"]
    command = [sys.executable, "-m", "resilience_operator.run.host", *argv]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 2
    assert f"{tmp_path}/none" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_log_line_in_json_is_one_object_a_line() -> None:
    record = logging.LogRecord("a.b", logging.WARNING, "f", 1, "two\nlines of %s", ("x",), None)
    record.created = 1795334400.5
    assert json.loads(JsonFormatter().format(record)) == {
        "time": "2026-11-22T08:00:00.500+00:00",
        "level": "warning",
        "logger": "a.b",
        "message": "two\nlines of x",
    }
    assert "\n" not in JsonFormatter().format(record)


def test_a_log_line_has_what_it_is_about_as_fields() -> None:
    record = logging.LogRecord("a.b", logging.INFO, "f", 1, "apply", (), None)
    record.object, record.policies, record.rules = "Deployment shop/web", ["p"], ["r"]
    line = json.loads(JsonFormatter().format(record))
    assert (line["object"], line["policies"], line["rules"]) == ("Deployment shop/web", ["p"], ["r"])


def test_what_fails_again_and_again_is_said_at_once_and_then_once_a_minute() -> None:
    now = 0.0
    repeats = Repeats(lambda: now)

    def passed(level: int, what: str, wait: float) -> bool:
        words = (what, wait)
        return repeats.filter(logging.LogRecord("a", level, "f", 1, "%s waits %.1f s", words, None))

    said = []
    for number in range(12):
        now = 11.0 * number
        said.append(
            (passed(logging.WARNING, "the Lease", number / 7), passed(logging.INFO, "the Lease", 0.5))
        )
    assert [loud for loud, _ in said] == [number in (0, 6) for number in range(12)]
    assert all(quiet for _, quiet in said)
    assert passed(logging.WARNING, "a list", 0.5), "another warning is another"


# Health


@pytest.mark.parametrize(
    ("bind", "expected"),
    [(":8080", (None, 8080)), ("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:80", ("::1", 80))],
)
def test_an_address_has_a_host_and_a_port(bind: str, expected: tuple[str | None, int]) -> None:
    assert address(bind) == expected


async def test_the_probes_say_why_and_metrics_are_served_beside_them() -> None:
    broken: list[str] = []
    unready: list[str] = ["pods is stale"]
    endpoints = Endpoints(
        Health(lambda: tuple(broken), lambda: tuple(unready)), lambda: b"resilience_leader 1.0\n"
    )
    bind = f"127.0.0.1:{_free_port()}"
    await endpoints.start(bind, bind)
    try:
        assert await _ask(bind, "/healthz") == (200, "ok\n")
        assert await _ask(bind, "/readyz") == (503, "pods is stale\n")
        assert await _ask(bind, "/metrics") == (200, "resilience_leader 1.0\n")
        broken.append("the task lease has ended")
        unready.clear()
        assert await _ask(bind, "/healthz") == (500, "the task lease has ended\n")
        assert await _ask(bind, "/readyz") == (200, "ok\n")
    finally:
        await endpoints.close()


async def test_an_address_in_use_is_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        endpoints = Endpoints(Health(lambda: (), lambda: ()), lambda: b"")
        with pytest.raises(ConfigurationError, match=f"cannot listen on {bind}"):
            await endpoints.start("0", bind)
        await endpoints.close()


def test_the_metrics_are_those_of_the_contract() -> None:
    metrics = Metrics()
    metrics.findings("production", {("spread", "Drifted"): 3})
    metrics.findings("production", {("dns-config", "Pending"): 1})
    metrics.remediated("production", "spread", "Applied")
    metrics.evaluated(0.02)
    metrics.watch("Pod", lambda: 1.5, lambda: 30)
    metrics.queue_depth(4)
    metrics.rollouts_in_flight(1)
    metrics.leader_is(lambda: True)
    metrics.guarded_is(lambda: True)
    metrics.requested("patch", "deployments", "200")
    metrics.event_dropped()
    metrics.pass_failed()
    metrics.paused_is(lambda: False)
    metrics.passed(1795334400.0)
    metrics.policy("production", "Enforce", suspended=False, conditions={"Ready": "True"})
    lines = metrics.exposition().decode().splitlines()
    ours = [line for line in lines if line.startswith("resilience_") and "_bucket" not in line]
    samples = [line for line in ours if not line.startswith("resilience_build_info")]
    assert samples == [
        'resilience_findings{policy="production",rule="dns-config",state="Pending"} 1.0',
        'resilience_remediations_total{policy="production",result="Applied",rule="spread"} 1.0',
        "resilience_evaluation_seconds_count 1.0",
        "resilience_evaluation_seconds_sum 0.02",
        'resilience_watch_age_seconds{kind="Pod"} 1.5',
        'resilience_watch_objects{kind="Pod"} 30.0',
        "resilience_queue_depth 4.0",
        "resilience_rollouts_in_flight 1.0",
        "resilience_leader 1.0",
        "resilience_pass_failures_total 1.0",
        "resilience_guarded 1.0",
        'resilience_api_requests_total{code="200",resource="deployments",verb="patch"} 1.0',
        "resilience_events_dropped_total 1.0",
        'resilience_policy_condition{policy="production",status="True",type="Ready"} 1.0',
        'resilience_policy_condition{policy="production",status="False",type="Ready"} 0.0',
        'resilience_policy_condition{policy="production",status="Unknown",type="Ready"} 0.0',
        'resilience_policy_info{mode="Enforce",policy="production",suspended="false"} 1.0',
        "resilience_paused 0.0",
        "resilience_last_pass_timestamp_seconds 1.7953344e+09",
    ]


# Supervision


async def test_a_task_that_fails_is_run_again_and_others_do_not_notice() -> None:
    runs: list[str] = []
    tasks = Tasks(lambda: Backoff(first=0.01))

    async def failing() -> None:
        runs.append("failing")
        raise RuntimeError("a fault of the program")

    async def ending() -> None:
        runs.append("ending")

    async def steady() -> None:
        runs.append("steady")
        await asyncio.Event().wait()

    for task in (failing, ending, steady):
        tasks.start(task.__name__, task)
    await asyncio.sleep(0.2)
    assert min(runs.count("failing"), runs.count("ending")) >= 2
    assert (runs.count("steady"), tasks.ended()) == (1, ())
    await tasks.stop()


async def test_a_task_that_nothing_runs_any_more_is_named() -> None:
    tasks = Tasks()

    async def over() -> None:
        raise asyncio.CancelledError

    tasks.start("lease", over)
    await settle()
    assert tasks.ended() == ("lease",)


# The pause switch


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([{"data": {"pause": "true"}}], [True]),
        ([{"data": {"pause": " True "}}], [True]),
        ([{"data": {"pause": "yes, please"}}], [True]),
        ([{"data": {"pause": "false"}}], [False]),
        ([{"data": {}}], [False]),
        ([{}], [False]),
        ([ApiError(404, "NotFound", "not found")], [False]),
        ([Unreachable("refused")], [True]),
        ([ApiError(403, "Forbidden", "no")], [True]),
        ([{}, Unreachable("refused"), {"data": {"pause": "true"}}], [False, False, True]),
        ([{"data": {"pause": "true"}}, ApiError(500, "", "etcd"), {}], [True, True, False]),
    ],
)
async def test_doubt_stops_and_what_cannot_be_read_is_as_it_was(
    answers: list[Any], expected: list[bool]
) -> None:
    left = list(answers)
    changes: list[bool] = []

    def answer(path: str, params: Mapping[str, str]) -> Any:
        assert path == "/api/v1/namespaces/home/configmaps/resilience-operator"
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return {"metadata": {"name": "resilience-operator", "resourceVersion": "7"}, **found}

    switch = PauseSwitch(FakeApi(answer), "home", lambda: changes.append(switch.paused()))
    assert switch.paused()
    seen = []
    for _ in answers:
        await switch.look()
        seen.append(switch.paused())
    assert seen == expected


# The feed of policies


def policy(name: str, version: int, uid: str = "") -> dict[str, Any]:
    meta = {
        "name": name,
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(version),
        "labels": {"team": "a"},
    }
    return {"metadata": meta}


class Sink:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def policy_changed(self, raw: dict[str, Any], deleted: bool) -> None:
        self.told.append((raw["metadata"]["name"], int(raw["metadata"]["resourceVersion"]), deleted))

    def policies_replaced(self, raws: list[dict[str, Any]]) -> None:
        self.told.append([raw["metadata"]["name"] for raw in raws])

    def policies_outside(self, raws: list[dict[str, Any]]) -> None:
        if raws:
            self.told.append({raw["metadata"]["name"] for raw in raws})


class Feed:
    """A feed under fake time; `there` is what the API server has, `during` is called within a list."""

    def __init__(self, *there: dict[str, Any]) -> None:
        self.there = list(there)
        self.during: Callable[[], None] = lambda: None
        self.failures: list[Exception] = []
        self.time, self.sink = FakeTime(), Sink()
        self.api = FakeApi(self._answer)
        self.feed = PolicyFeed(self.api, self.sink, selector="team=a", resync=300, clock=self.time.clock())
        self.task = asyncio.create_task(self.feed.run())

    def _answer(self, path: str, params: Mapping[str, str]) -> Any:
        if self.failures:
            raise self.failures.pop(0)
        start = int(params.get("continue", 0))
        page = self.there[start : start + 2]
        self.during()
        more = str(start + 2) if start + 2 < len(self.there) else ""
        return {"metadata": {"continue": more}, "items": page}

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_policies_are_listed_in_pages_at_the_start_and_at_every_resync() -> None:
    feed = Feed(policy("a", 1), policy("b", 2), policy("c", 3))
    assert not feed.feed.listed
    await feed.time.advance(0)
    assert (feed.feed.listed, feed.sink.told) == (True, [["a", "b", "c"]])
    first = {"limit": "500"}
    path = "/apis/resilience.dev/v1alpha1/resiliencepolicies"
    assert feed.api.asked == [(path, first), (path, first | {"continue": "2"})]
    feed.there = [policy("a", 1)]
    await feed.time.advance(299)
    assert len(feed.sink.told) == 1
    await feed.time.advance(2)
    assert feed.sink.told[1:] == [["a"]]
    await feed.stop()


async def test_a_policy_that_leaves_the_selector_is_told_of_as_outside_within_two_seconds() -> None:
    feed = Feed(policy("a", 1), policy("b", 2))
    await feed.time.advance(10)
    feed.there[1]["metadata"] |= {"labels": {"team": "b"}, "resourceVersion": "3"}
    feed.feed.event("DELETED", policy("b", 3))
    await feed.time.advance(2)
    assert feed.sink.told == [["a", "b"], ("b", 3, True), ["a"], {"b"}]
    await feed.stop()


async def test_an_event_that_is_older_than_what_is_known_is_not_told() -> None:
    feed = Feed(policy("a", 5))
    await feed.time.advance(0)
    for kind, version in (
        ("MODIFIED", 4),
        ("MODIFIED", 5),
        ("MODIFIED", 7),
        ("MODIFIED", 6),
        ("DELETED", 8),
        ("MODIFIED", 7),
    ):
        feed.feed.event(kind, policy("a", version))
    feed.feed.event("ADDED", policy("a", 9, uid="another"))
    assert feed.sink.told[1:] == [("a", 7, False), ("a", 8, True), ("a", 9, False)]
    await feed.stop()


async def test_what_is_made_while_a_list_is_read_is_not_lost() -> None:
    feed = Feed(policy("a", 1))

    def made() -> None:
        feed.during = lambda: None
        feed.there = [policy("a", 1), policy("b", 2)]
        feed.feed.event("ADDED", policy("b", 2))

    feed.during = made
    await feed.time.advance(0)
    assert feed.sink.told == [("b", 2, False), ["a", "b"]]
    await feed.stop()


async def test_after_a_list_of_kopfs_own_ours_is_read_again_within_two_seconds() -> None:
    feed = Feed(policy("a", 1), policy("b", 2))
    await feed.time.advance(10)
    feed.there = [policy("a", 1)]
    feed.feed.event(None, policy("a", 1))
    await feed.time.advance(2)
    assert feed.sink.told == [["a", "b"], ["a"]]
    await feed.stop()


async def test_a_list_that_fails_is_read_again_and_what_is_known_stays() -> None:
    feed = Feed(policy("a", 1), policy("b", 2), policy("c", 3))
    feed.failures = [Unreachable("refused"), ApiError(404, "NotFound", "the kind is not served")]
    await feed.time.advance(0)
    assert (feed.feed.listed, feed.sink.told) == (False, [])
    await feed.time.advance(10)
    assert (feed.feed.listed, feed.sink.told) == (True, [["a", "b", "c"]])
    await feed.stop()


# The program


@pytest.mark.lab
def test_the_program_is_ready_leads_and_ends_in_order(lab: Lab, namespace: str) -> None:
    serve_policies(lab)
    with Program(lab, namespace) as program:
        lab.wait(lambda: program.get("/readyz") == (200, "ok\n"), timeout=60, what="readiness")
        lab.wait(lambda: "resilience_leader 1.0" in program.get("/metrics")[1], what="leadership")
        assert program.get("/healthz") == (200, "ok\n")
        holder = "jsonpath={.spec.holderIdentity}"
        lease = ("get", "lease", "resilience-operator", "-n", namespace, "-o", holder)
        assert lab.kubectl(*lease) == "me"
        started = time.monotonic()
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(timeout=15) == 0
        assert time.monotonic() - started < 10
        assert lab.kubectl(*lease) == ""


@pytest.mark.lab
def test_the_second_signal_ends_it_at_once(lab: Lab, namespace: str) -> None:
    serve_policies(lab)
    with Program(lab, namespace) as program:
        lab.wait(lambda: program.get("/readyz") == (200, "ok\n"), timeout=60, what="readiness")
        # A process that stands still cannot end in order before both are there.
        os.kill(program.process.pid, signal.SIGSTOP)
        program.process.send_signal(signal.SIGTERM)
        program.process.send_signal(signal.SIGINT)
        os.kill(program.process.pid, signal.SIGCONT)
        assert program.process.wait(timeout=5) in (128 + signal.SIGINT, 128 + signal.SIGTERM)


@pytest.mark.lab
@pytest.mark.slow
def test_an_outage_of_the_api_server_makes_it_unready_and_never_unhealthy(
    own_lab: Callable[..., Lab],
) -> None:
    lab = own_lab(nodes=1)
    serve_policies(lab)
    namespace = lab.namespace()
    with Program(lab, namespace, "--stall-timeout=15") as program:
        lab.wait(lambda: "resilience_leader 1.0" in program.get("/metrics")[1], what="leadership")
        lab.kill("kube-apiserver")
        lab.wait(lambda: "resilience_leader 0.0" in program.get("/metrics")[1], what="the Lease to be lost")
        lab.wait(lambda: program.get("/readyz")[0] == 503, timeout=120, what="unreadiness")
        code, why = program.get("/readyz")
        assert (code, "deployments is stale, or was not read yet" in why) == (503, True)
        for _ in range(20):
            assert program.get("/healthz") == (200, "ok\n")
            time.sleep(0.1)
        lab.restart("kube-apiserver")
        lab.wait(lambda: program.get("/readyz") == (200, "ok\n"), timeout=90, what="readiness again")
        lab.wait(lambda: "resilience_leader 1.0" in program.get("/metrics")[1], what="leadership again")
        assert program.process.poll() is None


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_five_minutes_in_which_nothing_happens_give_no_warning_and_no_new_list(
    own_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    lab = own_lab(nodes=1)
    for folder in ("setup", "enforce"):
        lab.kubectl("apply", "-k", str(ROOT / "manifests" / folder))
    serve_policies(lab)
    kubeconfig = lab.kubeconfig(service_account="resilience-system/resilience-operator")
    flags, log = (f"--kubeconfig={kubeconfig}", "--resync=900"), tmp_path / "log"
    with Program(lab, "resilience-system", *flags, log=log) as program:
        lab.wait(lambda: program.get("/readyz") == (200, "ok\n"), timeout=60, what="readiness")
        before = _lists(program.get("/metrics")[1])
        for _ in range(100):
            time.sleep(3)
            assert program.get("/readyz") == (200, "ok\n")
        assert _lists(program.get("/metrics")[1]) == before
    assert [line for line in log.read_text().splitlines() if " INFO " not in line] == []


@pytest.mark.lab
def test_without_an_api_server_it_waits_unready_and_ends_when_told_to(
    tmp_path: Path, lab: Lab, namespace: str
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        lab.kubeconfig().read_text().replace(lab.server, f"https://127.0.0.1:{_free_port()}")
    )
    with Program(lab, namespace, f"--kubeconfig={kubeconfig}") as program:
        lab.wait(lambda: program.get("/readyz")[0] == 503, what="unreadiness")
        assert program.get("/healthz") == (200, "ok\n")
        program.process.terminate()
        assert program.process.wait(timeout=10) == 0


class Program:
    """`resilience-operator run` as a process, asked over HTTP."""

    def __init__(self, lab: Lab, namespace: str, *more: str, log: Path = Path(os.devnull)) -> None:
        self.bind = f"127.0.0.1:{_free_port()}"
        argv = [
            f"--kubeconfig={lab.kubeconfig()}",
            f"--namespace={namespace}",
            "--identity=me",
            "--lease-duration=2",
            "--request-timeout=1",
            f"--metrics-bind={self.bind}",
            f"--health-bind={self.bind}",
            "--policy-selector=test.resilience.dev/name=none",
            *more,
        ]
        command = [sys.executable, "-m", "resilience_operator.run.host", "run", *argv]
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(command, stderr=stderr)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; (0, "") where nobody listens yet."""
        try:
            with urllib.request.urlopen(f"http://{self.bind}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def _lists(metrics: str) -> list[str]:
    """What was listed, and how often, by what /metrics say."""
    name = "resilience_api_requests_total{"
    lines = [line for line in metrics.splitlines() if line.startswith(name) and 'verb="list"' in line]
    return sorted(line for line in lines if 'code="200"' in line)


async def _ask(bind: str, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://{bind}{path}") as answer:
        return answer.status, await answer.text()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
