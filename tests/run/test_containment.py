"""One object, one policy or one strange answer keeps nobody else from being served, and is said of by its name."""

from collections.abc import Callable
from typing import Any

import pytest

from resilience_operator.api.answers import whole
from resilience_operator.api.status import FINALIZER
from resilience_operator.cluster.store import Store
from resilience_operator.core.errors import Unreachable
from resilience_operator.core.plain import plain
from resilience_operator.engine import status as report
from resilience_operator.engine.change import Change, Decision
from resilience_operator.run import events as announce
from resilience_operator.run import finalizers, reconcile
from resilience_operator.run.decisions import Decided
from resilience_operator.targets import judge
from tests.support.passes import PAGE, Answer, Stage, other_json, page, refused

NASTY = "boom \x1b[2J\n" + "x" * 5000


def about(name: str, real: Callable[..., Any], ref: Callable[..., str]) -> Callable[..., Any]:
    """The function, which raises where it is about that name."""

    def breaks(*args: Any, **options: Any) -> Any:
        if ref(*args, **options) == name:
            raise KeyError(NASTY)
        return real(*args, **options)

    return breaks


def in_evaluating(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reconcile, "judge", about("aaa", judge, lambda view, *_: view.ref.name))


def in_comparing(patch: pytest.MonkeyPatch) -> None:
    def differs(self: Decision, other: object) -> bool:
        if self.object.name == "aaa":
            raise RecursionError(NASTY)
        return self is not other

    patch.setattr(Decision, "__ne__", differs, raising=False)
    patch.setattr(Decision, "__eq__", lambda self, other: not differs(self, other))


def in_the_body(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Change, "patch", about("aaa", Change.patch, lambda change, now: change.object.name))


def in_telling_of_it(patch: pytest.MonkeyPatch) -> None:
    real = announce.transitions
    patch.setattr(announce, "transitions", about("aaa", real, lambda before, after, *_: after.object.name))


def in_telling_what_became_of_it(patch: pytest.MonkeyPatch) -> None:
    real = announce.outcomes
    patch.setattr(announce, "outcomes", about("aaa", real, lambda one, _: one.change.object.name))


@pytest.mark.parametrize(
    "where", [in_evaluating, in_comparing, in_the_body, in_telling_of_it, in_telling_what_became_of_it]
)
async def test_an_error_about_one_object_is_said_of_it_and_everything_else_goes_on(
    monkeypatch: pytest.MonkeyPatch, where: Callable[[pytest.MonkeyPatch], None]
) -> None:
    stage = Stage("evil/aaa", "shop/web")
    stage.policy()
    stage.start()
    where(monkeypatch)
    said = set()
    for _ in range(8):
        await stage.turn()
        said.add(stage.condition("Degraded"))
    assert stage.has_dns("shop/web")
    degraded = [message for status, _, message in said if status == "True"]
    assert any("evil/aaa" in message for message in degraded), said
    assert all(len(message) < 400 and message.isprintable() for message in degraded)
    assert stage.reconciler.broken() == ()


async def test_keys_that_cannot_be_taken_are_all_looked_at_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage("shop/web")
    stage.policy()
    stage.start()
    await stage.turns(4)
    assert stage.has_dns("shop/web")
    stage.world.edit("web", "owner", dnsConfig=None)

    def breaks(self: Store) -> set[Any]:
        raise ValueError(NASTY)

    monkeypatch.setattr(Store, "take_dirty", breaks)
    await stage.turns(4)
    assert stage.has_dns("shop/web")
    status, reason, message = stage.condition("Degraded")
    assert (status, reason) == ("True", "OperatorDegraded")
    assert message.startswith("looking at what changed failed: ValueError: boom")


async def test_a_status_that_cannot_be_made_keeps_no_other_policy_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage("shop/web")
    stage.policy("bad")
    stage.policy("good")
    stage.start()
    monkeypatch.setattr(report, "status", about("bad", report.status, lambda policy, *_: policy.name))
    await stage.turns(6)
    assert stage.has_dns("shop/web")
    assert {name for name, _ in stage.desk.statuses} == {"good"}
    assert "telling the status of policy bad failed: KeyError" in stage.condition("Degraded", "good")[2]


async def test_a_policy_that_cannot_be_let_go_holds_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage("shop/web")
    for name in ("bad", "good"):
        stage.policy(name, deployments={"dnsConfig": {}, "selector": {"matchLabels": {"app": "nobody"}}})
        stage.world.operator.delete_policy(name)
    stage.policy()
    stage.start()
    real = finalizers.Finalizers._gives_back
    monkeypatch.setattr(
        finalizers.Finalizers, "_gives_back", about("bad", real, lambda self, policy: policy.name)
    )
    await stage.turns(6)
    assert stage.has_dns("shop/web")
    assert set(stage.desk.let_go_of) == {"good"}
    assert "letting go of policy bad failed: KeyError" in stage.condition("Degraded")[2]


async def test_passes_that_fail_are_told_counted_and_in_the_end_ask_for_a_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage("shop/web")
    stage.policy()
    stage.start()
    await stage.turns(4)
    real = Decided.accepted

    def breaks(self: Decided) -> Any:
        raise RuntimeError(NASTY)

    monkeypatch.setattr(Decided, "accepted", breaks)
    stage.world.edit("web", "owner", dnsConfig=None)
    await stage.turns(4)
    status, reason, message = stage.condition("Degraded")
    assert (status, reason) == ("True", "OperatorDegraded")
    assert message.startswith("a pass failed: RuntimeError: boom")
    assert "resilience_pass_failures_total 4.0" in stage.services.metrics.exposition().decode()
    assert stage.reconciler.broken() == ()
    await stage.turn()
    (why,) = stage.reconciler.broken()
    assert why.startswith("5 passes in a row failed: RuntimeError: boom")
    monkeypatch.setattr(Decided, "accepted", real)
    await stage.turns(4)
    assert stage.has_dns("shop/web")
    assert stage.reconciler.broken() == ()
    assert stage.condition("Degraded")[0] == "False"


@pytest.mark.parametrize("answer", [page, other_json])
async def test_an_answer_to_a_write_that_is_none_is_a_failure_of_that_write(answer: Answer) -> None:
    stage = Stage("aaa/web", "shop/web")
    stage.policy()
    stage.start()
    stage.api.struck["PATCH", "/namespaces/aaa/deployments/web"] = answer
    await stage.turns(10)
    assert stage.has_dns("shop/web")
    status, reason, message = stage.condition("Degraded")
    assert (status, reason) == ("True", "WriteFailed")
    assert message.startswith("the last write of aaa/web failed: the answer is no object of the API server")
    del stage.api.struck["PATCH", "/namespaces/aaa/deployments/web"]
    await stage.turns(70)
    assert stage.has_dns("aaa/web")


@pytest.mark.parametrize("answer", [page, other_json])
async def test_an_answer_to_a_status_or_finalizer_that_is_none_keeps_nobody_else_waiting(
    answer: Answer,
) -> None:
    stage = Stage("aaa/web", "shop/web")
    for name, namespace in (("bad", "aaa"), ("good", "shop")):
        stage.policy(name, deployments={"dnsConfig": {}, "namespaces": {"include": [namespace]}})
        stage.world.operator.policies[name]["metadata"]["finalizers"] = []
    stage.start()
    writer = stage.with_real_status()
    stage.api.struck["GET", "/resiliencepolicies/bad"] = answer
    await stage.turns(6)
    await writer.flush()
    assert (stage.has_dns("aaa/web"), stage.has_dns("shop/web")) == (False, True)
    good = stage.world.operator.policies["good"]
    assert good["metadata"]["finalizers"] == [FINALIZER]
    degraded = next(one for one in good["status"]["conditions"] if one["type"] == "Degraded")
    assert "our finalizer on policy bad failed: the answer is no object" in degraded["message"]


async def test_what_nothing_can_be_decided_about_makes_compliance_unknown_and_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage("evil/aaa", "shop/web")
    stage.policy()
    stage.start()
    in_evaluating(monkeypatch)
    await stage.turns(8)
    assert stage.condition("Compliant") == (
        "Unknown",
        "NotEvaluated",
        "nothing can be decided about evil/aaa and 1 more",  # its Service
    )


async def test_degraded_hides_no_reason_behind_another(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage("aaa/web", "evil/aaa", "shop/web")
    stage.policy()
    stage.start()
    in_evaluating(monkeypatch)
    stage.api.struck["PATCH", "/namespaces/aaa/deployments/web"] = refused(500, "failed calling webhook x")
    await stage.turns(10)
    message = stage.condition("Degraded")[2]
    assert "nothing can be decided about evil/aaa" in message
    assert "the last write of aaa/web failed: " in message
    assert "failed calling webhook x" in message


@pytest.mark.parametrize("raw", [PAGE, b"", b"[]", b"{}", b'{"metadata": 1}', b"[" * 100_000, b"\xff\xfe"])
def test_what_is_no_object_is_said_to_be_none(raw: bytes) -> None:
    with pytest.raises(Unreachable, match="the answer is no object of the API server"):
        whole(raw)


def test_text_of_others_is_cut_and_has_no_control_characters() -> None:
    assert plain("a\x1b[2J\r\nb\u2028c") == "a [2J b c"
    assert plain("x" * 1000) == "x" * 299 + "…"
