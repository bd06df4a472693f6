"""Label selectors with the meaning that the API server gives them. Used by rules and the policy's settings."""

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requirement:
    """One matchExpressions entry: key, operator (In, NotIn, Exists, DoesNotExist) and values."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Kubernetes' meaning: NotIn and DoesNotExist match an object without the key."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values and self.key in labels
            case "NotIn":
                return self.key not in labels or labels[self.key] not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels
        raise ValueError(f"operator must be In, NotIn, Exists or DoesNotExist, not {self.operator!r}")


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """metav1.LabelSelector; an empty one matches everything."""

    match_labels: tuple[tuple[str, str], ...] = ()
    match_expressions: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """True where every label and every expression holds."""
        return all(labels.get(key) == value for key, value in self.match_labels) and all(
            requirement.matches(labels) for requirement in self.match_expressions
        )


_KEY = r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_LABEL = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"
_TERM = re.compile(
    rf"\s*(?:(?P<no>!)\s*(?P<absent>{_KEY})|(?P<key>{_KEY})(?:\s*(?P<equals>==?|!=)\s*(?P<value>{_LABEL})"
    rf"|\s+(?P<set>in|notin)\s*\((?P<values>\s*{_LABEL}\s*(?:,\s*{_LABEL}\s*)*)\))?)\s*(?:,|$)"
)


def parse_selector(text: str) -> LabelSelector:
    """A selector as kubectl's -l has it: a=b, a!=b, a in (b,c), a notin (b), a, !a; "" is everything.

    Raises ValueError with what to write.
    """
    found, at = [], 0
    while at < len(text):
        term = _TERM.match(text, at)
        if term is None or (term.end() == len(text) and text.endswith(",")):
            raise ValueError(f"{text!r} is no label selector: write it as for kubectl -l: a=b,c in (d,e),!f")
        found.append(_requirement(term))
        at = term.end()
    return LabelSelector(match_expressions=tuple(found))


def _requirement(term: re.Match[str]) -> Requirement:
    if term["no"]:
        return Requirement(term["absent"], "DoesNotExist")
    if term["set"]:
        values = tuple(value.strip() for value in term["values"].split(","))
        return Requirement(term["key"], "In" if term["set"] == "in" else "NotIn", values)
    if term["equals"]:
        return Requirement(term["key"], "NotIn" if term["equals"] == "!=" else "In", (term["value"],))
    return Requirement(term["key"], "Exists")
