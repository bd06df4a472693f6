"""What a command is about (-n, -l, --rule), and what a user with rights in one namespace alone sees."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from aiohttp import web

from resilience_operator.cli.cluster import NO_RIGHT
from resilience_operator.core.kinds import NAMESPACE, POLICY
from resilience_operator.targets import KIND_BY_NAME
from tests.cli.test_people import DNS, Api, typed
from tests.support.api_server import failing
from tests.support.clusters import Body, hpa, policy, thing, workload

BODIES = [
    workload("web", meta={"labels": {"team": "a"}}),
    workload("api", meta={"labels": {"team": "b"}}),
    workload("bill", namespace="pay", meta={"labels": {"team": "a"}}),
    *(thing("Namespace", name, namespace="") for name in ("shop", "pay")),
]
POLICIES = [policy("p", mode="Audit", deployments={"dnsConfig": {}, "resources": {}})]


class Shared(Api):
    """Answers lists of one namespace too. `tenant`: the one namespace that may be read, "" for all; `hidden`: kinds."""

    def __init__(self, policies: Iterable[Body] = (), objects: Iterable[Body] = (), tenant: str = "") -> None:
        super().__init__(policies, objects)
        self.tenant = tenant
        self.hidden: set[str] = set()
        self.may_read_policies = True

    async def reply(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path == POLICY.path() and not self.may_read_policies:
            return await failing(403)(request)
        if (
            path.startswith("/api/v1/namespaces/")
            and path.count("/") == 4
            and not self.hidden & {"Namespace"}
        ):
            found = [
                one for one in self.lists[NAMESPACE.path()] if path.endswith(f"/{one['metadata']['name']}")
            ]
            return web.json_response(found[0]) if found else await failing(404)(request)
        for name, kind in KIND_BY_NAME.items():
            whole = kind.path(kind.only_in)
            if path == whole and self.tenant:
                return await failing(403)(request)
            for namespace in ("shop", "pay", "shpo"):
                if path == kind.path(namespace) != whole:
                    if name in self.hidden or self.tenant not in ("", namespace):
                        return await failing(403)(request)
                    items = [
                        one for one in self.lists[whole] if one["metadata"].get("namespace") == namespace
                    ]
                    return web.json_response({"metadata": {"resourceVersion": "9"}, "items": items})
        return await super().reply(request)


def findings(out: str) -> list[str]:
    """rule and object of each finding of `check` or `report`, as JSON has them."""
    body = json.loads(out)
    assert body["version"] == 1
    return [f"{one['rule']} {one['object']['namespace']}/{one['object']['name']}" for one in body["findings"]]


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ((), ["shop/api", "pay/bill", "shop/web"]),
        (("-A",), ["shop/api", "pay/bill", "shop/web"]),
        (("-n", "shop"), ["shop/api", "shop/web"]),
        (("-l", "team=a"), ["pay/bill", "shop/web"]),
        (("-n", "shop", "-l", "team=a"), ["shop/web"]),
    ],
)
@pytest.mark.parametrize("command", [("check", "--cluster"), ("report",)])
async def test_namespace_labels_and_rule_say_what_a_command_is_about(
    tmp_path: Path, command: tuple[str, ...], flags: tuple[str, ...], found: list[str]
) -> None:
    async with Shared(POLICIES, BODIES) as api:
        code, out, _ = await typed(tmp_path, api.url, *command, *flags, "--rule=dns-config", "-o", "json")
    assert (code, sorted(findings(out))) == (1, sorted(f"dns-config {name}" for name in found))


async def test_a_plan_shows_what_is_asked_about_and_counts_what_is_not(tmp_path: Path) -> None:
    async with Shared([policy("p", deployments=DNS)], BODIES) as api:
        _, out, _ = await typed(tmp_path, api.url, "plan", "-n", "shop", "-o", "json")
        _, patches, _ = await typed(tmp_path, api.url, "plan", "--patch", "-n", "pay", "-o", "json")
    steps = [(one["name"], one["waits"]) for one in json.loads(out)["steps"]]
    assert steps == [
        ("api", "waits for a slot: 1 of 1 rollouts of the operator run (pay/bill is one)"),
        ("web", "waits for a slot: 1 of 1 rollouts of the operator run (pay/bill is one)"),
    ]
    assert json.loads(patches)["patches"] == []


@pytest.mark.parametrize("command", [("check", "--cluster"), ("report",), ("plan", "p")])
async def test_rights_in_one_namespace_are_enough_for_it(tmp_path: Path, command: tuple[str, ...]) -> None:
    async with Shared(POLICIES, [*BODIES, hpa("web")], tenant="shop") as api:
        code, out, err = await typed(tmp_path, api.url, *command, "-n", "shop", "-o", "json")
        without = await typed(tmp_path, api.url, *command)
    assert (code, "shop" in out, "pay" in out) == (0 if command[0] == "plan" else 1, True, False)
    assert "May not be read, so that nothing is said that depends on it: " in err
    assert "Node" in err
    assert ("Only namespace shop may be read: what rolls out elsewhere is not known." in err) == (
        command != ("check", "--cluster")
    )
    assert (without[0], without[1]) == (2, "")
    assert without[2].endswith("; with rights in one namespace alone, say -n NAMESPACE\n")


async def test_what_may_not_be_read_is_not_taken_for_empty(tmp_path: Path) -> None:
    """hostPort is reported only, for a number of nodes that is not known: not for one of nought."""
    port = {"ports": [{"containerPort": 80, "hostPort": 80}]}
    bodies = [workload("web", container=port), thing("Namespace", "shop", namespace="")]
    async with Shared([policy("p", deployments=DNS)], bodies, tenant="shop") as api:
        _, out, _ = await typed(tmp_path, api.url, "report", "-n", "shop")
    assert "on a number of nodes that is not known: a new pod may find no free node" in out


async def test_a_right_that_is_missing_in_the_namespace_itself_is_said(tmp_path: Path) -> None:
    async with Shared(POLICIES, BODIES, tenant="shop") as api:
        api.hidden = {"Pod"}
        code, out, err = await typed(tmp_path, api.url, "check", "--cluster", "-n", "shop")
    assert (code, out) == (2, "")
    assert err.endswith("(grant the right to this user, or choose another context)\n")


@pytest.mark.parametrize("command", ["report", "plan"])
async def test_without_the_right_to_read_policies_it_is_said_what_to_bind_and_what_needs_none(
    tmp_path: Path, command: str
) -> None:
    async with Shared(POLICIES, BODIES, tenant="shop") as api:
        api.may_read_policies = False
        assert await typed(tmp_path, api.url, command, "-n", "shop") == (
            2,
            "",
            f"{NO_RIGHT}\n",
        )


async def test_a_namespace_that_is_not_there_is_said_with_the_one_that_may_be_meant(tmp_path: Path) -> None:
    async with Shared(POLICIES, BODIES) as api:
        ended = await typed(tmp_path, api.url, "check", "--cluster", "-n", "shpo")
        assert ended == (2, "", "there is no namespace 'shpo'; did you mean shop?\n")


async def test_flags_of_a_cluster_are_refused_for_files(tmp_path: Path) -> None:
    code, _, err = await typed(tmp_path, "http://127.0.0.1:9", "check", str(tmp_path), "-n", "shop")
    assert (code, err) == (2, "-n, -A and -l are for --cluster; of files, leave out with --exclude\n")
