"""Webhook configurations of files, beside what the same files say of Services and Namespaces. Used by cli/files.

Whether a backend answers no file says: what is found is what would be blocked whenever it does not.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

from resilience_operator.cluster.objects.neighbours import Namespace, Service
from resilience_operator.targets.webhooks.objects import ServiceReference, WebhookConfiguration
from resilience_operator.targets.webhooks.view import Backend, Chain, WebhookView, of_service


def view_of(
    found: WebhookConfiguration,
    now: datetime,
    beside: Iterable[WebhookConfiguration],
    namespaces: Iterable[Namespace],
    service_of: Callable[[ServiceReference], Service | None],
    *,
    complete: bool,
) -> WebhookView:
    """A configuration with all that the input has; `service_of`: the Service of the input, None where it has none.

    `complete`: the input is all there is.
    """
    called = {one.client_config.service for one in found.webhooks} - {None}
    services = {one: service_of(one) for one in called if one is not None}
    return WebhookView(
        configuration=found,
        now=now,
        chain=Chain(tuple(beside), {one.metadata.name: one.metadata.labels for one in namespaces}),
        backends={one: of_service(known) or Backend() for one, known in services.items()},
        in_files=True,
        unread=() if complete else tuple(one for one, known in services.items() if known is None),
    )
