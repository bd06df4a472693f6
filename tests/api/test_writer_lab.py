"""What the API server answers to a write, and what the writer makes of it: each row on a real Deployment."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from resilience_operator.api.session import Session
from resilience_operator.api.write import (
    Conflicting,
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
from resilience_operator.core.kinds import CONFIG_MAP, DEPLOYMENT, Kind
from resilience_operator.core.refs import ObjectRef
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

    def body(self, spec: Body, **meta: str) -> Body:
        """An apply with the preconditions of now, or those given."""
        live = self.live()["metadata"]
        preconditions = {"uid": live["uid"], "resourceVersion": live["resourceVersion"]} | meta
        metadata = {"name": "web", "namespace": self.namespace} | preconditions
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def grace(seconds: int) -> Body:
    return {"template": {"spec": {"terminationGracePeriodSeconds": seconds}}}


def option(name: str) -> Body:
    return {"template": {"spec": {"dnsConfig": {"options": [{"name": name}]}}}}


BAD_HOOK = {
    "template": {
        "spec": {"containers": [{"name": "x", "lifecycle": {"preStop": {"sleep": {"seconds": 90}}}}]}
    }
}


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


async def test_an_apply_that_is_accepted_gives_the_object_to_whoever_decides_next(target: Target) -> None:
    outcome = await target.writer.apply(
        DEPLOYMENT, target.ref, target.body(option("single-request-reopen")), force=False
    )
    assert isinstance(outcome, Written)
    assert target.seen == [(DEPLOYMENT, outcome.raw)]
    stored = json.loads(outcome.raw)
    assert stored["metadata"]["resourceVersion"] == outcome.resource_version
    assert stored["spec"]["template"]["spec"]["dnsConfig"] == {"options": [{"name": "single-request-reopen"}]}
    managers = {entry["manager"]: entry["operation"] for entry in target.live()["metadata"]["managedFields"]}
    assert managers["resilience-operator"] == "Apply"


async def test_the_same_apply_twice_changes_nothing(target: Target) -> None:
    first = await target.writer.apply(DEPLOYMENT, target.ref, target.body(option("edns0")), force=False)
    assert isinstance(first, Written)
    target.lab.wait(
        lambda: target.live()["status"].get("observedGeneration") == 2, what="a settled Deployment"
    )
    before = target.live()["metadata"]["resourceVersion"]
    again = await target.writer.apply(DEPLOYMENT, target.ref, target.body(option("edns0")), force=False)
    assert isinstance(again, Written)
    assert again.resource_version == before


async def test_a_dry_run_stores_nothing_and_tells_nobody(target: Target) -> None:
    before = target.live()
    outcome = await target.writer.apply(
        DEPLOYMENT, target.ref, target.body(option("edns0")), force=False, dry_run=True
    )
    assert isinstance(outcome, Written)
    assert (target.live(), target.seen) == (before, [])


async def test_an_object_that_changed_since_it_was_read_is_stale(target: Target) -> None:
    old = target.body(option("edns0"))
    target.lab.kubectl("annotate", "deployment", "web", "touched=yes", "-n", target.namespace)
    outcome = await target.writer.apply(DEPLOYMENT, target.ref, old, force=True)
    assert isinstance(outcome, Stale)
    assert "the object has been modified" in outcome.message
    assert target.seen == []


async def test_a_field_of_another_manager_is_a_conflict_that_names_both(target: Target) -> None:
    outcome = await target.writer.apply(DEPLOYMENT, target.ref, target.body(grace(45)), force=False)
    assert outcome == Conflicting(
        (
            (
                ".spec.template.spec.terminationGracePeriodSeconds",
                'conflict with "kubectl-create" using apps/v1',
            ),
        )
    )
    forced = await target.writer.apply(DEPLOYMENT, target.ref, target.body(grace(45)), force=True)
    assert isinstance(forced, Written)


async def test_an_object_of_the_same_name_that_was_made_anew_is_gone_for_us(target: Target) -> None:
    known, old = target.ref, target.live()["metadata"]
    target.lab.kubectl("delete", "deployment", "web", "-n", target.namespace)
    target.lab.kubectl("create", "deployment", "web", "--image=x", "--replicas=0", "-n", target.namespace)
    outcome = await target.writer.apply(
        DEPLOYMENT, known, target.body(option("edns0"), uid=old["uid"]), force=True
    )
    assert isinstance(outcome, Gone)
    assert old["uid"] in outcome.message


async def test_an_object_that_is_not_there_is_gone_and_not_made(target: Target) -> None:
    known, body = target.ref, target.body(option("edns0"))
    target.lab.kubectl("delete", "deployment", "web", "-n", target.namespace)
    assert isinstance(await target.writer.apply(DEPLOYMENT, known, body, force=True), Gone)
    ops = [{"op": "test", "path": "/metadata/uid", "value": known.uid}]
    assert isinstance(await target.writer.json_patch(DEPLOYMENT, known, ops), Gone)
    with pytest.raises(ApiError, match="not found"):
        await target.writer.read(DEPLOYMENT, known)
    assert await target.writer.refresh(DEPLOYMENT, known)
    # A kind without required fields would come into being where only the resourceVersion was sent.
    settings = ObjectRef("v1", "ConfigMap", target.namespace, "none", known.uid)
    metadata = {"name": "none", "namespace": target.namespace, "uid": known.uid, "resourceVersion": "1"}
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}
    assert isinstance(await target.writer.apply(CONFIG_MAP, settings, made, force=True), Gone)
    assert target.seen == []


@pytest.mark.parametrize(
    ("spec", "status", "says"),
    [
        (BAD_HOOK, 422, "must be non-negative and less than terminationGracePeriodSeconds (30)"),
        (
            {"template": {"spec": {"containers": [{"name": "none", "lifecycle": {}}]}}},
            422,
            "image: Required value",
        ),
        ({"templates": {}}, 500, ".spec.templates: field not declared in schema"),
    ],
    ids=["invalid value", "container that does not exist", "unknown field"],
)
async def test_what_the_api_server_will_not_have_is_refused(
    target: Target, spec: Body, status: int, says: str
) -> None:
    outcome = await target.writer.apply(DEPLOYMENT, target.ref, target.body(spec), force=True)
    assert isinstance(outcome, Refused)
    assert outcome.status == status, outcome
    assert says in outcome.message


async def test_a_user_without_the_right_is_told_which_one_is_missing(target: Target) -> None:
    kubeconfig = target.lab.kubeconfig(user="nobody", groups=())
    session = await Session.connect(str(kubeconfig), None, qps=50, burst=50, user_agent="writer-test")
    async with session:
        writer = Writer(session, lambda: None, lambda kind, raw: None)
        outcome = await writer.apply(DEPLOYMENT, target.ref, target.body(option("edns0")), force=False)
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
    mark, body = target.lab.audit.mark(), target.body(option("edns0"))
    ref = target.ref
    target.leading = False
    assert await target.writer.apply(DEPLOYMENT, ref, body, force=False) == NotLeading(
        "the Lease is another's"
    )
    assert await target.writer.json_patch(DEPLOYMENT, ref, []) == NotLeading("the Lease is another's")
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
