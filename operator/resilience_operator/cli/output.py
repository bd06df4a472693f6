"""The result of `check` as text and as JSON. Used by cli/check; SARIF is in cli/sarif."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from resilience_operator.cli.files.documents import TEMPLATE
from resilience_operator.cli.files.manifests import GROUPED, Place, Problem
from resilience_operator.cli.files.positions import line_of
from resilience_operator.cli.judging import Hit, Ignored, Judgement, Spot
from resilience_operator.cli.rule_texts import severity
from resilience_operator.core.findings import Severity
from resilience_operator.targets.workloads.texts import SPREAD


@dataclass(frozen=True, slots=True)
class Result:
    """All that `check` has to say; `files`: False where a cluster was asked.

    `foreign`: what nobody would apply and cannot be read; `fail_on`: the least severity that is a failure.
    """

    judgement: Judgement
    problems: list[Problem] = field(default_factory=list)
    unjudged: list[Place] = field(default_factory=list)
    strangers: int = 0
    files: bool = True
    foreign: list[Problem] = field(default_factory=list)
    fail_on: Severity = Severity.INFO

    @property
    def code(self) -> int:
        """The exit code: 2 bad input, 1 findings that weigh enough, 0 neither."""
        fails = any(severity(hit.finding).reaches(self.fail_on) for hit in self.judgement.hits)
        return 2 if self.problems else 1 if fails else 0


JSON_VERSION = 1
"""Of the JSON of `check`, `plan` and `report`: counted up where something is called otherwise or is gone."""

_NAMED = 3
"""Files that a line names; JSON names all."""
SPEC_ALONE = "where pods run is judged in a cluster (--cluster); files show the spec alone"


def line_of_hit(hit: Hit) -> int:
    """The line that a finding points to; 0 where it comes from a cluster."""
    return line_of(hit.spot.lines, hit.finding.path) if hit.spot.lines else hit.spot.line


def text(result: Result) -> Iterator[str]:
    """Lines for people: a finding each, then what was not judged, then the sum."""
    for hit in result.judgement.hits:
        finding = hit.finding
        tail = f"; reported only: {finding.report_only}" if finding.report_only else ""
        name = f"{finding.object.kind} {finding.object}"
        yield f"{_where(hit.spot, line_of_hit(hit))}[{finding.rule}] {name}: {finding.message}{tail}"
    yield from skips(result)
    yield from opt_outs(result)
    yield summary(result)


def opt_outs(result: Result) -> Iterator[str]:
    """What is opted out."""
    for ignored in result.judgement.ignored:
        yield f"{_where(ignored.spot, ignored.spot.line)}ignored: {_ignored(ignored)}"


def _where(spot: Spot, line: int) -> str:
    return f"{spot.file}:{line}: " if spot.file else ""


def skips(result: Result) -> Iterator[str]:
    """What was not judged, and why."""
    grouped = Counter((skip.rule, skip.object.kind, skip.why) for skip, _ in result.judgement.skipped)
    for (rule, kind, why), count in grouped.items():
        yield f"skipped: [{rule}] {count} {_plural(kind, count)}: {why}"
    uncovered = Counter((_kind(place), place.why) for place in result.unjudged if place.why in GROUPED)
    for (kind, why), count in uncovered.items():
        yield f"skipped: {count} {_plural(kind, count)}: {why}"
    for place in result.unjudged:
        if place.why not in GROUPED:
            yield f"skipped: {place.file}:{place.line} {place.ref.kind} {place.ref.name} {place.why}"
    if result.files and result.judgement.deployments and SPREAD in result.judgement.policy.rules:
        yield f"skipped: [{SPREAD}] live placement: {SPEC_ALONE}"
    yield from _foreign(result)
    if result.strangers:
        yield f"skipped: {result.strangers} {_plural('document', result.strangers)} without apiVersion and kind"


def _kind(place: Place) -> str:
    return "Knative Service" if place.ref.kind == "Service" else place.ref.kind


def _foreign(result: Result) -> Iterator[str]:
    """What nobody would apply, by what it is, with the first files of it."""
    groups: dict[str, list[str]] = defaultdict(list)
    for one in result.foreign:
        what = "template" if one.message == TEMPLATE else "file of another program"
        if one.file not in groups[what]:
            groups[what].append(one.file)
    for what, files in groups.items():
        more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
        hint = (
            "; render it first (helm template ... | kubectl resilience check -)" if what == "template" else ""
        )
        first, _, rest = what.partition(" ")
        word = " ".join(filter(None, (_plural(first, len(files)), rest)))
        yield f"skipped: {len(files)} {word}: {', '.join(files[:_NAMED])}{more}{hint}"


def _ignored(ignored: Ignored) -> str:
    optout = ignored.optout
    until = f" until {optout.until:%Y-%m-%dT%H:%M:%SZ}" if optout.until else ""
    reason = f" ({optout.reason})" if optout.reason else ""
    problem = f"; {optout.problem}" if optout.problem else ""
    return f"{ignored.object.kind} {ignored.object} is opted out of {', '.join(ignored.rules)}{until}{reason}{problem}"


def summary(result: Result) -> str:
    """The last line: counts of findings, of what was judged, and of errors."""
    judgement = result.judgement
    found, count = len(judgement.hits), judgement.judged
    word = _plural("Deployment" if count == judgement.deployments else "object", count)
    parts = [f"{found} {_plural('finding', found)} in {judgement.drifted} of {count} {word}"]
    if judgement.out_of_scope:
        parts.append(f"{judgement.out_of_scope} out of the policy's scope")
    if result.problems:
        parts.append(f"{len(result.problems)} {_plural('error', len(result.problems))}")
    return f"{', '.join(parts)} (policy {judgement.policy.name})"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def as_json(result: Result) -> str:
    """One JSON object: version, policy, summary (counts), findings, skipped, ignored, errors.

    A finding has rule, reason, severity, object, message, path and desired (of a leaf), observed, reportOnly (why it is
    never enforced), file and line; what is not there is left out.
    """
    judgement = result.judgement
    body = {
        "version": JSON_VERSION,
        "policy": judgement.policy.name,
        "summary": {
            "findings": len(judgement.hits),
            "objects": judgement.judged,
            "deployments": judgement.deployments,
            "drifted": judgement.drifted,
            "outOfScope": judgement.out_of_scope,
            "ignored": len(judgement.ignored),
            "errors": len(result.problems),
        },
        "findings": [_finding(hit) for hit in judgement.hits],
        "skipped": [
            {"rule": skip.rule, "object": skip.object.as_status(), "why": skip.why} | _place(spot, spot.line)
            for skip, spot in judgement.skipped
        ]
        + [
            {
                "object": place.ref.as_status(),
                "why": place.why,
                "file": printable(place.file),
                "line": place.line,
            }
            for place in result.unjudged
        ]
        + [{"why": one.message, "file": printable(one.file), "line": one.line} for one in result.foreign],
        "ignored": [_ignored_object(ignored) for ignored in judgement.ignored],
        "errors": [
            {"file": printable(one.file), "line": one.line, "message": one.message} for one in result.problems
        ],
    }
    return indented(body)


def indented(body: Any) -> str:
    """As JSON for people and programs."""
    try:
        return msgspec.json.format(msgspec.json.encode(body), indent=2).decode()
    except UnicodeEncodeError:  # Half a character, which JSON can write as an escape, came in as a name.
        return json.dumps(body, indent=2)


def printable(file: str) -> str:
    """The name of a file, or a line that has one, as text; bytes that are none are written out, as \\xff."""
    if file.isascii():
        return file
    try:
        return file.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return file.encode("utf-8", "backslashreplace").decode()


def github(result: Result) -> Iterator[str]:
    """Workflow commands of GitHub: an annotation each, at its file and line."""
    words = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}
    for one in result.problems:
        yield _annotation("error", one.file, one.line, "cannot be read", one.message)
    for hit in result.judgement.hits:
        finding, spot = hit.finding, hit.spot
        tail = f"; reported only: {finding.report_only}" if finding.report_only else ""
        message = f"{finding.object.kind} {finding.object}: {finding.message}{tail}"
        yield _annotation(words[severity(finding)], spot.file, line_of_hit(hit), finding.rule, message)
    yield summary(result)


def _annotation(word: str, file: str, line: int, title: str, message: str) -> str:
    escaped = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    place = printable(file).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    at = f"file={place},line={max(line, 1)}," if file else ""
    return f"::{word} {at}title={title}::{escaped}"


def _finding(hit: Hit) -> dict[str, Any]:
    finding = hit.finding
    body = {
        "rule": finding.rule,
        "reason": finding.reason,
        "severity": str(severity(finding)),
        "object": finding.object.as_status(),
        "message": finding.message,
        "path": str(finding.path) if finding.path is not None else None,
        "observed": finding.observed,
        "desired": finding.desired,
        "reportOnly": finding.report_only or None,
    }
    body |= _place(hit.spot, line_of_hit(hit))
    return {key: value for key, value in body.items() if value is not None}


def _place(spot: Spot, line: int) -> dict[str, Any]:
    return {"file": printable(spot.file), "line": line} if spot.file else {}


def _ignored_object(ignored: Ignored) -> dict[str, Any]:
    optout = ignored.optout
    body: dict[str, Any] = {"object": ignored.object.as_status(), "rules": list(ignored.rules)}
    body |= {"until": optout.until.isoformat()} if optout.until is not None else {}
    body |= {"reason": optout.reason} if optout.reason else {}
    body |= {"problem": optout.problem} if optout.problem else {}
    return body | _place(ignored.spot, ignored.spot.line)
