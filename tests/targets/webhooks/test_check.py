"""`check` of webhook configurations in files: what would be blocked, never whether a backend answers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resilience_operator.cli.main import main
from tests.targets.webhooks.configurations import OWN, Case, rule, where

POLICY = """apiVersion: resilience.dev/v1alpha1
kind: ResiliencePolicy
metadata: {name: p}
spec: {webhooks: {reach: {}}}
"""
Check = Callable[..., list[str]]
HEAD = "shop.json:1: [webhook-reach] ValidatingWebhookConfiguration guard: webhook guard.example.dev: "
LEASE = "an update of Lease kube-system/kube-controller-manager"
RISK = f"{LEASE} would wait up to 10 s and fail whenever its backend Service guard/guard does not answer"
OWNER = (
    "; reported only: nothing in remediation would end it (NamespaceSelector where that fits, else its owner has to "
    "narrow its rules)"
)
REST = f"; and 2 more kinds of requests of the control plane{OWNER}"
UNKNOWN = (
    "whether a protected request is sent depends on labels of its Namespace that are not known, which the files do not "
    "say"
)
SLOW = f"{LEASE} waits up to 30 s for its URL; the policy allows 10 s{OWNER.replace('NamespaceSelector', 'Timeout')}"
LEASES = [rule("leases", "UPDATE", "coordination.k8s.io", "v1")]
SKIPPED = "skipped: [webhook-reach] 1 ValidatingWebhookConfiguration: "


def webhook(rules: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return Case("x", rules, "", 0, fields=fields).configuration()


def thing(
    kind: str, name: str, namespace: str = "", labels: dict[str, str] | None = None, **spec: Any
) -> Any:
    meta = (
        {"name": name}
        | ({"namespace": namespace} if namespace else {})
        | ({"labels": labels} if labels else {})
    )
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, **({"spec": spec} if spec else {})}


SERVICE = thing("Service", "guard", OWN, ports=[{"port": 443}])


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    monkeypatch.chdir(tmp_path)
    Path("policy.yaml").write_text(POLICY, encoding="utf-8")

    def run(objects: list[Any], *flags: str) -> list[str]:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        Path("shop.json").write_text(text, encoding="utf-8")
        code = main(["check", "shop.json", "-p", "policy.yaml", *flags])
        *lines, last = capsys.readouterr().out.splitlines()
        assert code == (0 if last.startswith("0 findings") else 1)
        return lines

    return run


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        pytest.param(
            [webhook(LEASES), SERVICE],
            [f"{HEAD}{RISK}{REST}"],
            id="what it would block",
        ),
        pytest.param(
            [webhook(LEASES)],
            [f"{SKIPPED}Service guard/guard that it calls was not read"],
            id="without its Service",
        ),
        pytest.param([webhook(LEASES, failurePolicy="Ignore"), SERVICE], [], id="open"),
        pytest.param(
            [webhook([rule("services", "*", "core")]), SERVICE],
            [],
            id="of what the control plane does not need",
        ),
        pytest.param(
            [webhook(LEASES, namespaceSelector=where("exempt", "NotIn", "true")), SERVICE],
            [SKIPPED + UNKNOWN],
            id="by labels of Namespaces that the input does not hold",
        ),
        pytest.param(
            [
                webhook(LEASES, namespaceSelector=where("exempt", "NotIn", "true")),
                SERVICE,
                thing("Namespace", "kube-system", labels={"exempt": "true"}),
                thing("Namespace", "kube-node-lease", labels={"exempt": "true"}),
            ],
            [],
            id="by labels of Namespaces that it holds",
        ),
        pytest.param(
            [webhook(LEASES), thing("Service", "guard", OWN, type="ExternalName", externalName="a.test")],
            [f"{HEAD}{RISK} (its Service is an ExternalName){REST}"],
            id="an ExternalName",
        ),
        pytest.param(
            [
                webhook(
                    LEASES, failurePolicy="Ignore", clientConfig={"url": "https://a.test/"}, timeoutSeconds=30
                ),
                SERVICE,
            ],
            [HEAD + SLOW],
            id="a URL, too long",
        ),
    ],
)
def test_of_a_configuration_of_files_is_said_what_it_would_block(
    check: Check, objects: list[Any], expected: list[str]
) -> None:
    assert check(objects) == expected


def test_complete_input_without_its_service_is_judged_all_the_same(check: Check) -> None:
    """It calls what is not there: that is no reason to say nothing."""
    (line,) = check([webhook(LEASES)], "--complete")
    assert line.startswith(HEAD + RISK)


def test_one_in_two_files_counts_once_in_the_sum_of_timeouts(
    check: Check, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Two overlays of one mutating webhook are never in one cluster."""
    body = Case("x", LEASES, "", 0, fields={"failurePolicy": "Ignore"}, mutating=True).configuration()
    for name in ("a.json", "b.json"):
        Path(name).write_text(json.dumps(body), encoding="utf-8")
    other = body | {"metadata": {"name": "other"}}
    Path("service.json").write_text(json.dumps(SERVICE), encoding="utf-8")
    assert main(["check", "a.json", "b.json", "service.json", "-p", "policy.yaml"]) == 0
    Path("c.json").write_text(json.dumps(other), encoding="utf-8")
    assert main(["check", "a.json", "c.json", "service.json", "-p", "policy.yaml"]) == 1
    assert f"{LEASE} may wait up to 20 s for 2 webhooks" in capsys.readouterr().out
