"""The kinds that the target watches, and what is kept of an object of each. Declared in webhooks/target.

Of Services, EndpointSlices and Namespaces it reads what the workloads keep.
"""

from functools import partial
from typing import Any

import msgspec

from resilience_operator.cluster import declared, wire
from resilience_operator.cluster.keep import meta
from resilience_operator.core.kinds import MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS
from resilience_operator.core.target import Watched
from resilience_operator.targets.webhooks.objects import (
    LEAVES,
    MUTATING,
    VALIDATING,
    Webhook,
    WebhookConfiguration,
)
from resilience_operator.targets.workloads import endpoint_slices

_INJECTED = "cert-manager.io/inject-"


class _Meta(wire.Meta):
    managed_fields: tuple[declared.OwnedFields, ...] = ()


class WireConfiguration(wire.Wire):
    """A webhook configuration; its webhooks are read twice, as structs and for the leaves that we may write."""

    metadata: _Meta
    webhooks: list[dict[str, Any]] | None = None


def configuration(kind: str, found: WireConfiguration) -> WebhookConfiguration:
    """A webhook configuration with its claims and what was chosen; without certificates."""
    webhooks = found.webhooks or []
    owners = declared.claims(found.metadata.managed_fields, LEAVES)
    annotations = found.metadata.annotations
    return WebhookConfiguration(
        kind=kind,
        metadata=meta(found.metadata),
        webhooks=msgspec.convert(webhooks[: declared.MAX_ENTRIES], tuple[Webhook, ...]),
        tree=declared.tree({"webhooks": webhooks}, LEAVES),
        claims=owners,
        chosen=declared.chosen(annotations, owners, LEAVES),
        injected=any(key.startswith(_INJECTED) for key in annotations),
        unjudged=max(0, len(webhooks) - declared.MAX_ENTRIES),
    )


WATCHED = (
    Watched(VALIDATING_WEBHOOKS, WireConfiguration, partial(configuration, VALIDATING)),
    Watched(MUTATING_WEBHOOKS, WireConfiguration, partial(configuration, MUTATING)),
    *endpoint_slices.WATCHED,
)
