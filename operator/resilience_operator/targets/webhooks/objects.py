"""Webhook configurations as observed. Made by webhooks/kinds, read by the rule."""

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta as Bounds

from resilience_operator.cluster.objects.declared import Declared
from resilience_operator.cluster.objects.meta import Observed, Selector
from resilience_operator.core.refs import Key
from resilience_operator.core.target import Leaf

API_VERSION = "admissionregistration.k8s.io/v1"
VALIDATING, MUTATING = "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"
FAIL, IGNORE = "Fail", "Ignore"


class _Expression(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] = []


class _LabelSelector(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    match_labels: dict[str, str] = {}
    match_expressions: list[_Expression] = []


LEAVES = (
    Leaf("webhooks[name].timeoutSeconds", default=10, form=Annotated[int, Bounds(ge=1, le=30)]),
    Leaf("webhooks[name].namespaceSelector", default={}, form=_LabelSelector),
    Leaf("webhooks[name].failurePolicy", default=FAIL, form=Literal["Fail", "Ignore"]),
)
"""What we may write of a configuration (defaults: k8s.io/kubernetes/pkg/apis/admissionregistration/v1/defaults.go)."""


class ServiceReference(Observed, frozen=True):
    """The Service that a webhook is called through."""

    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


class ClientConfig(Observed, frozen=True):
    """How a webhook is called: one of both is set."""

    url: str | None = None
    service: ServiceReference | None = None


class Rule(Observed, frozen=True):
    """Which requests are sent: every list has to match; `*` matches all."""

    api_groups: tuple[str, ...] = ()
    api_versions: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    scope: str | None = "*"


class MatchCondition(Observed, frozen=True):
    """A CEL expression that has to be true as well; it is not evaluated here."""

    name: str = ""


class Webhook(Observed, frozen=True):
    """One entry of `webhooks`, with the API server's defaults."""

    name: str
    client_config: ClientConfig = ClientConfig()
    rules: tuple[Rule, ...] | None = ()
    failure_policy: str | None = FAIL
    match_policy: str | None = "Equivalent"
    namespace_selector: Selector | None = None
    object_selector: Selector | None = None
    timeout_seconds: int | None = 10
    match_conditions: tuple[MatchCondition, ...] | None = ()
    reinvocation_policy: str | None = "Never"

    @property
    def fails_closed(self) -> bool:
        """True where a request is refused when the backend does not answer."""
        return self.failure_policy != IGNORE

    @property
    def seconds(self) -> int:
        """How long one call may last."""
        return 10 if self.timeout_seconds is None else self.timeout_seconds


class WebhookConfiguration(Declared, frozen=True):
    """A Validating- or MutatingWebhookConfiguration, projected."""

    api_version: ClassVar[str] = API_VERSION
    leaves: ClassVar[tuple[Leaf, ...]] = LEAVES
    webhooks: tuple[Webhook, ...] = ()
    injected: bool = False
    """True where cert-manager's CA injector keeps its caBundle."""
    unjudged: int = 0
    """How many webhooks there are beyond those that are looked at."""

    @property
    def mutating(self) -> bool:
        """True where its webhooks are called one after the other, and may change the object."""
        return self.kind == MUTATING

    @property
    def services(self) -> tuple[Key, ...]:
        """(namespace, name) of the Services that its webhooks are called through."""
        called = (one.client_config.service for one in self.webhooks)
        return tuple(dict.fromkeys((one.namespace, one.name) for one in called if one is not None))


def with_policy(webhook: Webhook, policy: str) -> Webhook:
    """The webhook as it would be with that failurePolicy."""
    return msgspec.structs.replace(webhook, failure_policy=policy)
