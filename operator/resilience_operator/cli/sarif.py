"""The result of `check` as SARIF 2.1.0, which code hosts show beside the changed lines. Used by cli/check.

A finding has the level of its severity (cli/rule_texts), where info is a note; what could not be read is a
notification, and a document that is not judged one of level note.
"""

import os
from hashlib import sha256
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from resilience_operator import __version__
from resilience_operator.cli.files.manifests import GROUPED, Place, Problem
from resilience_operator.cli.judging import Hit
from resilience_operator.cli.output import Result, indented, line_of_hit
from resilience_operator.cli.rule_texts import TEXTS, severity
from resilience_operator.core.findings import RuleText, Severity
from resilience_operator.targets.bottlerocket.texts import TEXTS as LAUNCH_TEXTS

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def as_sarif(result: Result) -> str:
    """One SARIF log with one run."""
    rules = list(TEXTS)
    run = {
        "tool": {
            "driver": {
                "name": "kubectl-resilience",
                "semanticVersion": __version__,
                "rules": [_rule(text) for text in TEXTS.values()],
            }
        },
        "invocations": [
            {
                "executionSuccessful": not result.problems,
                "exitCode": result.code,
                "toolExecutionNotifications": [
                    *(_notification(one, "error") for one in result.problems),
                    *(_notification(_skipped(place), "note") for place in result.unjudged),
                    *(_notification(one, "note") for one in result.foreign),
                ],
            }
        ],
        "results": [_result(hit, rules) for hit in result.judgement.hits],
    }
    return indented({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def _rule(text: RuleText) -> dict[str, Any]:
    return {
        "id": text.rule,
        "shortDescription": {"text": f"{text.title}."},
        "fullDescription": {"text": text.demands},
        "help": {"text": text.why},
        "defaultConfiguration": {"level": "warning"},
    }


def _result(hit: Hit, rules: list[str]) -> dict[str, Any]:
    finding = hit.finding
    tail = f"; reported only: {finding.report_only}" if finding.report_only else ""
    kind = finding.object.kind
    identity = f"{finding.rule} {finding.reason} {finding.object} {finding.path}"
    # Without the kind of a Deployment: code hosts know findings again by what was written before there were others.
    identity += "" if kind == "Deployment" else f" {kind}"
    # One document may give a reason many times, and a file of user data has no paths.
    identity += f" {finding.message}" if finding.rule in LAUNCH_TEXTS else ""
    location: dict[str, Any] = {
        "logicalLocations": [{"fullyQualifiedName": f"{kind}/{finding.object}", "kind": "resource"}]
    }
    if hit.spot.file:
        location["physicalLocation"] = _physical(hit.spot.file, line_of_hit(hit))
    return {
        "ruleId": finding.rule,
        "ruleIndex": rules.index(finding.rule),
        "level": _LEVELS[severity(finding)],
        "message": {"text": f"{kind} {finding.object}: {finding.message}{tail}"},
        "locations": [location],
        "partialFingerprints": {"finding/v1": sha256(identity.encode()).hexdigest()[:32]},
        "properties": {"reason": finding.reason},
    }


def _skipped(place: Place) -> Problem:
    link = ": " if place.why in GROUPED else " "
    return Problem(place.file, place.line, f"skipped: {place.ref.kind} {place.ref.name}{link}{place.why}")


def _notification(problem: Problem, level: str) -> dict[str, Any]:
    return {
        "level": level,
        "message": {"text": problem.message},
        "locations": [{"physicalLocation": _physical(problem.file, problem.line)}],
    }


def _physical(file: str, line: int) -> dict[str, Any]:
    body: dict[str, Any] = {"artifactLocation": {"uri": quote(os.fsencode(PurePath(file).as_posix()))}}
    return body | ({"region": {"startLine": line}} if line else {})
