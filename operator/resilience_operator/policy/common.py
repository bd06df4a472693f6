"""The common part of a policy, typed once, and the bases of what a target declares of its section.

Read by policy/decode, policy/crd and the targets' settings. A field is one line: its type, its bounds, its default and
the sentence that `kubectl explain` shows. Decoding, inheritance, the CRD and its bounds all derive from it.

How a target declares its settings (in its folder's settings.py, named in its `Target`):

- A rule's settings are a struct on `RuleSettings`, or `ReportedSettings` where the rule never writes. Each field has a
  default, its bounds as `Annotated[int, Meta(ge=1, le=9)]`, and under it the string that describes it; its name in the
  policy is the camelCase of its name here. Text with a known set of values is `Annotated[str, one_of("A", "B")]`; a
  list is `Annotated[tuple[..., ...], Meta(max_length=..., extra_json_schema=SET)]` (or ATOMIC, or by_key("name")). An
  entry of a list is described by its struct's docstring, or by `Meta(description=...)` where it is no struct.
- A section is a struct on `SectionSettings`, described by the first paragraph of its docstring; a rule is asked for by
  a field `some_rule: SomeRule | None = None`, and `Rule(..., field="some_rule")` of the target says which rule that is.
- What one field alone cannot say is a CEL rule, for the API server, in `cel: ClassVar`; what only this machine can say
  (is that time zone known here?) is `unknown()`.
- `default_conflicts` of a rule's settings says what becomes of a value that somebody chose, where the policy is silent.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, time
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache, cached_property
from typing import Annotated, Any, ClassVar, NamedTuple, Self, cast
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from resilience_operator.core.selectors import LabelSelector, Requirement
from resilience_operator.core.target import Catalog

Schema = dict[str, Any]
"""A part of an OpenAPI schema, as JSON."""

SET: Schema = {"x-kubernetes-list-type": "set"}
"""A list in which no value stands twice."""
ATOMIC: Schema = {"x-kubernetes-list-type": "atomic"}
"""A list that has one owner."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something in a policy that cannot be honoured: where, and what to write instead."""

    path: str
    """The field, written as in `spec.windows.allow[0].timeZone`."""
    message: str
    """What to write instead."""

    def __str__(self) -> str:
        """`path: message`, the form of conditions and of the command line."""
        return f"{self.path}: {self.message}"


def by_key(name: str) -> Schema:
    """A list of objects, each known by its field `name`."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [name]}


class CEL(NamedTuple):
    """A rule in the Common Expression Language that the API server evaluates on an object or a value, as `self`."""

    rule: str
    message: str
    """What to write instead."""
    field_path: str = ""
    """Which field of the object is wrong, as `.until`; "" where it is the object."""

    @property
    def schema(self) -> Schema:
        """Its form in a CustomResourceDefinition."""
        said = {"rule": self.rule, "message": self.message}
        return said | ({"fieldPath": self.field_path} if self.field_path else {})


def matching(pattern: str, message: str) -> Schema:
    """Text that matches `pattern` (RE2), by a CEL rule whose `message` says what to write instead."""
    return {"x-kubernetes-validations": [CEL(f"self.matches('{pattern}')", message).schema]}


def one_of(*values: str, says: str | None = None) -> Meta:
    """Text that is one of `values`; `says`: its description, where it is an entry of a list."""
    return Meta(description=says, extra_json_schema={"enum": list(values)})


class Settings(msgspec.Struct, frozen=True, rename="camel"):
    """An object of a policy's spec."""

    cel: ClassVar[tuple[CEL, ...]] = ()
    """What the API server holds of the whole object."""
    schema: ClassVar[Schema] = {}
    """Further keywords of its schema."""
    open: ClassVar[bool] = False
    """True where it may have fields that are not declared, which nobody reads: an object that others define."""

    def unknown(self) -> Iterator[tuple[str, str]]:
        """(field, what to write instead) of each value that is in order, but that this operator cannot honour."""
        return iter(())

    def usable(self) -> Self:
        """The same with the default in the place of what this operator cannot even hold."""
        return self


class Mode(StrEnum):
    """Audit names drift; Enforce ends it as well."""

    AUDIT = "Audit"
    ENFORCE = "Enforce"


class Conflicts(StrEnum):
    """What becomes of a value that somebody chose: reported and respected, or taken over."""

    REPORT = "Report"
    TAKE_OVER = "TakeOver"


class OnRelease(StrEnum):
    """What becomes of our values on an object that leaves the policy."""

    RETAIN = "Retain"
    REVERT = "Revert"


# --- windows

_MOMENT: Schema = {
    "format": "date-time",
    "maxLength": 35,
    "pattern": (
        r"^[12][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$"
    ),
}
_ZONE = "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"


def _clock(example: str) -> Schema:
    message = f"write the time as HH:MM on a clock of 24 hours, in quotes: {example}"
    return {"maxLength": 5} | matching("^([01][0-9]|2[0-3]):[0-5][0-9]$", message)


class AllowWindow(Settings, frozen=True):
    """One weekly window."""

    name: Annotated[str, Meta(min_length=1, max_length=63)]
    """Shown to people who wait for this window."""
    days: Annotated[
        tuple[
            Annotated[
                str, one_of("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", says="A day of the week.")
            ],
            ...,
        ],
        Meta(min_length=1, max_length=7, extra_json_schema=SET),
    ]
    """The days on which the window starts."""
    start: Annotated[time, Meta(extra_json_schema=_clock('"09:00"'))]
    """Local time at which the window opens, as "HH:MM"."""
    end: Annotated[time, Meta(extra_json_schema=_clock('"16:00"; midnight is "00:00"'))]
    """Local time at which the window closes, as "HH:MM"; at or before `start` it closes on the next day, so
    "00:00" is midnight.
    """
    time_zone: Annotated[
        str,
        Meta(
            max_length=64,
            extra_json_schema=matching(_ZONE, 'write an IANA time zone name: "Europe/Berlin" or "UTC"'),
        ),
    ] = "UTC"
    """IANA name of the zone of `start` and `end`, for instance Europe/Berlin; left out: UTC. A name that the
    operator's time zone data does not know makes the policy not Ready.
    """

    def unknown(self) -> Iterator[tuple[str, str]]:
        """Its time zone, where this machine has no data for it."""
        if not knows_zone(self.time_zone):
            yield (
                "timeZone",
                f'write an IANA time zone name, as "Europe/Berlin"; {self.time_zone!r} is unknown here',
            )

    def usable(self) -> Self:
        """In UTC, where its zone is unknown: no window of such a policy ever opens, for it is suspended."""
        return self if knows_zone(self.time_zone) else msgspec.structs.replace(self, time_zone="UTC")


class DenyWindow(Settings, frozen=True):
    """One span of absolute time."""

    cel = (CEL("self.from < self.until", "from must be before until", ".until"),)

    name: Annotated[str, Meta(min_length=1, max_length=63)]
    """Shown to people who wait for the end of this span."""
    start: Annotated[datetime, Meta(extra_json_schema=_MOMENT)] = msgspec.field(name="from")
    """The first moment of the span, RFC 3339 with its offset, for instance "2026-11-26T00:00:00Z"."""
    until: Annotated[datetime, Meta(extra_json_schema=_MOMENT)]
    """The first moment after the span, RFC 3339 with its offset."""


class Windows(Settings, frozen=True):
    """When disruptive changes may start: in one of `allow` (none given: always) and in none of `deny`."""

    cel = (
        CEL(
            "!has(self.allow) || !has(self.deny) || self.allow.all(a, self.deny.all(d, a.name != d.name))",
            "a window of allow and one of deny have the same name: people are told by name which window they wait for, "
            "so give each its own",
        ),
    )

    allow: Annotated[
        tuple[AllowWindow, ...],
        Meta(min_length=1, max_length=32, extra_json_schema=by_key("name")),
    ] = ()
    """Weekly windows; a change may start within any of them. Left out, always (unless denied)."""
    deny: Annotated[
        tuple[DenyWindow, ...],
        Meta(max_length=32, extra_json_schema=by_key("name")),
    ] = ()
    """Spans in which no disruptive change starts, whatever `allow` says. Left out, none."""


ALWAYS = Windows()

# --- rollout

_Several = Annotated[int, Meta(ge=1, le=1000)]
_Seconds = Annotated[int, Meta(ge=1, le=86400)]


class Rollout(Settings, frozen=True):
    """Limits of rollouts; None: not said here, the outer level's or the default of `Limits` holds."""

    max_concurrent: _Several | None = None
    """Rollouts of this policy running at once; 1 if left out everywhere."""
    max_concurrent_per_namespace: _Several | None = None
    """The same within one Namespace; 1 if left out everywhere."""
    soak_seconds: Annotated[int, Meta(ge=0, le=86400)] | None = None
    """Seconds after a rollout is complete in which no container may restart and no availability may be lost,
    before the next one starts; 60 if left out everywhere.
    """
    progress_deadline_seconds: _Seconds | None = None
    """Seconds without progress after which a rollout has failed, as in a Deployment; the Deployment's own
    counts if shorter, and its minReadySeconds come on top. 600 if left out everywhere.
    """
    failure_threshold: Annotated[int, Meta(ge=1, le=100)] | None = None
    """Rollouts that failed with the template that the operator wrote, after which the policy stops (Degraded)
    until its spec changes; 1 if left out everywhere.
    """


class Limits(msgspec.Struct, frozen=True):
    """Rollout limits with every level merged: what the queue counts against; the defaults where nothing is said."""

    max_concurrent: int = 1
    max_concurrent_per_namespace: int = 1
    soak_seconds: int = 60
    progress_deadline_seconds: int = 600
    failure_threshold: int = 1


DEFAULT_LIMITS = Limits()
"""The limits of a policy that says nothing of them."""


def limits(*levels: Rollout) -> Limits:
    """The limits that these levels say together, field by field, the innermost first."""
    said: dict[str, int] = {}
    for level in reversed(levels):
        said |= {name: value for name, value in msgspec.structs.asdict(level).items() if value is not None}
    return Limits(**said)


# --- which objects

_Glob = Annotated[
    str,
    Meta(
        description="A Namespace name in which * stands for any characters and ? for one.",
        min_length=1,
        max_length=63,
        extra_json_schema=matching(
            "^[a-z0-9*?-]+$",
            'write the name of a Namespace, where * stands for any characters and ? for one: "shop-*"',
        ),
    ),
]


SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})


class NamespaceScope(Settings, frozen=True):
    """Globs over namespace names; system namespaces are in scope only where `include` names them literally."""

    include: Annotated[tuple[_Glob, ...], Meta(min_length=1, max_length=64, extra_json_schema=SET)] = ("*",)
    """Names in scope; ["*"] if left out."""
    exclude: Annotated[tuple[_Glob, ...], Meta(max_length=64, extra_json_schema=SET)] = ()
    """Names out of scope, whatever `include` says; none if left out."""

    def covers(self, namespace: str, own_namespace: str = "") -> bool:
        """True where `namespace` is included and not excluded; `own_namespace` counts as a system namespace."""
        if any(fnmatchcase(namespace, glob) for glob in self.exclude):
            return False
        if namespace in SYSTEM_NAMESPACES or (own_namespace and namespace == own_namespace):
            return namespace in self.include
        return any(fnmatchcase(namespace, glob) for glob in self.include)


EVERY_NAMESPACE = NamespaceScope()

_LABEL_KEY = re.compile(
    r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
LabelKey = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=317,
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
    ),
]
"""The key of a label."""
_LabelValue = Annotated[
    str,
    Meta(
        description="The value of a label.",
        max_length=63,
        pattern="^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$",
    ),
]


class Expression(Settings, frozen=True):
    """One requirement on one label."""

    cel = (
        CEL(
            '!(self.operator in ["In", "NotIn"]) || (has(self.values) && size(self.values) > 0)',
            "In and NotIn need at least one value in values",
        ),
        CEL(
            '!(self.operator in ["Exists", "DoesNotExist"]) || !has(self.values) || size(self.values) == 0',
            "Exists and DoesNotExist take no values: leave values out, or write In or NotIn",
        ),
    )

    key: LabelKey
    """The key of the label."""
    operator: Annotated[str, one_of(*("In", "NotIn", "Exists", "DoesNotExist"))]
    """How `values` are read; NotIn and DoesNotExist match an object without the label."""
    values: Annotated[tuple[_LabelValue, ...], Meta(max_length=64, extra_json_schema=ATOMIC)] = ()
    """Values for In and NotIn; none for Exists and DoesNotExist."""


class Selector(Settings, frozen=True, dict=True):
    """A LabelSelector; one that is empty selects everything."""

    schema = {"x-kubernetes-map-type": "atomic"}

    match_labels: Annotated[dict[str, _LabelValue], Meta(max_length=32)] = {}
    """Labels that must be there with exactly these values."""
    match_expressions: Annotated[
        tuple[Expression, ...],
        Meta(max_length=16, extra_json_schema=ATOMIC),
    ] = ()
    """Requirements that must all hold."""

    @cached_property
    def selector(self) -> LabelSelector:
        """What it selects."""
        expressions = (Requirement(one.key, one.operator, one.values) for one in self.match_expressions)
        return LabelSelector(tuple(sorted(self.match_labels.items())), tuple(expressions))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """True where it selects an object with these labels."""
        return self.selector.matches(labels)

    def unknown(self) -> Iterator[tuple[str, str]]:
        """A key that no label can have: the API server does not look at the keys of matchLabels."""
        for key in self.match_labels:
            if not _LABEL_KEY.fullmatch(key):
                yield (
                    "matchLabels",
                    f"{key!r} is no label key, so no object bears it: write as app.kubernetes.io/name",
                )


EVERYTHING = Selector()

# --- the levels at which mode, conflicts, windows and rollout may be said


class Level(Settings, frozen=True):
    """What spec and each section may say alike: the innermost level counts."""

    conflicts: Conflicts | None = None
    """What becomes of a value that somebody chose: Report (respected, named in a finding with the patch to
    commit) or TakeOver. Left out: the outer level's, else the section's own default, which is Report unless it
    says otherwise.
    """
    windows: Windows | None = None
    """When disruptive changes (those that restart pods) may start; left out: the outer level's, else always. A
    running rollout is never stopped by a window, and the rollback of a failed one never waits. The innermost
    level that has `windows` counts as a whole: lists are not merged.
    """
    rollout: Rollout = Rollout()
    """Limits on changes that restart pods. Each field may be repeated in a section; the innermost one counts.
    Limits count over all policies, and the operator's own (`--max-rollouts`) holds as well.
    """


class SpecSettings(Level, frozen=True):
    """What spec says beside its sections."""

    mode: Annotated[Mode, Meta(extra_json_schema={"default": "Audit"})] = Mode.AUDIT
    """Audit names drift and changes nothing; Enforce ends it as well. May be repeated in a section and in a
    rule: the innermost one counts.
    """
    suspend: bool = False
    """true keeps observing and reporting, but writes nothing; false if left out."""
    priority: Annotated[int, Meta(ge=-1000, le=1000)] = 0
    """Where two Enforce policies demand different values of one field, the higher one is written and the other
    shows Contested; equal ones write neither. 0 if left out. Audit never outranks Enforce.
    """
    on_release: OnRelease = OnRelease.RETAIN
    """What becomes of the operator's values when an object or a rule leaves the policy: Retain (if left out)
    keeps them, Revert writes back what was there before. An opt-out always retains.
    """


class RuleSettings(Settings, frozen=True):
    """What a policy asks of one rule."""

    mode: Mode | None = None
    """Mode of this rule; left out: the section's."""

    def default_conflicts(self, kind: str) -> Conflicts:
        """What becomes of a value that somebody chose on an object of that kind, where no level of the policy says."""
        return Conflicts.REPORT


class ReportedSettings(RuleSettings, frozen=True):
    """What a policy asks of a rule that never writes."""

    mode: Mode | None = None
    """Mode of this rule; left out: the section's. Nothing is enforced in either."""


class SectionSettings(Level, frozen=True):
    """A section of spec; beside these fields it has one for each of its rules, None where the rule is not asked for."""

    mode: Mode | None = None
    """Mode of this section; left out: spec's."""


@cache
def spec_struct(catalog: Catalog) -> type[SpecSettings]:
    """The struct of a spec that has a section for each of these targets, None where it is left out."""
    sections = [(name, target.settings | None, None) for name, target in catalog.targets.items()]
    struct = msgspec.defstruct("Spec", sections, bases=(SpecSettings,), frozen=True)
    return cast("type[SpecSettings]", struct)


def knows_zone(name: str) -> bool:
    """True where the time zone database of this machine, or tzdata, has `name`."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
