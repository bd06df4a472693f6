"""Target webhooks, declared. Listed in targets.TARGETS."""

from resilience_operator.core.target import Rule, Target, TemporaryEvents
from resilience_operator.targets.webhooks import webhook_reach
from resilience_operator.targets.webhooks.kinds import WATCHED
from resilience_operator.targets.webhooks.scope import SCOPE
from resilience_operator.targets.webhooks.settings import Webhooks
from resilience_operator.targets.webhooks.texts import SECTION, TEXT
from resilience_operator.targets.webhooks.views import WebhookViews

TARGET = Target(
    section=SECTION,
    settings=Webhooks,
    rules=(
        Rule(
            webhook_reach.check,
            TEXT,
            field="reach",
            temporary=TemporaryEvents(taken="WebhookFailedOpen", given_back="WebhookRestored"),
        ),
    ),
    watched=WATCHED,
    views=WebhookViews,
    scope=SCOPE,
)
