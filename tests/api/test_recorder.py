"""Events: told once, counted when repeated, never in a storm, and accepted by a real API server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from resilience_operator.api.client import Clock
from resilience_operator.api.rates import Rates
from resilience_operator.api.recorder import Notice, Recorder, readable
from resilience_operator.api.session import Session
from resilience_operator.core.errors import ApiError, NotLeader, Unreachable
from resilience_operator.core.refs import ObjectRef
from tests.lab import Lab
from tests.support.fake_time import FakeTime

WEB = ObjectRef("apps/v1", "Deployment", "shop", "web", "uid-web")
POLICY = ObjectRef("resilience.dev/v1alpha1", "ResiliencePolicy", "", "production", "uid-policy")
NOTICE = Notice(
    WEB,
    "RemediationApplied",
    "Apply",
    "3 replicas spread",
    related=POLICY,
    rule="spread",
    policy_uid="uid-policy",
)


class EventServer:
    """Remembers requests; `refusals` are raised, one per request, before any is accepted."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, dict[str, Any]]] = []
        self.refusals: list[Exception] = []
        self.leading = True
        self.before: Callable[..., Any] | None = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        timeout: float = 30.0,  # noqa: ASYNC109
        before_send: Callable[[], None] | None = None,
    ) -> bytes:
        """Accept, or raise the next refusal."""
        assert before_send is not None
        before_send()
        if self.refusals:
            raise self.refusals.pop(0)
        assert body is not None
        if self.before is not None:
            await self.before()
        self.sent.append((method, path, json.loads(body)))
        return b"{}"

    def fence(self) -> None:
        """As the Lease does it."""
        if not self.leading:
            raise NotLeader("not the leader")

    @property
    def notes(self) -> list[str]:
        """What was told, in order."""
        return [body["note"] for method, _, body in self.sent if method == "POST"]


class Desk:
    """A recorder that runs under fake time."""

    def __init__(self, **rates: Any) -> None:
        self.time, self.server, self.dropped = FakeTime(), EventServer(), 0
        self.recorder = Recorder(
            self.server, self.server.fence, "pod-a", self.time.clock(), replace(Rates(), **rates), self._drop
        )
        self.task = asyncio.create_task(self.recorder.run())

    def _drop(self) -> None:
        self.dropped += 1

    async def tell(self, *notices: Notice, wait: float = 0.0) -> None:
        for notice in notices:
            self.recorder.notify(notice)
        await self.time.advance(wait)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_an_event_says_what_happened_to_what_and_for_whom() -> None:
    desk = Desk()
    await desk.tell(NOTICE)
    assert desk.server.sent == [
        (
            "POST",
            "/apis/events.k8s.io/v1/namespaces/shop/events",
            {
                "apiVersion": "events.k8s.io/v1",
                "kind": "Event",
                "metadata": {"name": NOTICE.name, "namespace": "shop"},
                "eventTime": "2026-11-22T08:00:00.000000Z",
                "reportingController": "resilience.dev/operator",
                "reportingInstance": "pod-a",
                "action": "Apply",
                "reason": "RemediationApplied",
                "type": "Normal",
                "regarding": {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "namespace": "shop",
                    "name": "web",
                    "uid": "uid-web",
                },
                "related": {
                    "apiVersion": "resilience.dev/v1alpha1",
                    "kind": "ResiliencePolicy",
                    "name": "production",
                    "uid": "uid-policy",
                },
                "note": "3 replicas spread",
            },
        )
    ]
    await desk.stop()


@pytest.mark.parametrize(
    "other",
    [
        replace(NOTICE, regarding=replace(WEB, uid="another")),
        replace(NOTICE, rule="dns-config"),
        replace(NOTICE, reason="DriftDetected"),
        replace(NOTICE, policy_uid="another"),
        replace(NOTICE, generation=2),
    ],
    ids=["object", "rule", "reason", "policy", "generation"],
)
async def test_what_differs_in_any_part_of_the_key_is_an_event_of_its_own(other: Notice) -> None:
    desk = Desk()
    await desk.tell(NOTICE, other)
    assert [method for method, _, _ in desk.server.sent] == ["POST", "POST"]
    await desk.stop()


async def test_repeats_are_counted_on_the_same_event_at_most_every_thirty_seconds() -> None:
    desk = Desk()
    await desk.tell(NOTICE, wait=1)
    for _ in range(58):
        await desk.tell(replace(NOTICE, note="in other words"), wait=1)
    patches = [(path, body) for method, path, body in desk.server.sent[1:] if method == "PATCH"]
    path = f"/apis/events.k8s.io/v1/namespaces/shop/events/{NOTICE.name}"
    assert patches == [
        (path, {"series": {"count": 30, "lastObservedTime": "2026-11-22T08:00:29.000000Z"}}),
    ]
    await desk.time.advance(5)
    last = {"series": {"count": 59, "lastObservedTime": "2026-11-22T08:00:58.000000Z"}}
    assert desk.server.sent[2:] == [("PATCH", path, last)]
    await desk.time.advance(600)
    assert len(desk.server.sent) == 3
    await desk.stop()


async def test_what_is_new_does_not_wait_for_a_repeat_that_does() -> None:
    desk = Desk()
    await desk.tell(NOTICE, wait=1)
    await desk.tell(NOTICE, wait=1)
    await desk.tell(replace(NOTICE, generation=2, note="second"))
    assert (desk.time.seconds, desk.server.notes) == (2, ["3 replicas spread", "second"])
    await desk.stop()


async def test_an_event_that_was_told_before_a_restart_is_not_told_again() -> None:
    desk = Desk()
    desk.server.refusals = [ApiError(409, "AlreadyExists", "already exists")]
    await desk.tell(NOTICE, wait=60)
    assert (desk.server.sent, desk.dropped) == ([], 0)
    await desk.tell(NOTICE, wait=60)
    assert [(method, body["series"]["count"]) for method, _, body in desk.server.sent] == [("PATCH", 2)]
    await desk.stop()


async def test_a_repeat_of_an_expired_event_is_told_anew() -> None:
    desk = Desk()
    await desk.tell(NOTICE, wait=3700)
    desk.server.refusals = [ApiError(404, "NotFound", "not found")]
    await desk.tell(NOTICE)
    method, _, body = desk.server.sent[-1]
    assert (method, body["eventTime"]) == ("POST", "2026-11-22T09:01:40.000000Z")
    await desk.stop()


async def test_one_object_tells_twenty_five_and_then_one_in_five_minutes() -> None:
    desk = Desk()
    notices = [replace(NOTICE, generation=number) for number in range(40)]
    other = replace(NOTICE, regarding=replace(WEB, name="api", uid="uid-api"))
    await desk.tell(*notices, other, wait=60)
    assert (len(desk.server.sent), desk.dropped) == (26, 15)
    assert desk.server.sent[-1][2]["regarding"]["name"] == "api"
    await desk.time.advance(250)
    await desk.tell(*notices[38:], wait=60)
    assert (len(desk.server.sent), desk.dropped) == (27, 16)
    await desk.stop()


async def test_a_thousand_objects_are_told_of_at_five_a_second() -> None:
    desk = Desk()
    refs = [replace(WEB, name=f"web-{number}", uid=f"uid-{number}") for number in range(1000)]
    await desk.tell(*(replace(NOTICE, regarding=ref) for ref in refs))
    assert len(desk.server.sent) == 25
    await desk.time.advance(100)
    assert 524 <= len(desk.server.sent) <= 526
    await desk.time.advance(100)
    assert (len(desk.server.sent), desk.dropped) == (1000, 0)
    await desk.stop()


async def test_a_full_queue_drops_the_oldest_and_counts_it() -> None:
    desk = Desk(queue=3)
    desk.server.leading = False
    refs = [replace(WEB, name=f"web-{number}", uid=f"uid-{number}") for number in range(5)]
    await desk.tell(*(replace(NOTICE, regarding=ref, note=ref.name) for ref in refs))
    desk.server.leading = True
    await desk.time.advance(60)
    assert (desk.server.notes, desk.dropped) == (["web-2", "web-3", "web-4"], 2)
    await desk.stop()


async def test_a_namespace_that_has_much_to_tell_delays_no_others() -> None:
    desk = Desk()
    loud = [replace(WEB, namespace="ci", name=f"web-{number}", uid=f"uid-{number}") for number in range(600)]
    await desk.tell(*(replace(NOTICE, regarding=ref, note="loud") for ref in loud))
    await desk.tell(replace(NOTICE, note="quiet"), replace(NOTICE, generation=2, note="again"), wait=1)
    assert {"quiet", "again"} <= set(desk.server.notes)
    await desk.time.advance(3)
    warning = replace(loud[0], namespace="ci", name="late", uid="uid-late")
    await desk.tell(replace(NOTICE, regarding=warning, note="warned", type="Warning"), wait=1)
    assert "warned" in desk.server.notes, "Warnings go first"
    await desk.stop()


async def test_warnings_without_end_starve_nobody() -> None:
    desk = Desk()
    loud = [replace(WEB, name=f"web-{number}", uid=f"uid-{number}") for number in range(600)]
    await desk.tell(*(replace(NOTICE, regarding=ref, note="loud", type="Warning") for ref in loud))
    await desk.tell(replace(NOTICE, note="normal"), wait=1)
    assert "normal" in desk.server.notes
    await desk.stop()


async def test_a_namespace_that_takes_no_events_keeps_no_other_from_being_told_of() -> None:
    desk = Desk()
    real = desk.server.request

    async def refuse(method: str, path: str, **options: Any) -> bytes:
        if "/namespaces/evil/" in path:
            raise ApiError(500, "", "failed calling webhook")
        return await real(method, path, **options)

    desk.server.request = refuse  # type: ignore[method-assign]
    await desk.tell(replace(NOTICE, regarding=replace(WEB, namespace="evil", uid="uid-evil")))
    await desk.tell(NOTICE, wait=1)
    assert desk.server.notes == ["3 replicas spread"]
    await desk.stop()


async def test_one_that_makes_room_while_it_is_on_its_way_ends_nothing() -> None:
    desk = Desk(queue=2)
    others = [replace(NOTICE, regarding=replace(WEB, uid=f"uid-{number}")) for number in range(4)]

    async def overtaken(*words: Any, **more: Any) -> bytes:
        desk.server.before = None
        for other in others:
            desk.recorder.notify(other)
        return b"{}"

    desk.server.before = overtaken
    await desk.tell(NOTICE, wait=60)
    assert (desk.dropped, len(desk.server.notes), desk.task.done()) == (3, 3, False)
    await desk.stop()


async def test_a_full_queue_drops_the_oldest_of_the_loudest() -> None:
    desk = Desk(queue=4)
    desk.server.leading = False
    refs = [replace(WEB, namespace="ci", name=f"ci-{number}", uid=f"uid-{number}") for number in range(6)]
    await desk.tell(
        replace(NOTICE, note="quiet"), *(replace(NOTICE, regarding=ref, note=ref.name) for ref in refs)
    )
    desk.server.leading = True
    await desk.time.advance(60)
    assert (sorted(desk.server.notes), desk.dropped) == (["ci-3", "ci-4", "ci-5", "quiet"], 3)
    await desk.stop()


@pytest.mark.parametrize(
    "failure",
    [
        Unreachable("refused"),
        ApiError(500, "", "etcd"),
        ApiError(429, "", "slow down"),
        ApiError(403, "", "no"),
    ],
    ids=["refused", "500", "429", "403"],
)
async def test_what_cannot_be_told_now_is_told_later(failure: Exception) -> None:
    desk = Desk()
    desk.server.refusals = [failure] * 4
    await desk.tell(NOTICE, replace(NOTICE, generation=2, note="second"))
    assert desk.server.sent == []
    await desk.time.advance(60)
    assert (desk.server.notes, desk.dropped) == (["3 replicas spread", "second"], 0)
    await desk.stop()


@pytest.mark.parametrize(
    "refusal",
    [
        ApiError(422, "Invalid", "note too long"),
        ApiError(404, "NotFound", 'namespaces "shop" not found'),
        ApiError(403, "Forbidden", "unable to create new content because it is being terminated"),
    ],
    ids=["invalid", "no namespace", "terminating"],
)
async def test_what_is_refused_for_good_holds_nobody_up(refusal: Exception) -> None:
    desk = Desk()
    desk.server.refusals = [refusal]
    await desk.tell(NOTICE, replace(NOTICE, generation=2, note="second"), wait=5)
    assert (desk.server.notes, desk.dropped) == (["second"], 1)
    await desk.stop()


async def test_the_end_tells_what_is_queued_without_regard_to_rates() -> None:
    desk = Desk(burst=1)
    refs = [replace(WEB, name=f"web-{number}", uid=f"uid-{number}") for number in range(20)]
    await desk.stop()
    await desk.tell(*(replace(NOTICE, regarding=ref) for ref in refs))
    await desk.recorder.flush()
    assert len(desk.server.sent) == 20


def test_a_note_is_cut_at_a_character_and_has_no_control_characters() -> None:
    assert readable("a\x1b[31mb\nc\x00\u2028d") == "a [31mb c d"
    assert readable("ä" * 512) == "ä" * 512
    assert readable("ä" * 513) == "ä" * 510 + "…"
    assert len(readable("x€" * 1000).encode()) <= 1024


@pytest.mark.lab
async def test_the_api_server_accepts_events_repeats_and_restarts(lab: Lab, namespace: str) -> None:
    lab.kubectl("create", "deployment", "web", "--image=x", "-n", namespace)
    uid = lab.kubectl("get", "deployment", "web", "-n", namespace, "-o", "jsonpath={.metadata.uid}")
    on_web = replace(NOTICE, regarding=replace(WEB, namespace=namespace, uid=uid))
    on_policy = replace(NOTICE, regarding=replace(POLICY, name=namespace, uid=uid), related=None)
    session = await Session.connect(str(lab.kubeconfig()), None, qps=50, burst=50, user_agent="recorder")
    async with session:
        for repeats in (3, 1):
            # The second recorder is the operator after a restart.
            recorder = Recorder(session, lambda: None, "pod-a", Clock(), Rates(series_every=0.1))
            task = asyncio.create_task(recorder.run())
            for _ in range(repeats):
                recorder.notify(on_web)
                recorder.notify(on_policy)
                await asyncio.sleep(0.5)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    shown = "jsonpath={range .items[*]}{.reason} {.regarding.name} {.series.count} {.note}{end}"
    events = ("get", "events.events.k8s.io", f"--field-selector=reason={NOTICE.reason}", "-o", shown)
    assert lab.kubectl(*events, "-n", namespace) == "RemediationApplied web 3 3 replicas spread"
    in_default = lab.kubectl(*events, "-n", "default")
    assert f"RemediationApplied {namespace} 3 3 replicas spread" in in_default
