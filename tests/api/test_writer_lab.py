"""What the API server answers to a write, and what the writer makes of it: each row on a real Deployment."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from resilience_operator.api.session import Session
from resilience_operator.api.write import (
    Failed,
    Forbidden,
    Gone,
    NotLeading,
    Refused,
    Stale,
    Writer,
    Written,
)
from resilience_operator.core.errors import ApiError, NotLeader, Unreachable
from resilience_operator.core.kinds import DEPLOYMENT, Kind
from resilience_operator.core.refs import ObjectRef
from resilience_operator.engine.patch import preconditions
from resilience_operator.engine.withdrawal import let_go
from tests.lab import Lab

pytestmark = pytest.mark.lab

Body = dict[str, Any]


@dataclass
class Target:
    """A Deployment made by kubectl, and a writer as the operator has it."""

    lab: Lab
    namespace: str
    writer: Writer
    seen: list[tuple[Kind, bytes]] = field(default_factory=list)
    leading: bool = True

    def live(self) -> Body:
        """The Deployment as kubectl sees it."""
        shown = self.lab.kubectl(
            "get", "deployment", "web", "-n", self.namespace, "-o", "json", "--show-managed-fields"
        )
        found: Body = json.loads(shown)
        return found

    @property
    def ref(self) -> ObjectRef:
        """It, by name and uid."""
        return ObjectRef("apps/v1", "Deployment", self.namespace, "web", self.live()["metadata"]["uid"])

    def ops(self, *changes: Body) -> list[Body]:
        """A JSON patch with the preconditions of now."""
        live = self.live()["metadata"]
        return [*preconditions(live["uid"], live["resourceVersion"]), *changes]


GRACE: Body = {"op": "replace", "path": "/spec/template/spec/terminationGracePeriodSeconds", "value": 45}
DNS: Body = {"op": "add", "path": "/spec/template/spec/dnsConfig", "value": {"options": [{"name": "edns0"}]}}


@pytest.fixture
async def target(lab: Lab, namespace: str) -> AsyncIterator[Target]:
    lab.kubectl("create", "deployment", "web", "--image=x", "--replicas=0", "-n", namespace)
    session = await Session.connect(str(lab.kubeconfig()), None, qps=50, burst=50, user_agent="writer-test")

    def fence() -> None:
        if not made.leading:
            raise NotLeader("the Lease is another's")

    async with session:
        writer = Writer(session, fence, lambda kind, raw: made.seen.append((kind, raw)))
        made = Target(lab, namespace, writer)
        # The Deployment's controller writes once more.
        lab.wait(
            lambda: made.live().get("status", {}).get("observedGeneration") == 1, what="a settled Deployment"
        )
        yield made


async def test_a_patch_that_is_accepted_gives_the_object_to_whoever_decides_next(target: Target) -> None:
    outcome = await target.writer.json_patch(DEPLOYMENT, target.ref, target.ops(GRACE, DNS))
    assert isinstance(outcome, Written)
    assert target.seen == [(DEPLOYMENT, outcome.raw)]
    stored = json.loads(outcome.raw)
    assert stored["metadata"]["resourceVersion"] == outcome.resource_version
    pod = stored["spec"]["template"]["spec"]
    assert (pod["terminationGracePeriodSeconds"], pod["dnsConfig"]) == (45, {"options": [{"name": "edns0"}]})


async def test_the_second_patch_leaves_no_entry_of_ours_and_no_new_generation(target: Target) -> None:
    first = await target.writer.json_patch(DEPLOYMENT, target.ref, target.ops(GRACE, DNS))
    assert isinstance(first, Written)
    written = json.loads(first.raw)["metadata"]
    assert "resilience-operator" in {one["manager"] for one in written["managedFields"]}
    second = await target.writer.json_patch(DEPLOYMENT, target.ref, list(let_go(json.loads(first.raw))))
    assert isinstance(second, Written)
    left = json.loads(second.raw)["metadata"]
    assert "resilience-operator" not in {one["manager"] for one in left["managedFields"]}
    assert left["generation"] == written["generation"]
    assert let_go(json.loads(second.raw)) == ()


async def test_a_dry_run_stores_nothing_and_tells_nobody(target: Target) -> None:
    before = target.live()
    outcome = await target.writer.json_patch(DEPLOYMENT, target.ref, target.ops(DNS), dry_run=True)
    assert isinstance(outcome, Written)
    assert (target.live(), target.seen) == (before, [])


async def test_an_object_that_changed_since_it_was_read_is_stale(target: Target) -> None:
    old = target.ops(DNS)
    target.lab.kubectl("annotate", "deployment", "web", "touched=yes", "-n", target.namespace)
    outcome = await target.writer.json_patch(DEPLOYMENT, target.ref, old)
    assert isinstance(outcome, Stale)
    assert target.seen == []


async def test_an_object_of_the_same_name_that_was_made_anew_is_not_written(target: Target) -> None:
    known, old = target.ref, target.ops(DNS)
    target.lab.kubectl("delete", "deployment", "web", "-n", target.namespace)
    target.lab.kubectl("create", "deployment", "web", "--image=x", "--replicas=0", "-n", target.namespace)
    assert isinstance(await target.writer.json_patch(DEPLOYMENT, known, old), Stale)
    assert "dnsConfig" not in target.live()["spec"]["template"]["spec"]


async def test_an_object_that_is_not_there_is_gone_and_not_made(target: Target) -> None:
    known, ops = target.ref, target.ops(DNS)
    target.lab.kubectl("delete", "deployment", "web", "-n", target.namespace)
    assert isinstance(await target.writer.json_patch(DEPLOYMENT, known, ops), Gone)
    with pytest.raises(ApiError, match="not found"):
        await target.writer.read(DEPLOYMENT, known)
    assert await target.writer.refresh(DEPLOYMENT, known)
    assert target.seen == []


async def test_a_user_without_the_right_is_told_which_one_is_missing(target: Target) -> None:
    kubeconfig = target.lab.kubeconfig(user="nobody", groups=())
    session = await Session.connect(str(kubeconfig), None, qps=50, burst=50, user_agent="writer-test")
    async with session:
        writer = Writer(session, lambda: None, lambda kind, raw: None)
        outcome = await writer.json_patch(DEPLOYMENT, target.ref, target.ops(DNS))
    assert isinstance(outcome, Forbidden)
    assert 'User "nobody" cannot patch resource "deployments" in API group "apps"' in outcome.message


async def test_a_json_patch_whose_test_holds_is_written(target: Target) -> None:
    version = target.live()["metadata"]["resourceVersion"]
    ops = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        {"op": "test", "path": "/metadata/uid", "value": target.ref.uid},
        {"op": "replace", "path": "/spec/template/spec/terminationGracePeriodSeconds", "value": 60},
    ]
    outcome = await target.writer.json_patch(DEPLOYMENT, target.ref, ops)
    assert isinstance(outcome, Written)
    assert target.seen == [(DEPLOYMENT, outcome.raw)]
    assert target.live()["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 60


@pytest.mark.parametrize("path", ["/metadata/resourceVersion", "/metadata/uid"])
async def test_a_json_patch_whose_test_fails_is_stale(target: Target, path: str) -> None:
    before = target.live()
    ops: list[Body] = [
        {"op": "test", "path": path, "value": "1"},
        {"op": "replace", "path": "/spec/template/spec/terminationGracePeriodSeconds", "value": 60},
    ]
    outcome = await target.writer.json_patch(DEPLOYMENT, target.ref, ops)
    assert isinstance(outcome, Stale)
    assert outcome.message.startswith("the object changed since it was read")
    assert target.live() == before


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("/spec/strategy/rollingUpdate/maxSurge", -1, "must be greater than or equal to 0"),
        ("/spec/strategies", 1, 'strict decoding error: unknown field "spec.strategies"'),
    ],
    ids=["invalid value", "unknown field"],
)
async def test_a_json_patch_that_the_api_server_will_not_have_is_refused_in_few_words(
    target: Target, path: str, value: int, message: str
) -> None:
    ops = [{"op": "add", "path": path, "value": value}]
    outcome = await target.writer.json_patch(DEPLOYMENT, target.ref, ops)
    assert isinstance(outcome, Refused)
    assert outcome.status == 422
    assert outcome.message.endswith(message)
    assert "kubectl-create" not in outcome.message


async def test_who_does_not_lead_sends_nothing(target: Target) -> None:
    mark, ops, ref = target.lab.audit.mark(), target.ops(DNS), target.ref
    target.leading = False
    assert await target.writer.json_patch(DEPLOYMENT, ref, ops) == NotLeading("the Lease is another's")
    assert target.lab.audit.writes(mark, user_agent="writer-test") == []


async def test_no_answer_is_an_unknown_end_and_a_refusal_to_listen_is_not(target: Target) -> None:
    class Deaf:
        async def request(self, *_: Any, **__: Any) -> bytes:
            raise failure

    writer = Writer(Deaf(), lambda: None, lambda kind, raw: None)
    outcomes = {}
    for failure in (
        Unreachable("timed out"),
        ApiError(503, "", "down", retry_after=3.0),
        ApiError(429, "", "slow down", retry_after=7.0),
        ApiError(401, "", "token expired"),
    ):
        key = getattr(failure, "status", 0)
        outcomes[key] = await writer.json_patch(DEPLOYMENT, replace(target.ref, uid=""), [])
        assert await writer.refresh(DEPLOYMENT, target.ref) is False
    assert outcomes == {
        0: Failed("timed out", None, unknown=True),
        503: Failed("down", 3.0, unknown=True),
        429: Failed("slow down", 7.0, unknown=False),
        401: Failed("token expired", None, unknown=False),
    }


async def test_what_was_read_anew_is_known(target: Target) -> None:
    assert await target.writer.refresh(DEPLOYMENT, target.ref)
    [(kind, raw)] = target.seen
    assert (kind, json.loads(raw)["metadata"]["uid"]) == (DEPLOYMENT, target.ref.uid)
