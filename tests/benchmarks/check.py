"""`kubectl-resilience check` on 10,000 manifests against kube-score on the same files, by turns in one run.

Bars: at most half the time of kube-score (v1.20.0, built from its Go module), and at most 150 MiB; on a bundle that is
mostly CustomResourceDefinitions at most its CPU. Both are whole processes; their memory is the kernel's account of the
process and of its largest child.
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
BUNDLE_ROUNDS = 7
CRDS, DEPLOYMENTS = 6, 8
"""Of the bundle: about as an operator ships them, 3 MB."""
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
    cpu: float


def main() -> int:
    """Write the manifests, run both by turns, and print the figures beside their bars."""
    score = binaries(KUBE_SCORE) / "kube-score"
    with tempfile.TemporaryDirectory() as scratch:
        files = write(Path(scratch))
        size = sum(file.stat().st_size for file in files) / len(files)
        ours = [sys.executable, "-m", "resilience_operator.cli.main", "check", scratch]
        theirs = [str(score), "score", "--output-format", "ci", *map(str, files)]
        pairs = [(run(ours, 1), run(theirs, 1)) for _ in range(ROUNDS)]
        install = bundle(Path(scratch) / "install.yaml")
        ours = [*ours[:-1], str(install)]
        theirs = [str(score), "score", "--output-format", "ci", str(install)]
        bundles = [(run(ours, 1), run(theirs, 1)) for _ in range(BUNDLE_ROUNDS)]
    seconds, score_seconds = (statistics.median(pair[who].seconds for pair in pairs) for who in (0, 1))
    ratio = statistics.median(mine.seconds / other.seconds for mine, other in pairs)
    peak, score_peak = (max(pair[who].peak for pair in pairs) / MIB for who in (0, 1))
    cpu, score_cpu = (statistics.median(pair[who].cpu for pair in bundles) for who in (0, 1))
    crds = f"{CRDS} CRDs and {DEPLOYMENTS} Deployments: {cpu:.2f} s of CPU, kube-score {score_cpu:.2f} s"
    what = f"{NUMBER} files of {size:.0f} bytes: {seconds:.2f} s, kube-score {score_seconds:.2f} s"
    return show(
        "check",
        [
            Row(f"{what}, ratio", ratio, 0.5),
            Row(f"{crds}, ratio", statistics.median(mine.cpu / other.cpu for mine, other in bundles), 1.0),
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


def bundle(file: Path) -> Path:
    """What installs an operator: CRDs with deep schemas, and a few Deployments."""
    crds = [
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"things{number}.example.com"},
            "spec": {"group": "example.com", "versions": [{"name": "v1", "schema": _schema(4)}]},
        }
        for number in range(CRDS)
    ]
    found = [*crds, *(deployment("team", f"d{number}") for number in range(DEPLOYMENTS))]
    file.write_text(yaml.dump_all(json.loads(json.dumps(found)), Dumper=yaml.CSafeDumper))
    return file


def _schema(depth: int) -> dict[str, object]:
    said = "What is wanted of it, in a sentence that nobody reads here."
    if not depth:
        return {"type": "string", "description": said}
    fields = {f"field{number}": _schema(depth - 1) for number in range(7)}
    return {"type": "object", "description": said, "properties": fields}


def run(argv: list[str], expected: int) -> Run:
    """Run a program that finds something; its time, and the most memory that one of its processes had."""
    watch = (
        "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode;"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN);"
        "print(code, used.ru_maxrss, used.ru_utime + used.ru_stime)"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", watch, *argv], check=True, capture_output=True, text=True, env=_environment()
    )
    seconds = time.monotonic() - started
    said, peak, cpu = done.stdout.split()
    if (code := int(said)) != expected:
        raise RuntimeError(f"{argv[0]} ended with {code}, not {expected}:\n{done.stderr[-2000:]}")
    return Run(seconds, int(peak) * 1024, float(cpu))


def _environment() -> dict[str, str]:
    """With bytecode, as what is installed has it."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


if __name__ == "__main__":
    sys.exit(main())
