"""Every example is whole, valid and consistent: its policy selects what its README says is broken."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from resilience_operator.cli.main import main
from resilience_operator.policy.common import Mode, OnRelease
from resilience_operator.policy.policy import Policy
from resilience_operator.targets import parse, validate
from resilience_operator.targets.deployments.settings import Deployments
from resilience_operator.targets.workloads.scope import deployments_of
from tests.e2e.dns import DEFAULTS, LINEAR

EXAMPLES = Path("examples")
GITOPS = "gitops"
"""A repository and no incident: test_gitops_example."""
LAUNCH = {
    "logs-out-of-reach": "toml",
    "node-eats-itself": "toml",
    "two-disks": "yaml",
}
"""Launch settings of nodes, which `check` judges in files: incident -> ending of its files. No policy asks yet."""
INCIDENTS = (
    "conntrack-full",
    "dns-five-seconds",
    "dns-scale-down",
    "empty-service",
    "one-node-pileup",
    "ungraceful-ingress",
    "webhook-blocks-apiserver",
)
RULES = {
    "conntrack-full": {"conntrack-sysctl", "conntrack-pressure"},
    "dns-five-seconds": {"dns-config"},
    "dns-scale-down": {"coredns-floor", "coredns-spread", "coredns-budget"},
    "empty-service": {"empty-service"},
    "one-node-pileup": {"spread"},
    "ungraceful-ingress": {"graceful-shutdown"},
    "webhook-blocks-apiserver": {"webhook-reach"},
}
SELECTED = {
    "dns-five-seconds": {"catalog", "checkout", "search", "exporter"},
    "one-node-pileup": {"web", "api", "render"},
    "ungraceful-ingress": {"gateway", "orders", "accounts", "mailer"},
}
OF_NAMESPACE = {*SELECTED, "empty-service"}
"""Incidents that are over with their namespace."""


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def policy_of(incident: str) -> Policy:
    (raw,) = documents(EXAMPLES / incident / "policy.yaml")
    assert validate(raw) == ()
    policy, problems = parse(raw)
    assert problems == ()
    return policy


def section_of(incident: str) -> Deployments:
    section = deployments_of(policy_of(incident))
    assert section is not None
    return section


def deployments(incident: str) -> dict[str, dict[str, Any]]:
    found = [each for each in documents(EXAMPLES / incident / "broken.yaml") if each["kind"] == "Deployment"]
    return {each["metadata"]["name"]: each for each in found}


def test_there_is_an_example_for_each_incident() -> None:
    assert sorted(path.name for path in EXAMPLES.iterdir() if path.name != GITOPS) == sorted(
        (*INCIDENTS, *LAUNCH)
    )


@pytest.mark.parametrize("incident", INCIDENTS)
def test_the_policy_is_named_after_the_incident_and_enforces_its_rules_alone(incident: str) -> None:
    policy = policy_of(incident)
    assert (policy.name, policy.mode, policy.on_release) == (incident, Mode.ENFORCE, OnRelease.REVERT)
    assert set(policy.rules) == RULES[incident]
    assert policy.warnings == ()


def test_the_agents_of_dns_scale_down_have_a_policy_of_their_own() -> None:
    (raw,) = documents(EXAMPLES / "dns-scale-down" / "agents.yaml")
    policy, problems = parse(raw)
    assert (validate(raw), problems) == ((), ())
    assert (policy.name, policy.mode, set(policy.rules)) == (
        "dns-scale-down-agents",
        Mode.ENFORCE,
        {"conntrack-stale"},
    )


@pytest.mark.parametrize("incident", SELECTED)
def test_the_policy_selects_the_shop_and_not_the_twin(incident: str) -> None:
    section = section_of(incident)
    selected = {
        name
        for name, each in deployments(incident).items()
        if section.selector.matches(each["metadata"]["labels"])
        and section.namespaces.covers(each["metadata"]["namespace"])
    }
    assert selected == SELECTED[incident]


def test_the_twin_is_the_same_but_for_its_name_and_the_label() -> None:
    web, twin = (deployments("one-node-pileup")[name] for name in ("web", "web-twin"))
    relabelled = yaml.safe_load(yaml.safe_dump(twin).replace("web-twin", "web"))
    for labels in (relabelled["metadata"]["labels"], relabelled["spec"]["template"]["metadata"]["labels"]):
        labels["app.kubernetes.io/part-of"] = "shop"
    assert relabelled == web


@pytest.mark.parametrize("incident", INCIDENTS)
def test_the_readme_says_how_to_try_it_and_how_to_end_it(incident: str) -> None:
    text = (EXAMPLES / incident / "README.md").read_text(encoding="utf-8")
    for command in (
        f"kubectl apply -f examples/{incident}/broken.yaml",
        f"kubectl apply -f examples/{incident}/policy.yaml",
        f"kubectl describe rp {incident}",
        f"kubectl delete rp {incident}",
    ):
        assert command in text
    ends = f"kubectl delete namespace {incident}"
    assert (ends in text) == (incident in OF_NAMESPACE), "the others are about what is no namespace's own"
    assert "**The incident.**" in text


@pytest.mark.parametrize("incident", INCIDENTS)
def test_every_container_requests_cpu_and_memory_so_that_a_scheduler_can_pile_it_up(incident: str) -> None:
    for each in deployments(incident).values():
        for container in each["spec"]["template"]["spec"]["containers"]:
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}


@pytest.mark.parametrize("incident", ["dns-scale-down", "empty-service"])
def test_the_readme_shows_what_check_prints(incident: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = EXAMPLES / incident
    assert main(["check", f"{folder}/broken.yaml", "-p", f"{folder}/policy.yaml"]) == 1
    assert f"```\n{capsys.readouterr().out}```" in (folder / "README.md").read_text(encoding="utf-8")


def test_the_parameters_of_dns_scale_down_are_what_the_end_to_end_tests_hold() -> None:
    found = {
        (each["kind"], each["metadata"]["name"]): each
        for each in documents(EXAMPLES / "dns-scale-down" / "broken.yaml")
    }
    assert found["ConfigMap", "coredns-autoscaler"]["data"] == {"linear": LINEAR}
    (container,) = found["Deployment", "coredns-autoscaler"]["spec"]["template"]["spec"]["containers"]
    assert f"--default-params={DEFAULTS}" in container["command"]


@pytest.mark.parametrize(("incident", "ending"), LAUNCH.items())
def test_the_readme_of_launch_settings_shows_what_check_prints(
    incident: str, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = EXAMPLES / incident
    assert main(["check", f"{folder}/broken.{ending}"]) == 1
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert f"```\n{capsys.readouterr().out}```" in text
    assert "**The incident.**" in text


@pytest.mark.parametrize(("incident", "ending"), LAUNCH.items())
def test_fixed_launch_settings_have_no_finding(incident: str, ending: str) -> None:
    assert main(["check", f"{EXAMPLES / incident}/fixed.{ending}"]) == 0
