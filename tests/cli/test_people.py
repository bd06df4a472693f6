"""The command line as people type it, against an API server on loopback: what is said, on which stream, which code."""

import asyncio
import io
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from rich.console import Console

from resilience_operator.cli.report import grouped, rows
from resilience_operator.core.kinds import POLICY
from resilience_operator.core.state import ANNOTATION, ObjectState, Quarantine, encode
from resilience_operator.targets import KIND_BY_NAME, KINDS
from tests.support.api_server import Server, failing, kubeconfig
from tests.support.clusters import Body, cluster, policy, workload
from tests.support.views import NOW

LEASE = "/apis/coordination.k8s.io/v1/namespaces/resilience-system/leases/resilience-operator"
POLICIES = POLICY.path()


class Api(Server):
    """Lists what there is; `installed` False: our own kind is not known. `renewed`: of the Lease."""

    def __init__(self, policies: Iterable[Body] = (), objects: Iterable[Body] = ()) -> None:
        super().__init__()
        self.installed = True
        self.renewed = "2099-01-01T00:00:00.000000Z"
        self.lists: dict[str, list[Body]] = {kind.path(kind.only_in): [] for kind in KINDS}
        self.lists[POLICIES] = list(policies)
        for body in objects:
            kind = KIND_BY_NAME[body["kind"]]
            self.lists[kind.path(kind.only_in)].append(body)

    async def reply(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/version":
            return web.json_response({"major": "1", "minor": "36"})
        if request.path == LEASE:
            spec = {"renewTime": self.renewed, "holderIdentity": "one", "leaseDurationSeconds": 15}
            return web.json_response({"spec": spec})
        if request.path == POLICIES and not self.installed:
            return await failing(404)(request)
        if request.path in self.lists:
            body = {"metadata": {"resourceVersion": "9"}, "items": self.lists[request.path]}
            return web.json_response(body)
        found = [
            one for one in self.lists[POLICIES] if request.path == f"{POLICIES}/{one['metadata']['name']}"
        ]
        return web.json_response(found[0]) if found else await failing(404)(request)


async def typed(directory: Path, server: str, *words: str, **environment: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command in a pipe."""
    file = kubeconfig(directory / "config", server)
    argv = [
        sys.executable,
        "-m",
        "resilience_operator.cli.main",
        words[0],
        f"--kubeconfig={file}",
        *words[1:],
    ]
    return await ran(argv)


async def ran(argv: list[str], **environment: Any) -> tuple[int, str, str]:
    pipe = asyncio.subprocess.PIPE
    started = await asyncio.create_subprocess_exec(*argv, stdout=pipe, stderr=pipe, **environment)
    out, err = await started.communicate()
    return started.returncode or 0, out.decode(), err.decode()


LONG = "web-with-a-name-that-is-longer-than-any-column-of-a-table-may-be"
DNS: Body = {"dnsConfig": {}}


async def test_a_report_in_a_pipe_has_one_whole_line_for_each_finding(tmp_path: Path) -> None:
    async with Api([policy("p", mode="Audit", deployments=DNS)], [workload(LONG), workload("api")]) as api:
        code, out, err = await typed(tmp_path, api.url, "report")
    assert code == 1
    assert [line.split("\t")[:4] for line in out.splitlines()] == [
        ["Drifted", "dns-config", f"shop/{name}", "p"] for name in ("api", LONG)
    ]
    assert err == "kubectl resilience plan --patch prints what to commit.\n"


@pytest.mark.parametrize("command", ["report", "plan"])
async def test_a_lease_that_is_old_is_said(tmp_path: Path, command: str) -> None:
    async with Api([policy("p", mode="Audit", deployments=DNS)], [workload("web")]) as api:
        api.renewed = "2020-01-01T00:00:00.000000Z"
        _, _, err = await typed(tmp_path, api.url, command)
    assert err.startswith("The operator in namespace resilience-system has not renewed its Lease for ")
    assert " days: a policy's status is as old." in err.splitlines()[0]


@pytest.mark.parametrize("words", [("report",), ("plan",), ("plan", "p"), ("retry", "p")])
async def test_without_our_kind_a_command_says_how_to_install_it(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    async with Api() as api:
        api.installed = False
        code, out, err = await typed(tmp_path, api.url, *words)
    assert (code, out) == (2, "")
    assert err == (
        "this cluster does not know ResiliencePolicy: install it (kubectl apply -k crds), or choose another context; "
        "kubectl resilience check --cluster needs no policy\n"
    )


async def test_a_revert_of_what_nobody_knows_ends_with_2_and_says_what_there_is(tmp_path: Path) -> None:
    async with Api([policy("p", mode="Audit")]) as api:
        assert await typed(tmp_path, api.url, "revert", "nosuch") == (
            2,
            "policy nosuch holds nothing\n",
            "there is no policy nosuch, and nothing of one that is gone (there are: p)\n",
        )
        assert await typed(tmp_path, api.url, "revert", "p") == (0, "policy p holds nothing\n", "")


async def test_a_retry_counts_up_the_annotation_of_the_policy(tmp_path: Path) -> None:
    known = policy("p", deployments=DNS)
    known["metadata"]["annotations"] = {"resilience.dev/retry": "4"}
    async with Api([known]) as api:
        code, out, _ = await typed(tmp_path, api.url, "retry", "p")
        (patch,) = [one for one in api.asked if one.method == "PATCH"]
    assert (code, out) == (0, "policy p tries again what failed or was undone (resilience.dev/retry: 5)\n")
    assert (patch.path, json.loads(patch.body)) == (
        f"{POLICIES}/p",
        {"metadata": {"uid": "uid-p", "annotations": {"resilience.dev/retry": "5"}}},
    )


async def test_a_server_that_is_down_is_named_in_words(tmp_path: Path) -> None:
    code, _, err = await typed(tmp_path, "https://127.0.0.1:9", "report")
    assert code == 2
    assert "https://127.0.0.1:9 cannot be reached (" in err
    assert "SSLContext" not in err


async def test_no_kubeconfig_is_said_with_the_ways_to_give_one(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "resilience_operator.cli.main", "report"]
    paths = {"PYTHONPATH": ":".join(filter(None, sys.path)), "HOME": str(tmp_path)}
    code, _, err = await ran(argv, env=paths, cwd=tmp_path)
    assert (code, err.partition(":")[0]) == (2, "There is no kubeconfig")
    assert err.endswith("give --kubeconfig, set KUBECONFIG or write ~/.kube/config (and this is no pod)\n")
    code, _, err = await ran([*argv, f"--kubeconfig={tmp_path}/nosuch"], env=paths, cwd=tmp_path)
    assert (code, "nosuch cannot be used: it is not there. Give another one" in err) == (2, True)


async def test_a_credential_plugin_that_is_not_installed_is_named(tmp_path: Path) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin", "args": []}
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": {"exec": plugin}}],
    }
    file = tmp_path / "config"
    file.write_text(json.dumps(body))
    argv = [sys.executable, "-m", "resilience_operator.cli.main", "report", f"--kubeconfig={file}"]
    code, _, err = await ran(argv)
    assert code == 2
    assert err == (
        f"The kubeconfig {file} cannot be used: its credential plugin no-such-plugin is not installed: install it, or "
        "put its folder on the PATH. Give another one with --kubeconfig and --context.\n"
    )


async def test_a_reader_that_has_enough_changes_no_exit_code(tmp_path: Path) -> None:
    names = [f"web-{number}" for number in range(400)]
    bodies = [workload(name) for name in names]
    (tmp_path / "all.yaml").write_text("\n---\n".join(map(json.dumps, bodies)))
    checking = f"{sys.executable} -m resilience_operator.cli.main check {tmp_path}/all.yaml"
    command = f"{checking} | head -1; exit ${{PIPESTATUS[0]}}"
    code, out, err = await ran(["bash", "-c", command])
    assert (code, len(out.splitlines()), err) == (1, 1, "")


async def test_a_plan_shows_what_waits_of_a_suspended_policy(tmp_path: Path) -> None:
    rollouts = [workload(f"web-{number}") for number in range(4)]
    async with Api([policy("p", suspend=True, deployments=DNS)], rollouts) as api:
        code, out, _ = await typed(tmp_path, api.url, "plan")
    assert code == 0
    told = out.splitlines()
    assert told[:2] == [
        "All policies: 4 Deployments change, 12 pods restart, at most 1 at once.",
        "4 rollouts, one at a time, about 11 min, windows not counted.",
    ]
    assert told[-1] == "       1 to 4: policy p is suspended"
    assert sum("suspended" in line for line in told) == 1


async def test_a_retry_of_one_object_takes_its_quarantine_out_of_our_state_and_nothing_else(
    tmp_path: Path,
) -> None:
    quarantine = Quarantine("RolloutFailed", "its rollout failed", NOW, {"uid-p": "d"}, 2, ("dns-config",))
    state = ObjectState(uid="d-web", quarantines=(quarantine,), names={"uid-p": "p"})
    web = workload("web", meta={"annotations": {ANNOTATION: encode(state)}})
    async with Api([policy("p", deployments=DNS)], [web, workload("api")]) as api:
        refused = await typed(tmp_path, api.url, "retry", "p", "shop/api")
        await typed(tmp_path, api.url, "retry", "p", "shop/web")
        (patch,) = [one for one in api.asked if one.method == "PATCH"]
    assert refused == (
        2,
        "",
        "shop/api bears no quarantine of that policy; after kubectl rollout undo, leave OBJECT out\n",
    )
    assert patch.path.endswith("/namespaces/shop/deployments/web")
    assert json.loads(patch.body)[-1] == {
        "op": "remove",
        "path": "/metadata/annotations/resilience.dev~1state",
    }


def test_on_a_terminal_findings_are_grouped_by_object_and_folded_at_its_width() -> None:
    found = cluster(
        [policy("p", mode="Audit", deployments={"dnsConfig": {}, "replicas": {"min": 9}})], [workload("web")]
    )
    out = io.StringIO()
    grouped(rows(found, ""), Console(file=out, width=40, markup=False, highlight=False))
    lines = out.getvalue().splitlines()
    assert lines[0].rstrip() == "shop/web"
    assert "".join(lines[-2:]) == "2 findings on 1 object: dns-config 1, replicas 1"
    assert all(len(line) <= 40 for line in lines)
    assert len([line for line in lines if line.startswith("  Drifted")]) == 2
