"""Section `webhooks` of a policy. Declared in target.py."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from resilience_operator.policy.common import SET, RuleSettings, SectionSettings


class Step(StrEnum):
    """A remediation, the smallest first; each is written only where the policy names it."""

    TIMEOUT = "Timeout"
    NAMESPACE_SELECTOR = "NamespaceSelector"
    FAIL_OPEN_WHILE_DOWN = "FailOpenWhileDown"


_Name = Annotated[
    str,
    Meta(
        description="The name of a Namespace.",
        min_length=1,
        max_length=63,
        pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    ),
]


class WebhookReach(RuleSettings, frozen=True):
    """Rule `webhook-reach` (incident webhook-blocks-apiserver)."""

    protect_namespaces: Annotated[
        tuple[_Name, ...], Meta(min_length=1, max_length=16, extra_json_schema=SET)
    ] = ("kube-system", "kube-node-lease")
    """Namespaces whose requests no admission webhook may block; [kube-system, kube-node-lease] if left out.
    Nodes, certificate requests and what a starting API server writes are always protected.
    """
    max_timeout_seconds: Annotated[int, Meta(ge=1, le=30)] = 10
    """The longest that one webhook may keep such a request waiting; 10 if left out."""
    remediation: Annotated[
        tuple[Annotated[Step, Meta(description="One kind of change.")], ...],
        Meta(max_length=3, extra_json_schema=SET),
    ] = ()
    """What may be written in Enforce; nothing if left out. Timeout sets timeoutSeconds to the maximum;
    NamespaceSelector adds one requirement to the owner's namespaceSelector; FailOpenWhileDown sets failurePolicy
    Ignore while no endpoint of the backend is ready, and gives it back as soon as one is, also when suspended or in
    Audit by then: what the webhook protects is not protected meanwhile.
    """
    down_after_seconds: Annotated[int, Meta(ge=10, le=3600)] = 60
    """How long no endpoint of a backend has to be ready before its webhook is failed open; 60 if left out."""


class Webhooks(SectionSettings, frozen=True):
    """What is demanded of admission webhooks; left out, they are not looked at."""

    reach: WebhookReach | None = None
    """Rule webhook-reach: no webhook of others can block a request that the control plane or the nodes live on. An
    empty object means the defaults, which report and write nothing.
    """
