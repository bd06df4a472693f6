"""`kubectl-resilience check` on 10,000 manifests against kube-score on the same files, by turns in one run.

Bars: at most half the time of kube-score (v1.20.0, built from its Go module), and at most 150 MiB. Both are whole
processes; their memory is the kernel's account of the process and of its largest child.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.benchmarks.fleet import deployment
from tests.benchmarks.memory import MIB
from tests.benchmarks.report import Row, show
from tests.lab.build import Binary, Programs, binaries

NUMBER = 10_000
ROUNDS = 3
KUBE_SCORE = Programs(
    [Binary("kube-score", "kube-score", "github.com/zegl/kube-score/cmd/kube-score")],
    Path(__file__).with_name("modules"),
    "kube-score, half a minute",
)


@dataclass(frozen=True)
class Run:
    """One process from start to end."""

    seconds: float
    peak: int


def main() -> int:
    """Write the manifests, run both by turns, and print the figures beside their bars."""
    score = binaries(KUBE_SCORE) / "kube-score"
    with tempfile.TemporaryDirectory() as scratch:
        files = write(Path(scratch))
        size = sum(file.stat().st_size for file in files) / len(files)
        ours = [sys.executable, "-m", "resilience_operator.cli.main", "check", scratch]
        theirs = [str(score), "score", "--output-format", "ci", *map(str, files)]
        pairs = [(run(ours, 1), run(theirs, 1)) for _ in range(ROUNDS)]
    seconds, score_seconds = (statistics.median(pair[who].seconds for pair in pairs) for who in (0, 1))
    ratio = statistics.median(mine.seconds / other.seconds for mine, other in pairs)
    peak, score_peak = (max(pair[who].peak for pair in pairs) / MIB for who in (0, 1))
    what = f"{NUMBER} files of {size:.0f} bytes: {seconds:.2f} s, kube-score {score_seconds:.2f} s"
    return show(
        "check",
        [
            Row(f"{what}, ratio", ratio, 0.5),
            Row(f"MiB at most in one process (kube-score {score_peak:.0f})", peak, 150.0),
        ],
    )


def write(folder: Path) -> list[Path]:
    """A Deployment a file, as people write them."""
    files = []
    for number in range(NUMBER):
        body = deployment(f"team-{number % 50}", f"d{number}")
        body["metadata"]["annotations"] = {"team.example.com/owner": f"team-{number % 50}"}
        file = folder / f"d{number}.yaml"
        file.write_text(yaml.dump(json.loads(json.dumps(body)), Dumper=yaml.CSafeDumper))
        files.append(file)
    return files


def run(argv: list[str], expected: int) -> Run:
    """Run a program that finds something; its time, and the most memory that one of its processes had."""
    watch = (
        "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode;"
        "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", watch, *argv], check=True, capture_output=True, text=True, env=dict(os.environ)
    )
    seconds = time.monotonic() - started
    code, peak = map(int, done.stdout.split())
    if code != expected:
        raise RuntimeError(f"{argv[0]} ended with {code}, not {expected}:\n{done.stderr[-2000:]}")
    return Run(seconds, peak * 1024)


if __name__ == "__main__":
    sys.exit(main())
