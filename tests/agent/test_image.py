"""The agent's image: what its Dockerfile copies is all that the agent needs, with Python's standard library."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.agent.scene import entrypoint

ROOT = Path(__file__).resolve().parents[2]


def test_what_the_dockerfile_copies_is_enough(tmp_path: Path) -> None:
    text = (ROOT / "Dockerfile.agent").read_text()
    copies = re.findall(r"^COPY (\S+) /opt/agent/(\S+)$", text, re.MULTILINE)
    assert copies
    for source, target in copies:
        place = tmp_path / target
        place.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copyfile
        copy(ROOT / source, place)
    _, *start = entrypoint()
    ran = subprocess.run(
        [sys.executable, *start, "--help"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("usage: resilience-agent")
