"""Launch settings in files: user data (*.toml), EC2NodeClass and NodePool manifests. Used by cli/files and cli/check.

They are judged as they are read, in the worker processes; what people opted out of is left out afterwards.
"""

import os.path
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import yaml

from resilience_operator.cli.files.positions import child
from resilience_operator.cli.judging import Hit, Ignored, Judgement, Spot
from resilience_operator.core.findings import Finding
from resilience_operator.core.refs import ObjectRef
from resilience_operator.engine.optout import OptOut, opted_out
from resilience_operator.targets.bottlerocket.document import NotTOMLError, parse
from resilience_operator.targets.bottlerocket.merge import MAX_LENGTH
from resilience_operator.targets.bottlerocket.nodeclass import (
    Fault,
    is_bottlerocket,
    judge_node_class,
    judge_node_pool,
)
from resilience_operator.targets.bottlerocket.problems import Judge, Problem
from resilience_operator.targets.bottlerocket.table import tree
from resilience_operator.targets.bottlerocket.texts import LAUNCH_SETTINGS, TEXTS
from resilience_operator.targets.bottlerocket.validate import validate

SUFFIX: Final = ".toml"
NODE_CLASS: Final = ("karpenter.k8s.aws", "EC2NodeClass")
NODE_POOL: Final = ("karpenter.sh", "NodePool")
KINDS: Final = frozenset({NODE_CLASS, NODE_POOL})
"""(API group, kind) of the manifests that are judged here."""
STRANGER: Final = "holds no settings of Bottlerocket: no table [settings] with a name that it knows"
_LOOKS = re.compile(r"^[ \t]*(?:\[+[ \t]*)?[\"']?settings[\"']?[ \t]*[.\]]", re.MULTILINE)
"""What tells broken user data from any other broken TOML."""
_AT_ONCE = re.compile(
    r"\A\ufeff?(?:[ \t\r]*(?:#[^\n]*)?\n)*[ \t]*(?:\[\[?\s*settings\s*[.\]]|settings\s*[.=])"
)
"""Its first line that is neither empty nor a comment."""


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that is wrong, with its line in the file."""

    rule: str
    reason: str
    message: str
    line: int
    report_only: str = ""


@dataclass(frozen=True, slots=True)
class LaunchSubject:
    """User data or a manifest, judged; `line`: where it begins.

    `other_family`: an EC2NodeClass for nodes of another system; `uses`: the EC2NodeClass of a NodePool, by name.
    """

    ref: ObjectRef
    file: str
    line: int
    found: tuple[Found, ...]
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    other_family: bool = False
    uses: str = ""


def read_user_data(text: str, file: str) -> LaunchSubject | None:
    """A file of user data; None where it is some other TOML."""
    if not _is_user_data(text):
        return None
    found = tuple(
        Found(LAUNCH_SETTINGS, one.reason, one.message, one.line, _only_for(one)) for one in validate(text)
    )
    return LaunchSubject(ObjectRef("", "UserData", "", os.path.basename(file)), file, 1, found)


def looks_like_user_data(text: str) -> bool:
    """True of standard input that is user data and no manifest: there is no name that would tell."""
    return _AT_ONCE.search(text) is not None


def _only_for(problem: Problem) -> str:
    """Who reads a file is not known: what only Karpenter or EKS minds is said as that."""
    if problem.judges <= {Judge.KARPENTER, Judge.EKS}:
        return f"it matters where {' or '.join(sorted(problem.judges))} reads this file"
    return ""


def _is_user_data(text: str) -> bool:
    if len(text) > MAX_LENGTH:
        return _LOOKS.search(text) is not None
    try:
        found = parse(text.removeprefix("\ufeff")).tree
    except NotTOMLError:
        return _LOOKS.search(text) is not None
    settings = found.get("settings")
    return isinstance(settings, dict) and (len(found) == 1 or bool(set(settings) & set(tree())))


def read_manifest(
    value: dict[str, Any], node: yaml.Node | None, kind: tuple[str, str], place: tuple[str, int]
) -> LaunchSubject:
    """An EC2NodeClass or NodePool; `place`: (file, lines before the document)."""
    file, offset = place
    meta, spec = _table(value.get("metadata")), _table(value.get("spec"))
    faults = judge_node_class(spec) if kind == NODE_CLASS else judge_node_pool(spec)
    ref = ObjectRef(str(value.get("apiVersion") or ""), kind[1], "", str(meta.get("name") or ""))
    template = _table(_table(spec.get("template")).get("spec"))
    return LaunchSubject(
        ref,
        file,
        (node.start_mark.line if node is not None else 0) + offset + 1,
        tuple(Found(one.rule, one.reason, one.message, _line(node, one) + offset) for one in faults),
        _words(meta.get("labels")),
        _words(meta.get("annotations")),
        other_family=kind == NODE_CLASS and not is_bottlerocket(spec),
        uses=str(_table(template.get("nodeClassRef")).get("name") or ""),
    )


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _words(value: Any) -> dict[str, str]:
    return {key: one for key, one in _table(value).items() if isinstance(one, str)}


def _line(node: yaml.Node | None, fault: Fault) -> int:
    """The line (from 1, within the document) of the deepest part of a fault's path that is written."""
    line, at = node.start_mark.line if node is not None else 0, node
    for part in fault.path:
        if isinstance(part, int):
            items = at.value if isinstance(at, yaml.SequenceNode) else []
            at = items[part] if part < len(items) else None
            line = at.start_mark.line if at is not None else line
        else:
            key_line, at = child(at, part)
            line = key_line if at is not None else line
        if at is None:
            break
    if fault.inner_line and isinstance(at, yaml.ScalarNode) and at.style in ("|", ">"):
        return int(at.start_mark.line) + fault.inner_line + 1
    return line + 1


def judge(judgement: Judgement, subjects: Iterable[LaunchSubject], now: datetime) -> None:
    """Add what was found to a judgement, without what people opted out of."""
    subjects = list(subjects)
    others = {one.ref.name for one in subjects if one.other_family}
    for subject in subjects:
        if subject.other_family or subject.uses in others:
            continue
        left_out = _left_out(subject, now)
        judgement.judged += 1
        judgement.launch += 1
        judgement.hits += [_hit(subject, one) for one in subject.found if one.rule not in left_out]
        for optout in dict.fromkeys(left_out.values()):
            named = tuple(rule for rule, one in left_out.items() if one == optout)
            judgement.ignored.append(Ignored(subject.ref, named, optout, Spot(subject.file, subject.line)))


def _left_out(subject: LaunchSubject, now: datetime) -> dict[str, OptOut]:
    return dict(_optouts(subject, now))


def _optouts(subject: LaunchSubject, now: datetime) -> Iterator[tuple[str, OptOut]]:
    for rule in TEXTS:
        optout = opted_out(subject.labels, subject.annotations, (rule,), now)
        if optout is not None:
            yield rule, optout


def _hit(subject: LaunchSubject, found: Found) -> Hit:
    finding = Finding(found.rule, found.reason, subject.ref, found.message, report_only=found.report_only)
    return Hit(finding, Spot(subject.file, subject.line, {"": found.line}))
