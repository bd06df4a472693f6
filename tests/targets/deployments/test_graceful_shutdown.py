"""Rule graceful-shutdown: which containers serve, what their hooks are worth, what grace period follows."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_operator.core.findings import EMPTY, Demand, Finding, Skipped, Verdict
from resilience_operator.core.paths import ABSENT, Path
from resilience_operator.core.state import Held, ObjectState
from resilience_operator.targets.deployments.graceful_shutdown import check
from resilience_operator.targets.deployments.serving import serving
from resilience_operator.targets.deployments.settings import GracefulShutdown
from resilience_operator.targets.deployments.sleeps import known_sleep
from resilience_operator.targets.workloads.view import DeploymentView, Known
from tests.support.views import applied, deployment, held, service, view

RULE = GracefulShutdown()
EVERYWHERE = GracefulShutdown(applies_to="All")
GRACE = Path.parse("spec.template.spec.terminationGracePeriodSeconds")
SLEEP = {"sleep": {"seconds": 15}}
NO_TIME = "terminationGracePeriodSeconds is 30; 45 are demanded"


def hook(container: str = "web") -> Path:
    return Path.parse(f"spec.template.spec.containers[name={container}].lifecycle.preStop")


def container(name: str = "web", *ports: Any, pre_stop: Any = None) -> dict[str, Any]:
    body: dict[str, Any] = {"name": name, "image": "shop/web:1", "ports": list(ports)}
    return body | ({"lifecycle": {"preStop": pre_stop}} if pre_stop is not None else {})


def pod(*containers: dict[str, Any], grace: int | None = None) -> dict[str, Any]:
    body: dict[str, Any] = {"containers": list(containers)}
    return body | ({"terminationGracePeriodSeconds": grace} if grace is not None else {})


WEB = {"containerPort": 8080, "name": "http"}


def served(pre_stop: Any = None, grace: int | None = None, **known: Any) -> DeploymentView:
    """shop/web behind a Service, with that hook and grace period."""
    body = pod(container("web", WEB, pre_stop=pre_stop), grace=grace)
    return view(deployment(pod=body), services=[service()], **known)


def drift(
    subject: DeploymentView, reason: str, message: str, path: Path, observed: Any, desired: Any
) -> Finding:
    return Finding("graceful-shutdown", reason, subject.deployment.ref, message, observed, desired, path)


def demand(path: Path, value: Any, *, never_take: bool = False) -> Demand:
    return Demand("graceful-shutdown", path, value, never_take=never_take)


def test_a_served_container_gets_a_sleep_and_the_pod_a_longer_grace_period() -> None:
    subject = served()
    message = "container web serves a port of a Service and has no preStop hook"
    assert check(RULE, subject) == Verdict(
        (
            drift(subject, "NoPreStop", message, hook(), None, SLEEP),
            drift(subject, "GracePeriodTooShort", NO_TIME, GRACE, 30, 45),
        ),
        (demand(hook(), SLEEP), demand(GRACE, 45)),
    )


def test_a_deployment_behind_no_service_is_left_alone() -> None:
    assert check(RULE, view(deployment())) == EMPTY


@pytest.mark.parametrize(
    "other",
    [
        service(selector={}),
        service(selector={"app": "web", "tier": "front"}),
        service(namespace="other"),
        service(type="ExternalName"),
    ],
)
def test_a_service_that_does_not_select_the_pods_exposes_nothing(other: Any) -> None:
    assert check(RULE, view(deployment(), services=[other])) == EMPTY


def test_without_services_the_rule_is_skipped_and_never_passed() -> None:
    subject = view(deployment(), known=Known(services=False))
    assert check(RULE, subject) == Verdict(
        skipped=(
            Skipped(
                "graceful-shutdown",
                subject.deployment.ref,
                "no Service was read: who sends it requests is unknown",
            ),
        )
    )


def test_applies_to_all_judges_every_container_where_no_service_tells_which() -> None:
    subject = view(deployment(pod=pod(container("web", WEB), container("worker"))))
    assert [found.message for found in check(EVERYWHERE, subject).findings] == [
        "container web has no preStop hook",
        "container worker has no preStop hook",
        NO_TIME,
    ]
    behind = replace(subject, services=(service(),))
    assert [found.path for found in check(EVERYWHERE, behind).findings] == [hook("web"), GRACE]


TWO = (container("web", WEB), container("proxy", {"containerPort": 9090, "name": "admin"}))


@pytest.mark.parametrize(
    ("containers", "ports", "names", "unknown"),
    [
        (TWO, [{"port": 80, "targetPort": 8080}], ["web"], ()),
        (TWO, [{"port": 80, "targetPort": "admin"}], ["proxy"], ()),
        (TWO, [{"port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 9090}], ["web", "proxy"], ()),
        (TWO, [{"port": 9090}], ["proxy"], ()),
        (
            TWO,
            [{"port": 80, "targetPort": 7070}],
            [],
            ("Service web targets port 7070, which no container declares",),
        ),
        ((container("web"),), [{"port": 80, "targetPort": 7070}], ["web"], ()),
        (
            (container("web"),),
            [{"port": 80, "targetPort": "http"}],
            [],
            ("Service web targets port http, which no container declares",),
        ),
    ],
)
def test_which_containers_serve(
    containers: Any, ports: list[dict[str, Any]], names: list[str], unknown: tuple[str, ...]
) -> None:
    found = serving(view(deployment(pod=pod(*containers)), services=[service(*ports)]))
    assert ([one.name for one in found.containers], found.unknown) == (names, unknown)


def test_a_sidecar_that_serves_is_left_alone() -> None:
    sidecar = container("mesh", {"containerPort": 15000}) | {"restartPolicy": "Always"}
    body = pod(*TWO) | {"initContainers": [sidecar]}
    found = serving(view(deployment(pod=body), services=[service({"port": 15000})]))
    assert (found.containers, found.unknown) == ((), ())


def test_an_unknown_serving_container_is_reported() -> None:
    subject = view(deployment(pod=pod(*TWO)), services=[service({"port": 7070})])
    assert check(RULE, subject).findings[0] == Finding(
        "graceful-shutdown",
        "UnknownServingContainer",
        subject.deployment.ref,
        "Service web targets port 7070, which no container declares",
        report_only="which container serves the port is not known",
    )


def command(*words: str) -> dict[str, Any]:
    return {"exec": {"command": list(words)}}


@pytest.mark.parametrize(
    ("handler", "seconds"),
    [
        ({"sleep": {"seconds": 5}}, 5),
        (command("sleep", "20"), 20),
        (command("/bin/sleep", "2.5s"), 2.5),
        (command("sh", "-c", "sleep 10"), 10),
        (command("/bin/bash", "-c", " sleep  10s "), 10),
        (command("sh", "-c", "sleep 10 && nginx -s quit"), None),
        (command("sh", "-c", "sleep $DELAY"), None),
        (command("sleep", "1m"), None),
        (command("sleep", "5", "5"), None),
        (command("sleep", "infinity"), None),
        (command("sleep"), None),
        (command("/usr/local/bin/drain"), None),
        ({"exec": {"command": "sleep 5"}}, None),
        ({"exec": None}, None),
        ({"httpGet": {"path": "/drain", "port": 80}}, None),
        ({"sleep": {"seconds": "5"}}, None),
        ({}, None),
        (None, None),
    ],
)
def test_only_what_is_exactly_a_sleep_has_a_known_duration(handler: Any, seconds: float | None) -> None:
    assert known_sleep(handler) == seconds


def test_an_owners_hook_that_sleeps_long_enough_satisfies() -> None:
    subject = served(command("sleep", "15"), grace=60)
    assert check(RULE, subject) == Verdict(demands=(demand(GRACE, 60),))


def test_an_owners_shorter_hook_is_reported_and_never_taken() -> None:
    subject = served(command("sleep", "5"), grace=60)
    message = "the preStop hook of container web sleeps 5 s; 15 s are demanded"
    assert check(RULE, subject) == Verdict(
        (drift(subject, "PreStopTooShort", message, hook(), command("sleep", "5"), SLEEP),),
        (demand(hook(), SLEEP, never_take=True), demand(GRACE, 60)),
    )


def test_an_owners_other_hook_is_unknown_and_skipped() -> None:
    subject = served(command("drain"), grace=45)
    why = "the preStop hook of container web runs something whose duration is unknown"
    assert check(RULE, subject) == Verdict(
        demands=(demand(GRACE, 45),),
        skipped=(Skipped("graceful-shutdown", subject.deployment.ref, why),),
    )


def test_the_application_keeps_the_time_that_its_owner_gave_it() -> None:
    subject = served(grace=120)
    found = check(RULE, subject)
    assert found.demands == (demand(hook(), SLEEP), demand(GRACE, 135))
    assert found.findings[1].message == "terminationGracePeriodSeconds is 120; 135 are demanded"
    written = applied(subject, found)
    assert check(RULE, written) == Verdict(demands=(demand(hook(), SLEEP), demand(GRACE, 135)))


def test_a_hook_that_does_not_fit_its_grace_period_gets_the_owners_time_after_it() -> None:
    subject = served(command("sleep", "60"))
    message = (
        "the preStop hook of container web sleeps 60 s, terminationGracePeriodSeconds is 30:"
        " the application gets no time to stop"
    )
    verdict = Verdict(
        (drift(subject, "HookExceedsGracePeriod", message, GRACE, 30, 90),), (demand(GRACE, 90),)
    )
    assert check(RULE, subject) == verdict
    assert check(RULE, applied(subject, verdict)) == Verdict(demands=(demand(GRACE, 90),))


def test_a_hook_of_a_container_that_serves_nothing_must_fit_as_well() -> None:
    body = pod(
        container("web", WEB, pre_stop=SLEEP), container("logs", pre_stop=command("sleep", "45")), grace=45
    )
    subject = view(deployment(pod=body), services=[service()])
    assert [(found.reason, found.desired) for found in check(RULE, subject).findings] == [
        ("HookExceedsGracePeriod", 90)
    ]


def test_the_sleep_action_waits_for_a_server_that_knows_it() -> None:
    old = check(RULE, served(server=(1, 29)))
    why = "the preStop sleep action needs Kubernetes 1.30; the server is 1.29"
    assert ([found.report_only for found in old.findings], old.demands) == ([why, why], ())
    assert check(RULE, served(server=(1, 30))).demands == (demand(hook(), SLEEP), demand(GRACE, 45))


def test_a_hook_of_ours_follows_the_policy_both_ways() -> None:
    ours = applied(served(), check(RULE, served()))
    for seconds, grace in ((20, 50), (10, 45)):
        verdict = check(GracefulShutdown(pre_stop_sleep_seconds=seconds), ours)
        assert verdict.demands == (demand(hook(), {"sleep": {"seconds": seconds}}), demand(GRACE, grace))
        assert verdict.findings[0].reason == "HeldValueDiffers"
        assert (
            verdict.findings[0].message
            == "the preStop hook of container web was written for an earlier policy"
        )
    shorter = check(GracefulShutdown(min_termination_grace_period_seconds=0, pre_stop_sleep_seconds=1), ours)
    assert shorter.findings[1].message == "terminationGracePeriodSeconds 45 was written for an earlier policy"
    assert shorter.demands[1] == demand(GRACE, 31)


def test_a_hook_of_ours_that_is_gone_is_missing_again() -> None:
    subject = served(grace=45, state=held(str(hook()), SLEEP))
    assert [found.reason for found in check(RULE, subject).findings] == ["NoPreStop", "GracePeriodTooShort"]


def test_a_hook_that_somebody_put_in_the_place_of_ours_is_theirs() -> None:
    both = {str(hook()): Held("r", SLEEP), str(GRACE): Held("r", 45, was=30)}
    subject = served({"sleep": {"seconds": 25}}, grace=45, state=ObjectState(uid="d-1", leaves=both))
    assert check(RULE, subject) == Verdict(demands=(demand(GRACE, 45),))


def test_a_grace_period_that_somebody_changed_after_us_is_theirs_and_has_the_sleep_added() -> None:
    both = {str(hook()): Held("r", SLEEP), str(GRACE): Held("r", 45, was=ABSENT)}
    state = ObjectState(uid="d-1", leaves=both)
    for theirs, demanded in ((600, 615), (40, 55), (20, 45)):
        found = check(RULE, served(SLEEP, grace=theirs, state=state)).findings
        assert [(one.reason, one.desired) for one in found] == [("GracePeriodTooShort", demanded)]


def test_what_we_hold_outlives_a_service_that_vanished_or_was_not_read() -> None:
    ours = applied(served(), check(RULE, served()))
    kept = (demand(hook(), SLEEP), demand(GRACE, 45))
    assert check(RULE, replace(ours, services=())) == Verdict(demands=kept)
    unread = check(RULE, replace(ours, services=(), known=Known(services=False)))
    assert (unread.demands, unread.findings) == (kept, ())


handlers = st.sampled_from(
    [
        None,
        None,
        SLEEP,
        {"sleep": {"seconds": 90}},
        command("sleep", "5"),
        command("sleep", "40"),
        command("x"),
    ]
)


@given(
    st.builds(
        GracefulShutdown,
        pre_stop_sleep_seconds=st.integers(1, 60),
        min_termination_grace_period_seconds=st.integers(0, 100),
        applies_to=st.sampled_from(["Exposed", "All"]),
    ),
    st.tuples(handlers, handlers),
    st.one_of(st.none(), st.integers(0, 120)),
    st.sampled_from(
        [(), (service(),), (service({"port": 9090}), service(name="b")), (service({"port": 1}),)]
    ),
)
def test_writing_what_is_demanded_ends_every_drift_that_may_be_ended(
    rule: GracefulShutdown, hooks: tuple[Any, Any], grace: int | None, services: Any
) -> None:
    body = pod(
        container("web", WEB, pre_stop=hooks[0]),
        container("proxy", {"containerPort": 9090}, pre_stop=hooks[1]),
        grace=grace,
    )
    subject = view(deployment(pod=body), services=services)
    first = check(rule, subject)
    assert check(rule, subject) == first
    takeable = tuple(demand for demand in first.demands if not demand.never_take)
    written = applied(subject, replace(first, demands=takeable))
    second = check(rule, written)
    assert [
        found for found in second.findings if not found.report_only and found.reason != "PreStopTooShort"
    ] == []
    assert second.demands == first.demands
    hooked = [
        known_sleep(one.lifecycle.pre_stop) or 0
        for one in written.deployment.spec.template.spec.containers
        if one.lifecycle is not None
    ]
    after = written.deployment.spec.template.spec.termination_grace_period_seconds
    if takeable:
        assert after is not None
        assert after >= max(30 if grace is None else grace, *hooked, 0)
