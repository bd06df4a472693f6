"""Pages that are printed from the code are as the code prints them."""

from pathlib import Path

import pytest

from resilience_operator.cli.main import main

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize(("page", "command"), [("rules.md", ["explain", "--markdown"])])
def test_a_printed_page_is_up_to_date(
    page: str, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 0
    again = f"kubectl-resilience {' '.join(command)} > docs/{page}"
    assert (DOCS / page).read_text() == capsys.readouterr().out, f"print it again: {again}"
