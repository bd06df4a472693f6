"""Rule webhook-reach: what it says of a webhook, and what becomes of the configuration pass after pass."""

import copy
from datetime import datetime, timedelta
from typing import Any

import pytest

from resilience_operator.core.findings import Finding
from resilience_operator.engine.queue import OperatorLimits, schedule
from tests.support.views import NOW
from tests.targets.webhooks.configurations import EVERYTHING, Case, rule, where
from tests.targets.webhooks.passes import STEPS, Server, states

BLOCKED = "an update of ConfigMap kube-system/extension-apiserver-authentication"
SERVICE = "its backend Service guard/guard"
NAME = "kubernetes.io/metadata.name"


def wrote(manager: str, at: datetime) -> dict[str, object]:
    """The entry of managedFields of a manager that updated the failurePolicy."""
    entry: dict[str, object] = {'k:{"name":"guard.example.dev"}': {"f:failurePolicy": {}}}
    fields = {"f:webhooks": entry}
    return {"manager": manager, "operation": "Update", "time": f"{at:%Y-%m-%dT%H:%M:%SZ}", "fieldsV1": fields}


def findings(server: Server) -> list[Finding]:
    return [one.finding for one in server.decide().judged]


def test_a_dead_backend_is_named_with_the_request_that_fails_now() -> None:
    server = Server(remediation=[])
    server.ready(0)
    (found,) = findings(server)
    assert (found.reason, found.message) == (
        "BackendDown",
        (
            f"webhook guard.example.dev: {BLOCKED} waits up to 10 s and fails now: {SERVICE} has no ready endpoint; "
            "and 54 more kinds of requests of the control plane"
        ),
    )


def test_a_backend_that_answers_is_a_risk() -> None:
    (found,) = findings(Server(remediation=[]))
    assert (found.reason, found.message) == (
        "BlocksControlPlane",
        (
            f"webhook guard.example.dev: {BLOCKED} would wait up to 10 s and fail whenever {SERVICE} does not answer; "
            "and 54 more kinds of requests of the control plane"
        ),
    )


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (Case("open", EVERYTHING, "", 0, fields={"failurePolicy": "Ignore"}), []),
        (Case("services", [rule("services", "*", "core")], "", 0), []),
        (
            Case(
                "own",
                [rule("*/*", scope="Namespaced")],
                "",
                0,
                fields={"namespaceSelector": {"matchLabels": {NAME: "guard"}}},
            ),
            ["BlocksItself"],
        ),
        (
            Case(
                "maybe", EVERYTHING, "", 0, fields={"matchConditions": [{"name": "a", "expression": "true"}]}
            ),
            ["MayBlockControlPlane"],
        ),
        (
            Case("slow", EVERYTHING, "", 0, fields={"timeoutSeconds": 30}),
            ["BlocksControlPlane", "TimeoutTooLong"],
        ),
        (
            Case("slow-open", EVERYTHING, "", 0, fields={"timeoutSeconds": 30, "failurePolicy": "Ignore"}),
            ["TimeoutTooLong"],
        ),
    ],
    ids=lambda one: one.name if isinstance(one, Case) else "",
)
def test_each_webhook_has_these_findings(case: Case, expected: list[str]) -> None:
    assert [one.reason for one in findings(Server(case, remediation=[]))] == expected


def test_the_selector_is_merged_and_stays() -> None:
    """The owner's requirement stays, one is added, and nothing else is written for as long as it stands."""
    case = Case("team", EVERYTHING, "", 0, fields={"namespaceSelector": where("team", "NotIn", "platform")})
    server = Server(case, remediation=["NamespaceSelector"], conflicts="TakeOver")
    assert server.step() == "sets webhooks[name=guard.example.dev].namespaceSelector"
    assert server.webhook["namespaceSelector"]["matchExpressions"] == [
        {"key": "team", "operator": "NotIn", "values": ["platform"]},
        {"key": NAME, "operator": "NotIn", "values": ["kube-system", "kube-node-lease", "guard"]},
    ]
    assert server.step() == ""
    assert findings(server)[0].message.startswith(
        "webhook guard.example.dev: an update of a Node/status would wait"
    )


def test_a_chosen_selector_is_respected_under_report() -> None:
    case = Case("team", EVERYTHING, "", 0, fields={"namespaceSelector": where("team", "NotIn", "platform")})
    server = Server(case, remediation=STEPS)
    decision = server.decide()
    assert (decision.change, states(decision)) == (None, [("BlocksControlPlane", "Contested")])


def test_it_is_failed_open_after_the_time_and_given_back_at_once() -> None:
    """Not before; the original back byte for byte, and our annotation goes once the window is over."""
    server = Server(remediation=["FailOpenWhileDown"], onRelease="Retain")
    before = copy.deepcopy(server.body["webhooks"])
    server.ready(0)
    assert (server.step(), server.decide().wake_at) == ("", NOW + timedelta(seconds=60))
    server.wait(59)
    assert server.step() == ""
    server.wait(1)
    change = server.decide().change
    assert change is not None
    assert (change.needs_no_lease, change.urgent, change.disruptive) == (
        True,
        True,
        False,
    )
    server.step()
    assert server.webhook["failurePolicy"] == "Ignore"
    assert states(server.decide()) == [("FailedOpen", "ReportOnly")]
    server.wait(3600)
    assert server.step() == ""
    server.ready(1)
    assert server.step() == "what it was set for is over"
    assert server.body["webhooks"] == before
    assert states(server.decide()) == [("BlocksControlPlane", "ReportOnly")]
    server.wait(601)
    assert server.step() == "removes what is left of us: all is given back"
    assert (server.body["webhooks"], server.body["metadata"]["annotations"]) == (before, {})


def test_a_flapping_backend_changes_it_three_times_in_ten_minutes_at_most() -> None:
    """Open, back, and then contested: one more would have to be given back as well."""
    server = Server(remediation=["FailOpenWhileDown"])
    written = []
    for second in range(0, 1800, 10):
        server.ready(0 if second % 120 < 80 else 1)
        if server.step():
            written.append(second)
        server.wait(10)
    assert len(written) >= 4
    assert max(sum(at <= other < at + 600 for other in written) for at in written) <= 3
    server = Server(remediation=["FailOpenWhileDown"])
    for count in (0, 1, 0):
        server.ready(count)
        server.step()
        server.wait(61)
        server.step()
    assert states(server.decide()) == [("BackendDown", "Contested")]


def test_smaller_steps_come_first() -> None:
    """Where the selector frees all that is vital, nothing is failed open."""
    case = Case("pods", [rule("pods", "*", "core")], "", 0)
    server = Server(case, remediation=STEPS)
    server.ready(0)
    server.step()
    server.wait(120)
    assert (server.step(), server.webhook["failurePolicy"]) == ("", "Fail")


def test_only_what_nodes_or_the_control_plane_live_on_fails_open() -> None:
    case = Case("crds", [rule("customresourcedefinitions", "*", "apiextensions.k8s.io")], "", 0)
    server = Server(case, remediation=STEPS)
    server.ready(0)
    server.wait(120)
    assert (server.step(), states(server.decide())) == ("", [("BackendDown", "ReportOnly")])


@pytest.mark.parametrize(
    "metadata",
    [
        {"name": "guard", "labels": {"webhook.kyverno.io/managed-by": "kyverno"}},
        {"name": "guard", "labels": {"gatekeeper.sh/system": "yes"}},
        {"name": "guard", "labels": {"addonmanager.kubernetes.io/mode": "Reconcile"}},
        {
            "name": "guard",
            "ownerReferences": [{"kind": "Operator", "name": "x", "uid": "o", "controller": True}],
        },
    ],
)
def test_what_its_owner_keeps_is_reported_and_never_changed(metadata: dict[str, object]) -> None:
    server = Server(remediation=STEPS, conflicts="TakeOver")
    server.body["metadata"] |= metadata
    server.put()
    server.ready(0)
    server.step()
    server.wait(120)
    assert (server.step(), states(server.decide())) == ("", [("BackendDown", "ReportOnly")])


def test_an_owner_who_writes_it_anew_while_open_is_contested() -> None:
    """Put back a few times, then left alone with the sentence; never fought."""
    server = Server(remediation=["FailOpenWhileDown"])
    server.ready(0)
    server.step()
    server.wait(61)
    written = 0
    for _ in range(8):
        written += bool(server.step())
        server.webhook["failurePolicy"] = "Fail"
        server.body["metadata"]["managedFields"] = [wrote("helm", server.now)]
        server.put()
        server.wait(20)
    assert (written, states(server.decide())) == (3, [("BackendDown", "Contested")])


def test_a_rotated_certificate_beside_us_changes_nothing() -> None:
    server = Server(remediation=["FailOpenWhileDown"])
    server.ready(0)
    server.step()
    server.wait(61)
    server.step()
    server.webhook["clientConfig"]["caBundle"] = "bmV3"
    server.put()
    assert (server.step(), server.webhook["failurePolicy"]) == ("", "Ignore")
    server.ready(1)
    server.step()
    assert (server.webhook["failurePolicy"], server.webhook["clientConfig"]["caBundle"]) == ("Fail", "bmV3")


def test_without_any_endpoint_slice_nothing_is_said_to_be_down() -> None:
    """Files, or a cluster of which nothing was read: doubt fails closed."""
    server = Server(remediation=STEPS)
    kind = next(one for one in server.store.cache if one.kind == "EndpointSlice")
    server.store.delete(kind, "guard", "guard-1", "e-guard-1")
    server.wait(120)
    assert findings(server)[0].reason == "BlocksControlPlane"


def test_timeouts_of_several_webhooks_add_up() -> None:
    """Two of 10 s are too long for a Lease, whose client waits 10 s: mutating ones are asked one after the other."""
    server = Server(
        Case("leases", EVERYTHING, "", 0, fields={"failurePolicy": "Ignore"}, mutating=True), remediation=[]
    )
    server.body["webhooks"].append({**server.webhook, "name": "second.example.dev"})
    server.put()
    (found,) = findings(server)
    assert (found.reason, found.message) == (
        "TimeoutsAddUp",
        (
            "an update of Lease kube-system/kube-controller-manager may wait up to 20 s for 2 webhooks, those of this "
            "configuration among them; its client gives up after 10 s"
        ),
    )


@pytest.mark.parametrize("rest", [{"suspend": True}, {"mode": "Audit"}], ids=["suspended", "audit"])
def test_a_policy_at_rest_opens_nothing_and_still_gives_back_what_it_opened(rest: dict[str, object]) -> None:
    """Open for as long as the backend is dead, as always: to close it now would block the cluster again."""
    server = opened()
    before = copy.deepcopy(server.body)
    server.obey(**rest)
    server.wait(3600)
    assert (server.step(), states(server.decide())) == ("", [("FailedOpen", "Drifted")])
    assert server.body == before
    server.ready(1)
    assert server.step() == "what it was set for is over"
    assert server.webhook["failurePolicy"] == "Fail"
    server.ready(0)
    server.wait(3600)
    server.step()
    assert (server.step(), server.webhook["failurePolicy"]) == ("", "Fail")


@pytest.mark.parametrize("rest", [{"suspend": True}, {"mode": "Audit"}], ids=["suspended", "audit"])
def test_a_policy_at_rest_that_no_longer_asks_for_it_gives_it_back(rest: dict[str, object]) -> None:
    server = opened()
    server.obey(webhooks={"reach": {"remediation": ["Timeout"]}}, **rest)
    assert (server.step(), server.webhook["failurePolicy"]) == ("what it was set for is over", "Fail")
    server = opened()
    server.obey(webhooks={}, **rest)
    assert (server.step(), server.webhook["failurePolicy"]) == ("what it was set for is over", "Fail")


def test_where_the_guard_is_proved_over_webhooks_alone_that_one_write_goes() -> None:
    """A dead mutating webhook keeps the rest from being proved; a pause stops this as well."""
    server = Server(remediation=["FailOpenWhileDown"])
    server.ready(0)
    server.step()
    server.wait(61)
    decision, policies = server.decide(), {server.policy.uid: server.policy}
    kinds = frozenset({server.body["kind"]})

    def goes(**limits: Any) -> bool:
        return bool(schedule([decision], policies, OperatorLimits(**limits), server.now).now)

    assert (goes(), goes(halted="unguarded"), goes(halted="unguarded", guarded=kinds)) == (True, False, True)


def opened() -> Server:
    """A webhook that is failed open."""
    server = Server(remediation=["FailOpenWhileDown"])
    server.ready(0)
    server.step()
    server.wait(61)
    server.step()
    assert server.webhook["failurePolicy"] == "Ignore"
    return server


def frozen() -> Server:
    """Failed open by refusals of our own writes, while its EndpointSlice says that it is ready."""
    server = Server(remediation=["FailOpenWhileDown"])
    server.decide()
    server.wait(10)
    server.refused()
    assert server.step() == ""
    (found,) = findings(server)
    assert (found.reason, found.message) == (
        "BackendDown",
        (
            f"webhook guard.example.dev: {BLOCKED} waits up to 10 s and fails now: {SERVICE} cannot be called; and 54 "
            "more kinds of requests of the control plane"
        ),
    )
    server.wait(60)
    server.refused(since=60)
    assert server.step() == "sets webhooks[name=guard.example.dev].failurePolicy"
    server.refused("")
    return server


def test_where_nobody_can_write_that_it_is_dead_our_own_refused_writes_tell() -> None:
    """It stays open until who keeps its endpoints could write the truth, and then for as long as that says."""
    server = frozen()
    server.wait(59)
    assert (server.step(), states(server.decide())) == ("", [("FailedOpen", "ReportOnly")])
    server.ready(0)
    server.wait(3600)
    assert server.step() == ""
    server.ready(1)
    assert (server.step(), server.webhook["failurePolicy"]) == ("what it was set for is over", "Fail")


def test_what_was_refused_before_it_was_opened_says_nothing_of_after() -> None:
    """To another replica, which has written nothing since."""
    server = frozen()
    server.refused(since=120)
    server.wait(1)
    server.ready(0)
    server.step()
    server.ready(1)
    assert (server.step(), server.webhook["failurePolicy"]) == ("what it was set for is over", "Fail")
    server.wait(20)
    assert (server.step(), states(server.decide())) == ("", [("BlocksControlPlane", "ReportOnly")])


def test_endpoints_that_never_change_close_it_again_after_the_same_time() -> None:
    """It may be back: and where it is not, that is the end of it for the window."""
    server = frozen()
    assert server.decide().wake_at == server.now + timedelta(seconds=60)
    server.wait(60)
    assert (server.step(), server.webhook["failurePolicy"]) == ("what it was set for is over", "Fail")
    server.refused()
    server.wait(60)
    server.refused(since=60)
    assert (server.step(), states(server.decide())) == ("", [("BackendDown", "Contested")])


def test_a_refusal_that_nothing_followed_says_nothing_any_more() -> None:
    server = Server(remediation=["FailOpenWhileDown"])
    server.refused()
    assert server.decide().wake_at == server.now + timedelta(seconds=30)
    server.wait(30)
    assert (server.step(), findings(server)[0].reason) == ("", "BlocksControlPlane")
    server.wait(60)
    assert server.step() == ""


def test_what_is_said_of_a_name_that_two_webhooks_bear_is_said_of_neither() -> None:
    server = Server(remediation=["FailOpenWhileDown"])
    other = copy.deepcopy(server.webhook)
    server.body["webhooks"].append(other)
    server.put()
    server.refused(since=120)
    assert {one.reason for one in findings(server)} == {"BlocksControlPlane"}
    assert server.step() == ""


def test_one_at_a_url_is_said_to_be_dead_and_never_opened() -> None:
    """Of a URL nobody knows when somebody answers again."""
    case = Case("url", EVERYTHING, "", 0, fields={"clientConfig": {"url": "https://a.test/"}})
    server = Server(case, remediation=["FailOpenWhileDown"])
    server.refused(since=120)
    assert (server.step(), states(server.decide())) == ("", [("BackendDown", "ReportOnly")])
    (found,) = findings(server)
    assert "fails now: its URL cannot be called" in found.message
    assert found.report_only == "of a URL nobody can tell when somebody answers there again"
