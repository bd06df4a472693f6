"""What section `webhooks` asks for. Read by the rule."""

from enum import StrEnum

import msgspec


class Step(StrEnum):
    """A remediation, the smallest first; each is written only where the policy names it."""

    TIMEOUT = "Timeout"
    NAMESPACE_SELECTOR = "NamespaceSelector"
    FAIL_OPEN_WHILE_DOWN = "FailOpenWhileDown"


class WebhookReach(msgspec.Struct, frozen=True, rename="camel"):
    """Rule webhook-reach."""

    protect_namespaces: tuple[str, ...] = ("kube-system", "kube-node-lease")
    """Namespaces whose requests no webhook may block."""
    max_timeout_seconds: int = 10
    """The longest that one webhook may keep such a request waiting."""
    remediation: tuple[Step, ...] = ()
    """What may be written; empty: only reported."""
    down_after_seconds: int = 60
    """How long no endpoint of a backend has to be ready before its webhook may be failed open."""
