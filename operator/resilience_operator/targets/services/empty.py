"""Rule `empty-service`: a Service leads to a ready endpoint (incident empty-service). Reported only.

How long it has led nowhere is told from when its EndpointSlices changed last, or from when every look since found it
so: whichever is earlier. Where neither is known long enough it is skipped, never passed.
"""

from datetime import datetime, timedelta

from resilience_operator.core.findings import EMPTY, Finding, Skipped, Verdict
from resilience_operator.targets.services.causes import Cause, cause_of
from resilience_operator.targets.services.endpoints import is_judged, leads_nowhere
from resilience_operator.targets.services.manifests import cause_in_files
from resilience_operator.targets.services.pods import MAX_MESSAGE, shortened
from resilience_operator.targets.services.rollouts import LONGEST, rolling_until, settled_at
from resilience_operator.targets.services.settings import EmptyService
from resilience_operator.targets.services.texts import EMPTY_SERVICE, NEVER_CHANGED, PORT_MISSING
from resilience_operator.targets.services.view import ServiceView

CALLERS_SAID = 2
"""Who points to it, told one by one."""
CALLER_LONGEST = 48
"""Characters of each."""
UNKNOWN_SINCE = "it has no ready endpoint now; since when is not known: look again after graceSeconds"


def check(settings: EmptyService, view: ServiceView) -> Verdict:
    """The finding on a Service that leads nowhere, once it has for so long."""
    if not is_judged(view.service):
        return EMPTY
    if view.in_files:
        return cause_in_files(view)
    if not leads_nowhere(view.service, view.slices):
        return EMPTY
    cause = cause_of(view)
    if cause is None:
        return EMPTY
    since = _since(view)
    if since is None:
        return Verdict(skipped=(Skipped(EMPTY_SERVICE, view.ref, UNKNOWN_SINCE),))
    if (rolling := _rolling_until(view, since)) is not None:
        return Verdict(wake_at=rolling)
    ends = [end for one in view.deployments if (end := settled_at(one)) is not None]
    due = max([since, *ends]) + timedelta(seconds=settings.grace_seconds)
    if view.now < due:
        known = view.changed_at is not None
        skipped = () if known else (Skipped(EMPTY_SERVICE, view.ref, UNKNOWN_SINCE),)
        return Verdict(skipped=skipped, wake_at=due)
    return Verdict((_finding(view, cause),))


def _finding(view: ServiceView, cause: Cause) -> Finding:
    head, tail = "" if cause.reason == PORT_MISSING else "no endpoint is ready: ", _met_by(view.callers)
    message = f"{head}{shortened(cause.message, MAX_MESSAGE - len(head) - len(tail))}{tail}"
    return Finding(EMPTY_SERVICE, cause.reason, view.ref, message, report_only=NEVER_CHANGED)


def _met_by(callers: tuple[str, ...]) -> str:
    """Who points to the Service, as the end of a sentence."""
    if not callers:
        return ""
    more = f" and {len(callers) - CALLERS_SAID} more" if len(callers) > CALLERS_SAID else ""
    named = ", ".join(shortened(one, CALLER_LONGEST) for one in callers[:CALLERS_SAID])
    return f"; {named}{more} {'points' if len(callers) == 1 else 'point'} to it"


def _since(view: ServiceView) -> datetime | None:
    """Since when it has led nowhere, at the latest; None where nobody knows."""
    return min((one for one in (view.changed_at, view.first_seen) if one is not None), default=None)


def _rolling_until(view: ServiceView, since: datetime) -> datetime | None:
    """Until when a rollout excuses it; None where none does."""
    ends = [end for one in view.deployments if (end := rolling_until(one, view.now)) is not None]
    end = min(max(ends), since + LONGEST) if ends else None
    return end if end is not None and view.now < end else None
