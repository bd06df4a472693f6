"""Pages that are printed from the code are as the code prints them."""

import re
from pathlib import Path

import pytest

from resilience_operator.cli.main import main
from tests.support import ROOT

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


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = LINK.findall(page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
