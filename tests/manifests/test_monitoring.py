"""manifests/monitoring under Prometheus' own checker, and the dashboard's queries over a real operator's metrics."""

import json
import re
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import crd, scene  # noqa: F401 fixtures
from tests.e2e.process import OperatorProcess
from tests.e2e.scene import Scene, workload
from tests.lab import Lab
from tests.manifests.test_manifests import MANIFESTS, of, render

MONITORING = MANIFESTS / "monitoring"
TESTS = Path(__file__).with_name("alerts.yaml")
SPEC: dict[str, Any] = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["spec"]
ALERTS = {rule["alert"]: rule for group in SPEC["groups"] for rule in group["rules"]}
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
METRIC = re.compile(r"\b(?:resilience|process)_\w+")


def run(promtool: Path, folder: Path, *arguments: str) -> tuple[int, str]:
    """promtool in a folder: its exit code and all that it says."""
    argv = [str(promtool), *arguments]
    ended = subprocess.run(argv, check=False, cwd=folder, capture_output=True, text=True, timeout=60)
    return ended.returncode, ended.stdout + ended.stderr


def rules(folder: Path, spec: dict[str, Any]) -> None:
    """The rules as Prometheus reads them, beside their tests."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(spec))
    (folder / TESTS.name).write_text(TESTS.read_text())


def test_every_alert_rings_when_it_shall_and_not_before(promtool: Path, tmp_path: Path) -> None:
    rules(tmp_path, SPEC)
    assert run(promtool, tmp_path, "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml")[0] == 0
    code, said = run(promtool, tmp_path, "test", "rules", TESTS.name)
    assert code == 0, said


def test_an_alert_that_never_rings_is_noticed(promtool: Path, tmp_path: Path) -> None:
    silent = json.loads(json.dumps(SPEC))
    for group in silent["groups"]:
        for rule in group["rules"]:
            rule["expr"] = "vector(1) > 2"
    rules(tmp_path, silent)
    code, said = run(promtool, tmp_path, "test", "rules", TESTS.name)
    assert code == 1
    assert set(re.findall(r"alertname: (\w+)", said)) == set(ALERTS), said


def test_an_alert_says_what_is_wrong_and_what_to_look_at_in_a_few_words() -> None:
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, name
        assert set(rule["annotations"]) == {"summary", "description"}, name
        assert all(len(text) <= 300 for text in rule["annotations"].values()), name


def test_who_reads_metrics_finds_the_operators_service_and_is_let_in(lab: Lab) -> None:
    objects = render(lab, "base")
    (monitor,) = of(render(lab, "monitoring"), "ServiceMonitor")
    (service,) = of(objects, "Service")
    (wall,) = of(objects, "NetworkPolicy")
    (port,) = service["spec"]["ports"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert [one["port"] for one in monitor["spec"]["endpoints"]] == [port["name"]]
    assert [one["port"] for rule in wall["spec"]["ingress"] for one in rule["ports"]] == [port["targetPort"]]


@pytest.fixture
def page(scene: Scene) -> str:  # noqa: F811
    """/metrics of an operator that has repaired one Deployment, and waits for a window with another."""
    for name in ("web", "later"):
        scene.apply(workload(scene.namespace, name))
    scene.wait_rolled_out("web", "later")
    with scene.operator() as operator:
        scene.policy("now", deployments={"dnsConfig": {}, "selector": {"matchLabels": {"app": "web"}}})
        never = {"deny": [{"name": "never", "from": "2020-01-01T00:00:00Z", "until": "2099-01-01T00:00:00Z"}]}
        scene.policy(
            "never", windows=never, deployments={"spread": {}, "selector": {"matchLabels": {"app": "later"}}}
        )
        lively = ("resilience_remediations_total{", "resilience_changes_waiting{", "resilience_findings{")
        return str(scene.wait(lambda: read(operator, lively), f"the page tells of {lively}"))


def read(operator: OperatorProcess, wanted: tuple[str, ...]) -> str:
    """The page, "" while something wanted is not on it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{operator.metrics}/metrics", timeout=5) as answer:
        text = str(answer.read().decode())
    return text if all(one in text for one in wanted) else ""


def test_every_query_of_the_dashboard_and_of_the_alerts_answers_over_a_real_page(
    promtool: Path,
    page: str,
    tmp_path: Path,
) -> None:
    """Each sample of the page is a series that stays as it is; the engine is Prometheus' own."""
    samples = [line.rpartition(" ") for line in page.splitlines() if not line.startswith("#")]
    named = {METRIC.match(head).group() for head, _, _ in samples if METRIC.match(head)}  # type: ignore[union-attr]
    for text in [*QUERIES, *(rule["expr"] for rule in ALERTS.values())]:
        assert set(METRIC.findall(text)) <= named, text
    queries = [one.replace("$policy", ".*").replace("$__rate_interval", "5m") for one in QUERIES]
    asked = [
        {
            "expr": f"count({query}) > bool 0",
            "eval_time": "20m",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for query in queries
    ]
    series = [{"series": head, "values": f"{value}x30"} for head, _, value in samples]
    body = {
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": asked}],
    }
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump(body))
    code, said = run(promtool, tmp_path, "test", "rules", "queries.yaml")
    assert code == 0, said
