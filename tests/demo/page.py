"""docs/what-you-see.md: what people see of one broken cluster, printed by the demo's run at 80 columns.

What differs from run to run (times, ages, uids, versions, the node that all share) is a word of the same width.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from functools import partial

from tests.e2e.scene import ROOT
from tests.lab import Lab

WIDTH = 80
INCIDENT = "one-node-pileup"

HEAD = """# What you see

One broken cluster, as the demo prints it (`make demo`): three replicas of `web` on one node. Printed by
`python -m tests.demo --page docs/what-you-see.md` at 80 columns; do not edit. What each word means, and what to do
then: [status.md](status.md).
"""
AUDITED = (
    ("Before anything is installed", f"kubectl resilience check --cluster -n {INCIDENT} --rule spread"),
    ("A policy that audits", "kubectl get rp"),
    ("All that a policy says", f"kubectl describe rp {INCIDENT}"),
    ("Every finding", f"kubectl resilience report {INCIDENT}"),
    ("What enforcing would do", f"kubectl resilience plan {INCIDENT}"),
)
ENFORCED = (
    ("Once it enforces", "kubectl get rp"),
    (
        "What an application's team sees",
        f"kubectl get events -n {INCIDENT} --field-selector reason=RemediationApplied --sort-by=.involvedObject.name",
    ),
    ("What is left", f"kubectl resilience report {INCIDENT}"),
)

_VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "2026-01-31T08:00:00Z"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UID"),
    (re.compile(r"\bnode-\d\b"), "node-1"),
    (re.compile(r"Resource Version: +\d+"), "Resource Version:    1234"),
    (re.compile(r"(?<![\w-])(?:\d+m)?\d+s(?![\w-])"), "1m"),
)


def pages(lab: Lab, asked: tuple[tuple[str, str], ...]) -> Iterator[str]:
    """A section for each command, as it is answered now."""
    for title, command in asked:
        lines = (folded for line in answer(lab, command).splitlines() for folded in _folded(_steady(line)))
        yield "\n".join((f"## {title}", "", "```", f"$ {command}", *lines, "```", ""))


def answer(lab: Lab, command: str) -> str:
    """What a command prints on a terminal."""
    words = command.split()[1:]
    if words[0] != "resilience":
        return lab.kubectl(*words)
    argv = [sys.executable, "-m", "resilience_operator.cli.main", *words[1:]]
    path = f"{ROOT / 'operator'}:{ROOT}"
    env = os.environ | {"KUBECONFIG": str(lab.kubeconfig()), "PYTHONPATH": path, "TERM": "dumb"}
    return on_terminal(argv, env)


def on_terminal(argv: list[str], env: dict[str, str]) -> str:
    """What a program prints on a terminal of 80 columns, without what it says on stderr."""
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, WIDTH, 0, 0))
    parts = []
    with subprocess.Popen(argv, stdout=its, stderr=subprocess.DEVNULL, env=env | {"COLUMNS": str(WIDTH)}):
        os.close(its)
        with os.fdopen(ours, "rb", buffering=0) as stream:
            try:
                while part := stream.read(65536):
                    parts.append(part)
            except OSError:  # Nobody holds the other side any more.
                pass
    return b"".join(parts).decode()


def _steady(line: str) -> str:
    for pattern, word in _VARYING:
        line = pattern.sub(partial(_as_wide, word), line)
    return line.rstrip()


def _as_wide(word: str, found: re.Match[str]) -> str:
    return word.ljust(len(found[0]))


def _folded(line: str) -> list[str]:
    """As a terminal shows a line that is longer than it is wide."""
    return [line[at : at + WIDTH] for at in range(0, len(line), WIDTH)] or [""]
