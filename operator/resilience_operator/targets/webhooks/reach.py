"""Whether the API server sends a request to a webhook. Pure; read by the rule for every webhook and request.

Follows k8s.io/apiserver/pkg/admission/plugin/webhook/predicates (rules, namespace, object) and matchPolicy: each row
of tests/targets/webhooks is checked against a real API server. Three answers: it is sent, it is not, it may be.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from resilience_operator.cluster.objects.meta import MatchExpression, Selector
from resilience_operator.targets.webhooks.objects import Rule, Webhook
from resilience_operator.targets.webhooks.requests import Request

NAME_LABEL = "kubernetes.io/metadata.name"
"""The label of every Namespace with its own name; nobody can change it."""

_EQUIVALENT = {
    ("", "events"): ("events.k8s.io", "events"),
    ("events.k8s.io", "events"): ("", "events"),
}
"""Resources of two groups that are one thing in storage: matchPolicy Equivalent takes one for the other."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether a request is sent to a webhook."""

    sent: bool | None
    """None: it may be, which only the API server can tell."""
    because: str = ""
    """What it depends on, where it may be."""


NOT_SENT, SENT = Reach(False), Reach(True)

Labels = Mapping[str, Mapping[str, str]]
"""Namespace -> its labels; of one that is missing only its name is known."""


def reach(webhook: Webhook, request: Request, namespaces: Labels) -> Reach:
    """Whether the request is sent to the webhook."""
    if not any(_applies(rule, request, webhook.match_policy) for rule in webhook.rules or ()):
        return NOT_SENT
    in_namespace = _namespace_matches(webhook.namespace_selector, request, namespaces)
    of_object = _object_matches(webhook.object_selector, request)
    if in_namespace is False or of_object is False:
        return NOT_SENT
    doubts = [
        *(["labels of its Namespace that are not known"] if in_namespace is None else []),
        *(["the labels of the object (objectSelector)"] if of_object is None else []),
        *(["its matchConditions"] if webhook.match_conditions else []),
    ]
    return Reach(None, " and ".join(doubts)) if doubts else SENT


def _applies(rule: Rule, request: Request, match_policy: str | None) -> bool:
    places = [(request.group, request.resource)]
    if match_policy != "Exact" and places[0] in _EQUIVALENT:
        places.append(_EQUIVALENT[places[0]])
    return (
        _in_scope(rule.scope, request)
        and _listed(rule.operations, request.operation)
        and _listed(rule.api_versions, request.version)
        and any(
            _listed(rule.api_groups, group) and _has_resource(rule.resources, resource, request.subresource)
            for group, resource in places
        )
    )


def _listed(values: Iterable[str], value: str) -> bool:
    return any(one in ("*", value) for one in values)


def _has_resource(listed: Iterable[str], resource: str, subresource: str) -> bool:
    """`pods` is without subresources, `pods/*` with and without, `*/scale` that of all, `*/*` everything."""
    for one in listed:
        first, _, second = one.partition("/")
        if first in ("*", resource) and second in ("*", subresource):
            return True
    return False


def _in_scope(scope: str | None, request: Request) -> bool:
    namespaced = bool(request.namespace) and request.resource != "namespaces"
    return scope in (None, "*") or (scope == "Namespaced") == namespaced


def _namespace_matches(selector: Selector | None, request: Request, namespaces: Labels) -> bool | None:
    """Of a cluster-scoped object always: only a Namespace itself is judged by its labels."""
    if selector is None or not request.namespace:
        return True
    known = namespaces.get(request.namespace)
    if known is not None:
        return selects(selector, {NAME_LABEL: request.namespace, **known}, complete=True)
    return selects(selector, {NAME_LABEL: request.namespace}, complete=False)


def _object_matches(selector: Selector | None, request: Request) -> bool | None:
    if selector is None or not (selector.match_labels or selector.match_expressions):
        return True
    return selects(selector, {}, complete=request.bare)


def selects(selector: Selector, labels: Mapping[str, str], *, complete: bool) -> bool | None:
    """Whether the selector matches; None where that hangs on labels that are not known (`complete`: all are)."""
    answers: list[bool | None] = [
        labels[key] == value if key in labels else (False if complete else None)
        for key, value in selector.match_labels.items()
    ]
    answers += [_requires(one, labels, complete=complete) for one in selector.match_expressions]
    if False in answers:
        return False
    return None if None in answers else True


def _requires(one: MatchExpression, labels: Mapping[str, str], *, complete: bool) -> bool | None:
    if one.key not in labels and not complete:
        return None
    there, value = one.key in labels, labels.get(one.key, "")
    match one.operator:
        case "In":
            return there and value in one.values
        case "NotIn":
            return not there or value not in one.values
        case "Exists":
            return there
        case "DoesNotExist":
            return not there
    return None
