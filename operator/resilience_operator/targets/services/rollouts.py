"""Whether the Deployment behind a Service is rolling out: what is not ready then may be in a moment. Pure."""

from datetime import datetime, timedelta

from resilience_operator.cluster.objects.workloads import Deployment

DEFAULT_DEADLINE = 600
"""progressDeadlineSeconds where the Deployment says nothing (the API's default)."""
LONGEST = timedelta(hours=1)
"""A deadline that is longer, as of a Deployment that is never to fail, does not hide a Service any longer."""
_DONE = "NewReplicaSetAvailable"


def rolling_until(found: Deployment, now: datetime) -> datetime | None:
    """Until when its rollout counts as under way, where nothing else happens; None where none is.

    One that failed, or is paused, is no rollout under way.
    """
    status, spec = found.status, found.spec
    if spec.paused or not found.replicas:
        return None
    progress = status.condition("Progressing")
    if progress is None:
        # The controller writes it within moments; without it only a new Deployment is given time.
        made = found.metadata.creation_timestamp
        return _within(made, spec.progress_deadline_seconds, now) if made is not None else None
    if progress.status != "True":
        return None
    if status.observed_generation >= found.metadata.generation and progress.reason == _DONE:
        return None
    unseen = status.observed_generation < found.metadata.generation
    began = now if unseen else progress.last_update_time or progress.last_transition_time
    return _within(began, spec.progress_deadline_seconds, now) if began is not None else None


def settled_at(found: Deployment) -> datetime | None:
    """When its last rollout ended, well or not: endpoints follow a moment later."""
    progress = found.status.condition("Progressing")
    return progress.last_update_time if progress is not None and found.replicas else None


def _within(began: datetime, deadline: int | None, now: datetime) -> datetime | None:
    end = began + min(timedelta(seconds=DEFAULT_DEADLINE if deadline is None else deadline), LONGEST)
    return end if now < end else None
