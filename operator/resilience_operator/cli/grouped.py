"""Findings on a terminal: object by object, folded at its width, coloured by how much they weigh.

Used by `check` and `report`; in a pipe each has a whole line a finding instead.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from resilience_operator.cli.judging import Hit
from resilience_operator.cli.output import Result, opt_outs, printable, skips, summary
from resilience_operator.cli.rule_texts import severity
from resilience_operator.core.findings import Severity
from resilience_operator.engine.conditions import counted


@dataclass(frozen=True, slots=True)
class Said:
    """One finding: of which object, and the word that comes first, in its colour."""

    name: str
    rule: str
    word: str
    colour: str
    text: str


def show(found: Iterable[Said], console: Console) -> None:
    """Print them, and how many there are of which rule."""
    objects: dict[str, list[Said]] = {}
    rules: Counter[str] = Counter()
    for one in found:
        objects.setdefault(one.name, []).append(one)
        rules[one.rule] += 1
    for name, findings in objects.items():
        console.print(Text(name, style="bold"))
        for one in findings:
            line = Text(f"{one.word} ", style=one.colour)
            line.append(f"{one.rule}: {one.text}", style="default")
            console.print(Padding(line, (0, 0, 0, 2)))
    if objects:
        by_rule = ", ".join(f"{rule} {number}" for rule, number in rules.most_common())
        total = f"{counted(rules.total(), 'finding')} on {counted(len(objects), 'object')}"
        console.print(Text(f"{total}: {by_rule}", style="bold"))


COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "dim"}


def on_terminal(result: Result, console: Console) -> None:
    """The result of `check`: the findings, and after them what was not judged."""
    show(map(_said, result.judgement.hits), console)
    for line in (*skips(result), *opt_outs(result), summary(result)):
        console.print(Text(printable(line)))


def _said(hit: Hit) -> Said:
    finding, weight = hit.finding, severity(hit.finding)
    tail = f"; reported only: {finding.report_only}" if finding.report_only else ""
    place = f" ({printable(hit.spot.file)}:{hit.spot.line})" if hit.spot.file else ""
    name = f"{finding.object.kind} {finding.object}{place}"
    return Said(name, finding.rule, str(weight), COLOURS[weight], finding.message + tail)
