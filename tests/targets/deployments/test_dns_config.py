"""Rule dns-config: the owner's options in their order, the policy's in place or after them."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_operator.core.findings import EMPTY, Demand, Finding, Verdict
from resilience_operator.core.paths import ABSENT, Path
from resilience_operator.core.state import Held, ObjectState
from resilience_operator.targets.deployments.dns_config import check
from resilience_operator.targets.deployments.settings import DNSConfig, DNSOption
from resilience_operator.targets.workloads.view import DeploymentView
from tests.support.views import applied, deployment, view

RULE = DNSConfig()
OPTIONS = Path.parse("spec.template.spec.dnsConfig.options")
REOPEN = {"name": "single-request-reopen"}


def option(name: str, value: str | None = None) -> dict[str, str]:
    return {"name": name} | ({"value": value} if value is not None else {})


def rule(*options: tuple[str, str | None], **other: Any) -> DNSConfig:
    return DNSConfig(options=tuple(DNSOption(*one) for one in options), **other)


def resolving(*options: dict[str, str], image: str = "shop/web:1", state: Any = None) -> DeploymentView:
    body = {"containers": [{"name": "web", "image": image}], "dnsConfig": {"options": list(options)}}
    return view(deployment(pod=body), state=state or ObjectState())


def verdict(
    subject: DeploymentView, message: str, observed: Any, desired: Any, reason: str = "MissingOption"
) -> Verdict:
    found = Finding("dns-config", reason, subject.deployment.ref, message, observed, desired, OPTIONS)
    return Verdict((found,), (Demand("dns-config", OPTIONS, desired),))


def test_an_option_that_is_missing_is_demanded() -> None:
    subject = view(deployment())
    assert check(RULE, subject) == verdict(
        subject, "dnsConfig.options lacks single-request-reopen", None, [REOPEN]
    )


def test_an_option_that_is_there_is_demanded_on() -> None:
    subject = resolving(option("ndots", "2"), REOPEN)
    assert check(RULE, subject) == Verdict(
        demands=(Demand("dns-config", OPTIONS, [option("ndots", "2"), REOPEN]),)
    )


def test_the_owners_options_keep_their_order_and_values_are_set_in_place() -> None:
    subject = resolving(option("timeout", "5"), option("ndots", "2"), option("edns0"))
    asked = rule(("use-vc", None), ("timeout", "2"), ("attempts", "3"))
    assert check(asked, subject) == verdict(
        subject,
        "dnsConfig.options lacks use-vc, has timeout:5 instead of timeout:2, lacks attempts:3",
        [option("timeout", "5"), option("ndots", "2"), option("edns0")],
        [
            option("timeout", "2"),
            option("ndots", "2"),
            option("edns0"),
            option("use-vc"),
            option("attempts", "3"),
        ],
    )


def test_ndots_needs_to_be_allowed_in_so_many_words() -> None:
    assert check(rule(("ndots", "1")), view(deployment())) == EMPTY
    (demand,) = check(rule(("ndots", "1"), allow_search_change=True), view(deployment())).demands
    assert demand.value == [option("ndots", "1")]


@pytest.mark.parametrize(
    ("image", "matched"),
    [
        ("nginx:1.29-alpine", True),
        ("registry.example/library/alpine@sha256:00", True),
        ("alpine.example/shop/web:1", True),
        ("shop/web:1", False),
    ],
)
def test_an_image_that_is_known_to_be_musl_is_reported_alone(image: str, matched: bool) -> None:
    found = check(RULE, resolving(image=image))
    why = f"image {image} matches reportOnlyImages *alpine*: musl ignores the option" if matched else ""
    assert ([one.report_only for one in found.findings], bool(found.demands)) == ([why], not matched)


def test_a_glob_matches_the_name_without_its_registry_too() -> None:
    (found,) = check(rule(("edns0", None), report_only_images=("web:*",)), resolving()).findings
    assert found.report_only == "image shop/web:1 matches reportOnlyImages web:*: musl ignores the option"


@pytest.mark.parametrize(
    ("pod", "why"),
    [
        ({"os": {"name": "windows"}}, "os.name is windows: Windows ignores the option"),
        (
            {"nodeSelector": {"disk": "ssd", "kubernetes.io/os": "windows"}},
            "nodeSelector kubernetes.io/os is windows: Windows ignores the option",
        ),
        ({"os": {"name": "linux"}, "nodeSelector": {"kubernetes.io/os": "linux"}}, ""),
    ],
)
def test_a_pod_of_windows_is_reported_alone(pod: dict[str, Any], why: str) -> None:
    subject = view(deployment(pod=pod))
    lacking = verdict(subject, "dnsConfig.options lacks single-request-reopen", None, [REOPEN])
    if why:
        lacking = Verdict((replace(lacking.findings[0], report_only=why, committable=False),))
    assert check(RULE, subject) == lacking


def held(value: Any, was: Any = ABSENT) -> ObjectState:
    return ObjectState(uid="d-1", leaves={str(OPTIONS): Held("dns-config", value, was)})


def test_an_option_that_the_policy_no_longer_asks_for_leaves_our_list() -> None:
    own = [option("ndots", "2")]
    subject = resolving(*own, REOPEN, state=held([*own, REOPEN], own))
    assert check(rule(("edns0", None)), subject) == verdict(
        subject, "dnsConfig.options lacks edns0", [*own, REOPEN], [*own, option("edns0")]
    )
    subject = resolving(REOPEN, option("edns0"), state=held([REOPEN, option("edns0")]))
    assert check(RULE, subject) == verdict(
        subject,
        "dnsConfig.options was written for an earlier policy",
        [REOPEN, option("edns0")],
        [REOPEN],
        "HeldValueDiffers",
    )


def test_a_list_that_the_owner_changed_after_us_is_merged_anew() -> None:
    own = [option("ndots", "3"), option("edns0")]
    (demand,) = check(RULE, resolving(*own, state=held([REOPEN]))).demands
    assert demand.value == [*own, REOPEN]


def test_a_list_of_ours_is_kept_where_nothing_may_be_changed() -> None:
    subject = resolving(REOPEN, image="alpine:3", state=held([REOPEN]))
    kept = Verdict(demands=(Demand("dns-config", OPTIONS, [REOPEN]),))
    assert check(RULE, subject) == kept
    more = check(rule(("single-request-reopen", None), ("edns0", None)), subject)
    assert (more.demands, [found.message for found in more.findings]) == (
        kept.demands,
        ["dnsConfig.options lacks edns0"],
    )


names = st.sampled_from(["single-request-reopen", "timeout", "attempts", "edns0", "ndots"])
values = st.one_of(st.none(), st.sampled_from(["1", "2"]))
pairs = st.tuples(names, values)


@given(
    st.lists(pairs, unique_by=lambda pair: pair[0]),
    st.booleans(),
    st.one_of(st.none(), st.lists(pairs, max_size=4)),
)
def test_writing_what_is_demanded_ends_the_drift_and_drops_none_of_the_owners(
    asked: list[tuple[str, str | None]], search: bool, own: list[tuple[str, str | None]] | None
) -> None:
    settings = rule(*asked, allow_search_change=search)
    subject = view(deployment()) if own is None else resolving(*(option(*pair) for pair in own))
    first = check(settings, subject)
    assert check(settings, subject) == first
    second = check(settings, applied(subject, first))
    assert second == replace(first, findings=())
    for demand in first.demands:
        assert [one["name"] for one in demand.value][: len(own or [])] == [name for name, _ in own or []]
