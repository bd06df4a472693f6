"""Opt-outs: labels and annotations on an object or its Namespace by which people say no. Used by every shell.

Doubt keeps us out: an end of the opt-out that cannot be read is an opt-out for ever, and is reported. Who wants no
a rule wants none that writes the same leaves either, whichever section of a policy asks for it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from resilience_operator.core.target import Catalog
from resilience_operator.engine.view import View

IGNORE = "resilience.dev/ignore"
IGNORE_UNTIL = "resilience.dev/ignore-until"
IGNORE_REASON = "resilience.dev/ignore-reason"
ALL = "all"
MAX_LENGTH = 1024
"""Characters of a list of rules; a longer one is not read, and opts out of everything, as for the guard."""


@dataclass(frozen=True, slots=True)
class OptOut:
    """An opt-out in force; `until` is when it ends (None: never), `problem` a sentence about its unreadable end."""

    until: datetime | None = None
    reason: str = ""
    problem: str = ""


def opted_out(
    labels: Mapping[str, str], annotations: Mapping[str, str], rules: Iterable[str], now: datetime
) -> OptOut | None:
    """The opt-out of any of the rules, which write the same, that these labels and annotations say; `now` is aware.

    manifests/enforce repeats which rules write the same.
    """
    named = {labels.get(IGNORE, "").strip()}
    listed = annotations.get(IGNORE, "")
    named |= {part.strip() for part in listed.split(",")} if len(listed) <= MAX_LENGTH else {ALL}
    if named.isdisjoint((ALL, *rules)):
        return None
    reason, text = annotations.get(IGNORE_REASON, ""), annotations.get(IGNORE_UNTIL, "").strip()
    if not text:
        return OptOut(reason=reason)
    until = _end(text)
    if until is None:
        problem = f"{IGNORE_UNTIL} {text!r} is no RFC 3339 date or time: the opt-out holds for ever"
        return OptOut(reason=reason, problem=problem)
    return OptOut(until, reason) if now < until else None


def optouts_of(rules: Iterable[str], view: View, catalog: Catalog) -> Mapping[str, OptOut]:
    """Rule -> the opt-out that holds: the object's own, then of what it scales, then its Namespace's."""
    places = [(each.labels, each.annotations) for each in view.opt_out_objects]
    places = [place for place in places if IGNORE in place[0] or IGNORE in place[1]]
    if not places:
        return {}
    found = {}
    for rule in rules:
        siblings = catalog.siblings(rule)
        hits = (opted_out(labels, annotations, siblings, view.now) for labels, annotations in places)
        hit = next((one for one in hits if one is not None), None)
        if hit is not None:
            found[rule] = hit
    return found


def _end(text: str) -> datetime | None:
    """The first instant after the opt-out: a date counts to the end of that day, UTC."""
    try:
        if "T" not in text and "t" not in text and " " not in text:
            return datetime.combine(date.fromisoformat(text) + timedelta(days=1), time(), UTC)
        at = datetime.fromisoformat(text.replace("t", "T").replace("z", "Z"))
    except (ValueError, OverflowError):
        return None
    return at if at.tzinfo is not None else None
