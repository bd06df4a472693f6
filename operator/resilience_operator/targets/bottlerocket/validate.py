"""Judges user data as Bottlerocket's model, the kubelet, Karpenter and EKS will. Used by placing and cli/launch.

Never laxer than the model: one key that it does not know costs every new node.
"""

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from resilience_operator.targets.bottlerocket import across, forms
from resilience_operator.targets.bottlerocket.document import Document, NotTOMLError, Path, parse
from resilience_operator.targets.bottlerocket.merge import MAX_LENGTH, PLACEHOLDER
from resilience_operator.targets.bottlerocket.problems import (
    Judge,
    Problem,
    Reader,
    Surroundings,
    sentence,
    shown,
)
from resilience_operator.targets.bottlerocket.table import EACH, Node, Setting, below, tree
from resilience_operator.targets.bottlerocket.values import DOTTED, NAMES, check_of

NEWEST_KARPENTER = (1, 14, 1)
"""Taken where the release of Karpenter is not known: what only a later one keeps is reported as dropped."""
MAX_SIZE = 16384
"""Bytes before base64 (EC2, RequestLaunchTemplateData.UserData)."""
ROOM = 12288
"""Bytes that leave room for what EKS or Karpenter adds."""
GUESSES = 50
"""Problems after which no more keys are guessed."""
WHOLE = "Bottlerocket refuses the whole user data, and the node never joins"
_BOM = "\ufeff"
_SECRETS = frozenset({"password", "auth", "identitytoken", "server-key", "bootstrap-token"})


def validate(text: str, around: Surroundings = Surroundings()) -> list[Problem]:  # noqa: B008 - frozen
    """All that is wrong with a text, in the order of its lines. Never raises on what it holds."""
    found = list(_sizes(text))
    if len(text) > MAX_LENGTH:
        return found
    if text.startswith(_BOM):
        message = "begins with a byte order mark: Karpenter and EKS do not read it; save as UTF-8 without"
        found.append(_problem("KarpenterRejects", {Judge.KARPENTER, Judge.EKS}, "", 1, message))
        text = " " + text[1:]
    try:
        document = parse(text)
    except NotTOMLError as error:
        return [*found, _unreadable(text, error)]
    found += _judged(document, around)
    meant = (one for one in found if _is_meant(one, around.reader))
    return sorted(dict.fromkeys(meant), key=lambda one: one.line)


def _is_meant(problem: Problem, reader: Reader) -> bool:
    """False where only those mind through whose hands it does not pass."""
    elsewhere = {Reader.KARPENTER: Judge.EKS, Reader.EKS: Judge.KARPENTER}.get(reader)
    return problem.judges != {elsewhere}


def _sizes(text: str) -> Iterator[Problem]:
    size = len(text.encode("utf-8", "replace"))
    if size > MAX_SIZE:
        message = f"is {size:,} bytes, and EC2 takes {MAX_SIZE:,}; move scripts and manifests out of it"
        yield _problem("TooLarge", {Judge.BOTTLEROCKET}, "", 1, message)
    elif size > ROOM:
        message = (
            f"is {size:,} of at most {MAX_SIZE:,} bytes; keep it below {ROOM:,}, for EKS and Karpenter add "
            "labels, taints and the cluster's certificate"
        )
        yield _problem("TooLarge", {Judge.ADVICE}, "", 1, message)


def _unreadable(text: str, error: NotTOMLError) -> Problem:
    everybody = {Judge.BOTTLEROCKET, Judge.KARPENTER, Judge.EKS}
    if match := PLACEHOLDER.search(text):
        line = text.count("\n", 0, match.start()) + 1
        message = f"{match[0]} is a placeholder of a template: {WHOLE}; check the rendered file"
        return _problem("TemplatePlaceholder", everybody, "", line, message)
    hint = ""
    if text.lstrip().lower().startswith(("mime-version:", "content-type:")):
        hint = "; MIME and shell scripts are for Amazon Linux, Bottlerocket takes TOML alone"
    message = f"is no TOML: {error}{hint}: {WHOLE}"
    return _problem("NotTOML", everybody, "", error.line or 1, message)


def _judged(document: Document, around: Surroundings) -> Iterator[Problem]:
    settings = document.tree.get("settings")
    if not isinstance(settings, dict):
        message = "has no table [settings]: Bottlerocket refuses it, and Karpenter replaces it without a word"
        yield _problem("NoSettings", {Judge.BOTTLEROCKET}, "", 1, message)
        return
    walk = _Walk(document, around)
    walk.table(settings, tree(), ("settings",))
    yield from walk.found
    yield from across.judge(document, settings, around)
    yield from forms.judge(document, around)


@dataclass(slots=True)
class _Walk:
    """Follows a document and the table of settings together."""

    document: Document
    around: Surroundings
    found: list[Problem] = field(default_factory=list)

    def table(self, given: dict[str, Any], node: dict[str, Node], path: Path) -> None:
        """All keys of one table."""
        for key, value in given.items():
            child, wild = below(node, key)
            here = (*path, key)
            if child is None:
                self._unknown(key, value, node, wild, here)
            else:
                self._value(value, child, here, wild)

        for key, child in node.items():
            if isinstance(child, Setting) and child.required and key not in given:
                self._say(
                    "MissingSetting", {Judge.BOTTLEROCKET}, path, given, f"it has to say {key}, else {WHOLE}"
                )

    def _value(self, value: Any, node: Node, path: Path, wild: str = "") -> None:
        if isinstance(node, Setting):
            self._setting(value, node, path, wild)
        elif EACH in node:
            self._entries(value, node, path)
        elif isinstance(value, dict):
            self.table(value, node, path)
        else:
            self._wrong(value, path, "a table of settings")

    def _entries(self, value: Any, node: dict[str, Node], path: Path) -> None:
        each = node[EACH]
        if isinstance(value, dict) and path[-1] == "mirrors":
            # An older form, which the model still takes: registry -> endpoints.
            urls = check_of("list url")
            for name, endpoints in value.items():
                if wrong := urls(endpoints):
                    self._wrong(endpoints, (*path, name), wrong)
            return
        if not isinstance(value, list) or not isinstance(each, dict):
            self._wrong(value, path, "a list of tables")
            return
        for index, entry in enumerate(value):
            if isinstance(entry, dict):
                self.table(entry, each, (*path, index))
            else:
                self._wrong(entry, (*path, index), "a table")

    def _setting(self, value: Any, setting: Setting, path: Path, wild: str) -> None:
        if wrong := setting.check(value):
            if isinstance(value, dict) and wild in DOTTED:
                self._unquoted(path, value, setting)
            else:
                self._wrong(value, path, wrong, setting)
        else:
            self._taken(value, setting, path)
        self._age(value, setting, path)

    def _taken(self, value: Any, setting: Setting, path: Path) -> None:
        """A value that the model takes: who else does?"""
        if _karpenter_fails(value, setting):
            way_out = _for_karpenter(value, setting)
            message = f"Karpenter does not read this form, and launches nothing; {way_out}"
            self._say("KarpenterRejects", {Judge.KARPENTER}, path, value, message)
        elif setting.karpenter == "dropped" or self._too_new_for_karpenter(setting):
            self._dropped(value, setting, path)
        if _SECRETS & {path[-1]} or path[-2:] == ("aws", "credentials"):
            message = (
                "user data is readable by every pod that reaches instance metadata; use an instance role, "
                "or a credential provider"
            )
            self._say("SecretInUserData", {Judge.ADVICE}, path, "(a secret)", message)
        if match := next((found for one in _strings(value) if (found := PLACEHOLDER.search(one))), None):
            message = f"{match[0]} reaches the node as it stands; check the rendered file"
            self._say("TemplatePlaceholder", {Judge.ADVICE}, path, value, message)

    def _too_new_for_karpenter(self, setting: Setting) -> bool:
        kubernetes = setting.key.startswith("kubernetes.")
        return kubernetes and setting.kept_since > (self.around.karpenter or NEWEST_KARPENTER)

    def _dropped(self, value: Any, setting: Setting, path: Path) -> None:
        since = f" before v{_dotted(setting.kept_since)}" if setting.karpenter != "dropped" else ""
        message = (
            f"Karpenter{since} drops it from what nodes get, and says so in its log alone; take it out there"
        )
        self._say("KarpenterDrops", {Judge.KARPENTER}, path, value, message)

    def _age(self, value: Any, setting: Setting, path: Path) -> None:
        since = (1, 14, 0) if setting.kind == "percent" and isinstance(value, int) else setting.since
        if self.around.release is not None and self.around.release < since:
            message = (
                f"known from release {_dotted(since)} on, and the AMI is {_dotted(self.around.release)}: {WHOLE}; "
                "take a newer AMI first"
            )
            self._say("NewerThanRelease", {Judge.BOTTLEROCKET}, path, value, message)

    def _unknown(self, key: str, value: Any, node: dict[str, Node], wild: str, path: Path) -> None:
        judges = {Judge.BOTTLEROCKET}
        if wild in DOTTED and isinstance(value, dict):
            self._unquoted(path, value, node[wild])
            return
        karpenter = "; Karpenter drops it without a word" if path[1:2] == ("kubernetes",) and not wild else ""
        if karpenter:
            judges |= {Judge.KARPENTER}
        if wild and not set(node) - {wild}:
            message = f"is no name that fits ({NAMES[wild][1]}): {WHOLE}"
            self._say("UnknownSetting", judges, path, value, message)
            return
        names = [name for name in node if name not in NAMES]
        # Where very much is wrong, no single word was meant.
        close = difflib.get_close_matches(key, names, 1) if len(self.found) < GUESSES else []
        hint = f'; write "{close[0]}"' if close else "; take it out"
        message = f"is no setting of a Kubernetes node: {WHOLE}{karpenter}{hint}"
        self._say("UnknownSetting", judges, path, value, message)

    def _unquoted(self, path: Path, value: Any, node: Node) -> None:
        key = ".".join((str(path[-1]), *_chain(value)))
        judges = {Judge.BOTTLEROCKET}
        if isinstance(node, Setting) and node.karpenter:
            judges |= {Judge.KARPENTER}
        message = f'the dots make tables of it: {WHOLE}; write "{key}" in quotes'
        self._say("UnquotedKey", judges, path, value, message)

    def _wrong(self, value: Any, path: Path, wanted: str, setting: Setting | None = None) -> None:
        judges = {Judge.BOTTLEROCKET}
        if setting is not None and _karpenter_fails(value, setting):
            judges |= {Judge.KARPENTER}
        self._say("WrongValue", judges, path, value, f"write {wanted}; as it is, {WHOLE}")

    def _say(self, reason: str, judges: set[Judge], path: Path, value: Any, message: str) -> None:
        key = ".".join(map(str, path))
        text = f"{_short(key)} = {shown(value)}: {message}"
        self.found.append(_problem(reason, judges, key, self.document.line_of(path), text))


def _karpenter_fails(value: Any, setting: Setting) -> bool:
    """True where Karpenter's decoder stops at the value's type."""
    fits: dict[str, Callable[[Any], bool]] = {
        "string": lambda given: isinstance(given, str),
        "int": lambda given: isinstance(given, int) and not isinstance(given, bool),
        "bool": lambda given: isinstance(given, bool),
        "list": lambda given: isinstance(given, list),
    }
    return setting.karpenter in fits and not fits[setting.karpenter](value)


def _for_karpenter(value: Any, setting: Setting) -> str:
    if setting.kind == "percent":
        return f'write "{value}" in quotes, which Bottlerocket takes as well'
    if setting.kind == "dns-ip":
        return "write one address, as a string"
    if setting.karpenter == "list":
        return f"write a list: [{shown(value)}]"
    return f"write a {setting.karpenter}"


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)


def _chain(value: Any) -> Iterator[str]:
    """The rest of a key that was meant: the only keys of tables in tables."""
    while isinstance(value, dict) and len(value) == 1:
        key, value = next(iter(value.items()))
        yield str(key)


def _short(key: str) -> str:
    return key if len(key) <= 80 else f"{key[:77]}..."


def _dotted(release: tuple[int, ...]) -> str:
    return ".".join(map(str, release))


def _problem(reason: str, judges: set[Judge], key: str, line: int, message: str) -> Problem:
    return Problem(reason, frozenset(judges), key, line, sentence(message))
