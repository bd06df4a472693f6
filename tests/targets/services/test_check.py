"""`check` of Services in files: each finding with its line, and what is skipped and never passed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from resilience_operator.cli.main import main

POLICY = """apiVersion: resilience.dev/v1alpha1
kind: ResiliencePolicy
metadata: {name: p}
spec: {services: {empty: {namespaces: {exclude: ["sandbox-*"]}}}}
"""
WEB = """apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, tier: front}}
    spec: {containers: [{name: web, image: "web:1", ports: [{name: http, containerPort: 8080}]}]}
"""
REPORTED = "reported only: where a Service is to lead is for its owner to say"
Check = Callable[..., list[str]]


def service(selector: str, target: str = "http", namespace: str = "default", **spec: str) -> str:
    more = "".join(f", {key}: {text}" for key, text in spec.items())
    return (
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: {namespace}}}\n"
        f"spec: {{selector: {selector}, ports: [{{port: 80, targetPort: {target}}}]{more}}}\n"
    )


def workload(kind: str, version: str, spec: str) -> str:
    return f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: it}}\nspec: {spec}\n"


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    monkeypatch.chdir(tmp_path)
    Path("policy.yaml").write_text(POLICY, encoding="utf-8")

    def run(*documents: str, flags: tuple[str, ...] = ()) -> list[str]:
        Path("shop.yaml").write_text("---\n".join(documents), encoding="utf-8")
        code = main(["check", "shop.yaml", "-p", "policy.yaml", *flags])
        *lines, last = capsys.readouterr().out.splitlines()
        assert code == (0 if last.startswith("0 findings") else 1)
        return [line for line in lines if "the operator judges Deployments" not in line]

    return run


HEAD = "shop.yaml:1: [empty-service] Service default/web:"
TEMPLATE = "{template: {metadata: {labels: {app: db}}}}"
SKIPPED = "skipped: [empty-service] 1 Service:"


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        pytest.param([service("{app: web}"), WEB], [], id="a workload with its labels and its port"),
        pytest.param(
            [service("{app: wbe}"), WEB],
            [
                (
                    f"{HEAD} its selector app=wbe matches no workload of the input; the pods of Deployment web have"
                    f" app=web, not app=wbe; {REPORTED}"
                )
            ],
            id="a letter off",
        ),
        pytest.param(
            [service("{app: web, tier: back}"), WEB],
            [
                (
                    f"{HEAD} its selector app=web,tier=back matches no workload of the input; the pods of Deployment"
                    f" web have tier=front, not tier=back; {REPORTED}"
                )
            ],
            id="all labels but one",
        ),
        pytest.param(
            [service("{app: payments}"), WEB],
            [f"{HEAD} its selector app=payments matches no workload of the input; {REPORTED}"],
            id="nothing that comes near",
        ),
        pytest.param(
            [service("{app: web}", "web"), WEB],
            [
                (
                    f"{HEAD} port 80 leads nowhere: no container of Deployment web declares a port web (they declare"
                    f" http); {REPORTED}"
                )
            ],
            id="a port's name that no container declares",
        ),
        pytest.param(
            [service("{app: web}", "9090"), WEB], [], id="a port's number may be listened on undeclared"
        ),
        pytest.param(
            [service("{app: db}", "sql"), WEB, workload("StatefulSet", "apps/v1", TEMPLATE)],
            [],
            id="a StatefulSet",
        ),
        pytest.param(
            [service("{app: db}"), WEB, workload("Rollout", "argoproj.io/v1alpha1", TEMPLATE)],
            [],
            id="a Rollout",
        ),
        pytest.param(
            [
                service("{app: db}"),
                WEB,
                workload("CronJob", "batch/v1", f"{{jobTemplate: {{spec: {TEMPLATE}}}}}"),
            ],
            [],
            id="a CronJob",
        ),
        pytest.param(
            [service("{app: db}"), "apiVersion: v1\nkind: Pod\nmetadata: {name: db, labels: {app: db}}\n"],
            [],
            id="a pod",
        ),
        pytest.param(
            [service("{app: db}"), WEB, workload("Cluster", "postgresql.cnpg.io/v1", "{instances: 3}")],
            [f"{SKIPPED} its selector matches no workload of the input; Cluster it may make such pods"],
            id="a custom resource that may make the pods",
        ),
        pytest.param(
            [service("{app: wbe}"), WEB, workload("ServiceMonitor", "monitoring.coreos.com/v1", "{}")],
            [
                (
                    f"{HEAD} its selector app=wbe matches no workload of the input; the pods of Deployment web have"
                    f" app=web, not app=wbe; {REPORTED}"
                )
            ],
            id="a letter off, beside a custom resource",
        ),
        pytest.param(
            [service("{app: db}"), workload("Deployment", "apps/v1", "{replicas: 3}")],
            [
                f"{SKIPPED} its selector matches no workload of the input; Deployment it may make such pods",
                (
                    "skipped: shop.yaml:6 Deployment it is incomplete (spec.selector is missing): a patch? render it"
                    " first: kustomize build DIR | kubectl resilience check -"
                ),
            ],
            id="a patch of a Deployment",
        ),
        pytest.param(
            [service("{app: web}", namespace="other"), WEB],
            [f"{SKIPPED} no workload of its Namespace was read: whether its selector matches one is unknown"],
            id="workloads of another Namespace alone",
        ),
        pytest.param([service("{}"), WEB], [], id="no selector"),
        pytest.param([service("{app: wbe}", type="ExternalName"), WEB], [], id="ExternalName"),
        pytest.param(
            [
                service("{app: wbe}", namespace="sandbox-1"),
                WEB.replace("name: web}", "name: web, namespace: sandbox-1}", 1),
            ],
            [],
            id="a Namespace that the policy leaves out",
        ),
    ],
)
def test_a_service_of_files_leads_to_a_workload_of_the_input(
    check: Check, documents: list[str], expected: list[str]
) -> None:
    assert check(*documents) == expected


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        pytest.param(
            [service("{app: web}", namespace="other"), WEB],
            [
                (
                    "shop.yaml:1: [empty-service] Service other/web: its selector app=web matches no workload of the"
                    f" input; {REPORTED}"
                )
            ],
            id="workloads of another Namespace alone",
        ),
        pytest.param(
            [service("{app: db}"), workload("Cluster", "postgresql.cnpg.io/v1", "{instances: 3}")],
            [f"{SKIPPED} its selector matches no workload of the input; Cluster it may make such pods"],
            id="a custom resource that may make the pods",
        ),
    ],
)
def test_of_complete_input_what_is_in_none_of_the_files_is_missing(
    check: Check, documents: list[str], expected: list[str]
) -> None:
    assert check(*documents, flags=("--complete",)) == expected


OTHER = WEB.replace("app: web", "app: old")


@pytest.mark.parametrize(
    ("files", "found"),
    [
        pytest.param({"new/web.yaml": WEB, "old/web.yaml": OTHER}, False, id="its own variant"),
        pytest.param({"new/web.yaml": OTHER, "old/web.yaml": WEB}, True, id="a variant farther away alone"),
        pytest.param({"a/web.yaml": WEB, "b/web.yaml": OTHER}, False, id="one of two that are equally far"),
        pytest.param({"a/web.yaml": OTHER, "b/web.yaml": WEB}, False, id="the other one of them"),
    ],
)
def test_of_variants_of_a_deployment_a_service_is_meant_for_the_nearest(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    found: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY, encoding="utf-8")
    for name, text in {"shop/new/service.yaml": service("{app: web}")}.items() | {
        (f"shop/{name}", text) for name, text in files.items()
    }:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")
    assert main(["check", "shop", "-p", "policy.yaml"]) == found
    assert ("its selector app=web matches no workload" in capsys.readouterr().out) == found
