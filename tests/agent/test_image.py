"""The agent's image: what its Dockerfile copies is all that the agent needs, with Python's standard library."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

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
    start = "import sys; sys.path.insert(0, sys.argv.pop(1)); from resilience_operator.agent.main import main; main()"
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", start, str(tmp_path), "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("usage: resilience-agent")
