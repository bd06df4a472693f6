"""Pages that are printed from the code are as the code prints them."""

import re
from pathlib import Path

import pytest
import yaml

from resilience_operator.api.metrics import Metrics
from resilience_operator.cli.main import main
from resilience_operator.core.findings import State
from tests.support import ROOT
from tests.support.statuses import every, written

DOCS = ROOT / "docs"
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
"""A link into the repository, without its anchor."""


@pytest.mark.parametrize(
    ("page", "command"),
    [("rules.md", ["explain", "--markdown"]), ("bottlerocket.md", ["explain", "--bottlerocket"])],
)
def test_a_printed_page_is_up_to_date(
    page: str, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 0
    again = f"kubectl-resilience {' '.join(command)} > docs/{page}"
    assert (DOCS / page).read_text() == capsys.readouterr().out, f"print it again: {again}"


@pytest.mark.parametrize(
    "page", [*sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("*.md"))], ids=lambda page: page.name
)
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = LINK.findall(page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_reason_and_state_that_a_policy_can_show_is_explained() -> None:
    page = (DOCS / "status.md").read_text()
    shown = {
        one["reason"]
        for causes in every()
        for one in written(causes)["status"]["conditions"]
        if one["reason"]
    }
    fine = {
        "AsExpected",
        "NoConflict",
        "Conflict",
        "NoDrift",
        "Idle",
        "Waiting",
        "RollingOut",
        "NotEvaluated",
    }
    states = {str(state) for state in State}
    assert [word for word in sorted((shown - fine) | states) if word not in page] == []


def test_every_metric_is_in_the_reference_and_no_other() -> None:
    lines = Metrics().exposition().decode().splitlines()
    served = {line.split()[2] for line in lines if line.startswith("# TYPE resilience_")}
    documented = set(
        re.findall(r"^\| `(resilience_\w+)` \|", (DOCS / "metrics.md").read_text(), re.MULTILINE)
    )
    assert documented == served


def test_every_alert_is_in_the_reference_with_its_severity_and_no_other() -> None:
    (spec,) = yaml.safe_load_all((ROOT / "manifests" / "monitoring" / "alerts.yaml").read_text())
    rules = [rule for group in spec["spec"]["groups"] for rule in group["rules"]]
    documented = re.findall(
        r"^\| (Resilience\w+) \| (\w+) \|", (DOCS / "metrics.md").read_text(), re.MULTILINE
    )
    assert documented == [(rule["alert"], rule["labels"]["severity"]) for rule in rules]
