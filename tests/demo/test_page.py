"""The page of what people see is what the demo's run prints today."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT


@pytest.mark.lab
@pytest.mark.slow
def test_the_page_is_what_the_demo_prints(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    argv = [sys.executable, "-m", "tests.demo", "--page", str(page)]
    ended = subprocess.run(argv, check=False, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    docs = ROOT / "docs" / "what-you-see.md"
    assert page.read_text() == docs.read_text(), f"print it again: python -m tests.demo --page {docs}"
