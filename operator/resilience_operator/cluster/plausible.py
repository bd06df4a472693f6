"""Whether what our annotation remembers could ever have been there: types of values, times, words.

Asked by belief and addons, so that nothing that a tenant makes up reaches a patch or a status.
"""

import re
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from resilience_operator.cluster.leaves import CONFIGURATION, CPA_MODES, DNS_OPTIONS
from resilience_operator.cluster.objects.workloads import Declared, Target
from resilience_operator.core.paths import ABSENT, JSON, Path
from resilience_operator.core.state import Held, ObjectState

CLOCKS_APART = timedelta(minutes=10)
"""By how much the clock of the replica that wrote may have been ahead of ours."""

_WORD = re.compile(r"[A-Za-z0-9-]{1,63}")
_NAME = re.compile(r"[a-z0-9.-]{1,253}")
_UID = re.compile(r"[A-Za-z0-9./:_-]{0,64}")

Number = Annotated[int, Meta(ge=0, lt=2**31)]


class _Exact(msgspec.Struct, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """A part of the API's form, with nothing beside it."""


class _Option(_Exact):
    name: str = ""
    value: str | None = None


class _Sleep(_Exact):
    seconds: int


class _Exec(_Exact):
    command: list[str] = []


class _Header(_Exact):
    name: str
    value: str = ""


class _HTTPGet(_Exact):
    port: int | str
    path: str = ""
    host: str = ""
    scheme: str = ""
    http_headers: list[_Header] = []


class _Socket(_Exact):
    port: int | str
    host: str = ""


class _Handler(_Exact):
    """core/v1 LifecycleHandler."""

    sleep: _Sleep | None = None
    exec: _Exec | None = None
    http_get: _HTTPGet | None = None
    tcp_socket: _Socket | None = None


class _Requirement(_Exact):
    key: str
    operator: str
    values: list[str] = []


class _Selector(_Exact):
    match_labels: dict[str, str] = {}
    match_expressions: list[_Requirement] = []


class _Constraint(_Exact):
    """core/v1 TopologySpreadConstraint."""

    topology_key: str
    max_skew: Number
    when_unsatisfiable: str
    label_selector: _Selector | None = None
    match_label_keys: list[str] = []
    min_domains: Number | None = None
    node_affinity_policy: str = ""
    node_taints_policy: str = ""


def plausible(path: Path, held: Held, target: Target | None = None) -> bool:
    """True where both values of a published leaf are such as the API server would have taken there."""
    leaf = target.leaf(path) if isinstance(target, Declared) else None
    form = leaf.form if leaf is not None else _form(path)
    return _fits(held.set, form) and (held.was is ABSENT or _fits(held.was, form))


def _fits(value: JSON, form: Any) -> bool:
    try:
        msgspec.convert(value, form)
    except (msgspec.ValidationError, RecursionError):
        return False
    return True


def _form(path: Path) -> Any:
    if path == CONFIGURATION or path in CPA_MODES.values():
        return str
    if path == DNS_OPTIONS:
        return list[_Option]
    match path.steps[-1].field:
        case "topologySpreadConstraints":
            return _Constraint
        case "preStop":
            return _Handler
        case "command" | "args":
            return list[str]
    return Number


def strange(state: ObjectState, target: Target, now: datetime | None) -> str:
    """What of the state this operator cannot have written, as a part of a sentence; "" where there is nothing.

    `now`: None where it is not known; then no time is too late.
    """
    for text, held in state.leaves.items():
        if not plausible(Path.parse(text), held, target):
            return f"no such value can be at {text}"
    rules = {*(held.rule for held in state.leaves.values()), *(one.reason for one in state.quarantines)}
    rules |= {rule for one in state.applies for rule in one.repaired}
    rules |= {rule for one in state.quarantines for rule in one.rules}
    if not all(map(_WORD.fullmatch, rules)):
        return "it names a rule that cannot be one"
    if not all(map(_UID.fullmatch, (state.uid, *_uids(state)))) or not all(
        map(_NAME.fullmatch, state.names.values())
    ):
        return "it names a policy that cannot be one"
    times = [one.at for one in state.applies] + [one.at for one in state.quarantines]
    if now is not None and any(at > now + CLOCKS_APART for at in times):
        return "it is of a time that has not come yet"
    return ""


def _uids(state: ObjectState) -> set[str]:
    quarantined = {uid for one in state.quarantines for uid in one.policies}
    return {*state.uids(), *state.names, *quarantined}
