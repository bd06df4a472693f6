"""How a rollout that we caused stands, read from the objects alone: no memory, so no restart can lose it.

Used by engine.decide (failure, findings) and engine.queue (counts against the limits).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from resilience_operator.cluster.objects.workloads import Pod, ReplicaSet
from resilience_operator.core.state import Apply
from resilience_operator.engine.rollout import NO_ROLLOUT, OurRollout, Phase

if TYPE_CHECKING:
    from resilience_operator.targets.workloads.view import DeploymentView

CRASH_RESTARTS = 2
"""Restarts after which a container in CrashLoopBackOff is a failed rollout and not a slow start."""

DEFAULT_DEADLINE = 600
"""progressDeadlineSeconds where neither says otherwise (the Deployment API's default)."""

MAX_MIN_READY = 600
"""Seconds of a Deployment's minReadySeconds for which others wait."""

LONGEST = 3
"""How often deadline and soak may pass, by progress that never ends, before others go on."""

WRONG_CLOCK = timedelta(minutes=5)
"""By how much the clock of who wrote may have been ahead for its rollout to be waited for before it is seen."""

NEVER = datetime.max.replace(tzinfo=UTC)


def our_rollout(view: DeploymentView, soak_seconds: int, deadline_seconds: int) -> OurRollout:
    """The state of the rollout that our last change of the template caused.

    A later revision ends it: what the owner pushes afterwards is the owner's, its failure too. So does the end of its
    soak: what crashes later is not ours. One that gives values back is awaited, but has nothing to be withdrawn.
    """
    applies = [apply for apply in view.state.applies if apply.revision]
    newest = view.newest_replica_set
    if not applies or (newest is not None and newest.revision > applies[-1].revision):
        return NO_ROLLOUT
    last = _past(view, applies[-1])
    if newest is None or newest.revision < last.revision:
        rollout = _waiting(view, last, deadline_seconds)
    else:
        rollout = _seen(view, newest, last, soak_seconds, deadline_seconds)
    gives_back = all(held.revision != last.revision for held in view.state.leaves.values())
    if gives_back and (rollout.phase is Phase.FAILED or view.deployment.spec.paused):
        return NO_ROLLOUT
    return replace(
        rollout, slot_until=_slot_until(view, applies[-1].at, rollout, soak_seconds, deadline_seconds)
    )


def _slot_until(
    view: DeploymentView, written: datetime, rollout: OurRollout, soak_seconds: int, deadline_seconds: int
) -> datetime | None:
    """Until when others wait for it: the deadline after its last progress, and the soak; LONGEST of them in all.

    What stands still by somebody's will, or has failed, keeps its own object only, and so does what says that it begins
    later than any clock could be wrong.
    """
    if rollout.started is None or rollout.phase is Phase.FAILED or view.deployment.spec.paused:
        return None
    newest = view.newest_replica_set
    unseen = newest is None or newest.revision < rollout.revision
    if unseen and written > view.now + WRONG_CLOCK:
        return None
    spec = view.deployment.spec
    deadline = min(deadline_seconds, spec.progress_deadline_seconds or DEFAULT_DEADLINE)
    bound = timedelta(seconds=deadline + min(spec.min_ready_seconds, MAX_MIN_READY) + soak_seconds)
    progress = view.deployment.status.condition("Progressing")
    moved = progress.last_update_time if progress is not None and not unseen else None
    last = max(rollout.started, min(moved, view.now)) if moved is not None else rollout.started
    return min(last + bound, rollout.started + LONGEST * bound)


def _past(view: DeploymentView, last: Apply) -> Apply:
    """The apply, dated back where the clock of who wrote it was ahead: to when our ReplicaSet was made, or to now."""
    if last.at <= view.now:
        return last
    newest = view.newest_replica_set
    ours = newest if newest is not None and newest.revision == last.revision else None
    made = ours.metadata.creation_timestamp if ours is not None else None
    return replace(last, at=min(made or view.now, view.now))


def _seen(
    view: DeploymentView, newest: ReplicaSet, last: Apply, soak_seconds: int, deadline_seconds: int
) -> OurRollout:
    """The rollout once the controller has made our ReplicaSet the newest."""
    crash, completed = _crash_loop(view, newest), _completed_at(view, last, deadline_seconds)
    if completed is None and _long_over(view, newest, last, soak_seconds, deadline_seconds):
        return NO_ROLLOUT
    if completed is None and not crash:
        return _waiting(view, last, deadline_seconds)
    start = _soak_start(view, newest, completed, soak_seconds) if completed is not None else view.now
    until = start + timedelta(seconds=soak_seconds)
    lost = completed is not None and _lost_in_soak(view, newest, completed, soak_seconds)
    if completed is not None and view.now >= until and not lost:
        return NO_ROLLOUT
    if crash:
        return OurRollout(Phase.FAILED, last.revision, last.at, message=crash)
    if view.now < until:
        return OurRollout(Phase.SOAKING, last.revision, last.at, until, "soaking")
    return OurRollout(Phase.SOAKING, last.revision, last.at, None, "lost availability while soaking")


def complete(view: DeploymentView) -> bool:
    """True where the Deployment runs its newest template with all replicas available, and nothing rolls."""
    status, replicas = view.deployment.status, view.deployment.replicas
    return (
        _settled(view)
        and status.updated_replicas == replicas
        and status.replicas == status.updated_replicas
        and status.available_replicas >= replicas
    )


def healthy(view: DeploymentView) -> bool:
    """True where all replicas are available, or a rollout, whoever's, is on its way: it has not failed yet."""
    status, replicas = view.deployment.status, view.deployment.replicas
    if status.available_replicas >= replicas:
        return True
    progress, available = status.condition("Progressing"), status.condition("Available")
    behind = status.updated_replicas < replicas or status.replicas > status.updated_replicas
    rolling = behind or not _settled(view)
    stuck = progress is not None and progress.status == "False"
    return rolling and not stuck and (available is None or available.status != "False")


def unhealthy_because(view: DeploymentView) -> str:
    """Why no rollout may start on this Deployment now, as a sentence's end; "" where it is healthy."""
    status, replicas = view.deployment.status, view.deployment.replicas
    if view.deployment.spec.paused:
        return "the Deployment is paused"
    if not _settled(view):
        return "the Deployment controller has not yet seen its newest generation"
    if status.updated_replicas < replicas or status.replicas > status.updated_replicas:
        return f"a rollout of its own is running ({status.updated_replicas} of {replicas} replicas updated)"
    if status.available_replicas < replicas:
        return f"{status.available_replicas} of {replicas} replicas are available"
    return ""


def _settled(view: DeploymentView) -> bool:
    return view.deployment.status.observed_generation >= view.deployment.metadata.generation


def _waiting(view: DeploymentView, last: Apply, deadline_seconds: int) -> OurRollout:
    """Progressing, or failed once nothing has progressed for the shorter of the two deadlines."""
    revision, started, seconds = last.revision, last.at, _patience(view, deadline_seconds)
    progress, times = view.deployment.status.condition("Progressing"), [started]
    own = view.deployment.spec.progress_deadline_seconds or DEFAULT_DEADLINE
    if progress is None:
        # With progressDeadlineSeconds 2147483647 the controller keeps none (HasProgressDeadline, also there).
        times += _pod_times(view, revision)
    elif progress.last_update_time is not None:
        times.append(progress.last_update_time)
        timed_out = progress.reason == "ProgressDeadlineExceeded" and progress.status == "False"
        if timed_out and _settled(view) and progress.last_update_time >= _second(started):
            message = f"no progress for {own} s: {progress.message}"
            return OurRollout(Phase.FAILED, revision, started, message=message)
    deadline = max(times) + timedelta(seconds=seconds)
    if view.deployment.spec.paused:
        return OurRollout(Phase.PROGRESSING, revision, started, None, "paused in the middle of the rollout")
    if view.now >= deadline:
        status, replicas = view.deployment.status, view.deployment.replicas
        message = f"no progress for {seconds} s: {status.updated_replicas} of {replicas} replicas updated"
        return OurRollout(Phase.FAILED, revision, started, message=message)
    return OurRollout(Phase.PROGRESSING, revision, started, deadline, "rolling out")


def _patience(view: DeploymentView, deadline_seconds: int) -> int:
    """Seconds without progress that fail a rollout.

    Between ready and available a pod is no progress to the controller, for minReadySeconds (DeploymentProgressing in
    pkg/controller/deployment/util): that wait comes on top.
    """
    spec = view.deployment.spec
    return min(deadline_seconds, spec.progress_deadline_seconds or DEFAULT_DEADLINE) + spec.min_ready_seconds


def _crash_loop(view: DeploymentView, newest: ReplicaSet) -> str:
    for pod in _pods_of(view, newest):
        for container in pod.status.container_statuses:
            waiting = container.state.waiting
            if waiting and waiting.reason == "CrashLoopBackOff" and container.restart_count >= CRASH_RESTARTS:
                return (
                    f"container {container.name} of the new pod {pod.metadata.name} is in a crash loop "
                    f"({container.restart_count} restarts)"
                )
    return ""


def _completed_at(view: DeploymentView, last: Apply, deadline_seconds: int) -> datetime | None:
    """When the rollout became complete; the controller's own time where it keeps one.

    Its clock may be behind ours, and it does not always renew that time: then its pods say when they became available.
    """
    progress = view.deployment.status.condition("Progressing")
    if progress is not None and progress.reason == "NewReplicaSetAvailable":
        at = progress.last_update_time
        if at is not None and at >= _second(last.at):
            return at
    if not complete(view):
        return None
    ready = _last_pod(view, last, deadline_seconds)
    return min(ready + timedelta(seconds=view.deployment.spec.min_ready_seconds), view.now)


def _last_pod(view: DeploymentView, last: Apply, deadline_seconds: int) -> datetime:
    """When the last pod of the rollout became ready: what comes after a pause beyond the deadline is a pod of later."""
    patience, ready = timedelta(seconds=_patience(view, deadline_seconds)), last.at
    for at in _pod_times(view, last.revision):
        if ready < at <= ready + patience:
            ready = at
    return ready


def _long_over(
    view: DeploymentView, newest: ReplicaSet, last: Apply, soak_seconds: int, deadline_seconds: int
) -> bool:
    """True where its pods say, as no condition does, that the rollout was complete: what is lost now is not ours."""
    status = view.deployment.status
    old = status.replicas > status.updated_replicas
    old |= any(one.spec.replicas for one in view.replica_sets if one is not newest)
    if old or status.condition("Progressing") is not None:
        return False
    failed = _last_pod(view, last, deadline_seconds) + timedelta(seconds=_patience(view, deadline_seconds))
    pods = [pod for pod in _pods_of(view, newest) if pod.metadata.deletion_timestamp is None]
    if any(not pod.ready and _unready_since(pod) <= failed for pod in pods):
        return False
    return any(pod.ready for pod in pods) and view.now >= failed + timedelta(seconds=soak_seconds)


def _soak_start(view: DeploymentView, newest: ReplicaSet, completed: datetime, soak_seconds: int) -> datetime:
    """The latest of completion and of each restart or loss of readiness that fell into the soak."""
    start = completed
    for at in sorted(_disturbances(view, newest)):
        if start < at < start + timedelta(seconds=soak_seconds):
            start = at
    return start


def _disturbances(view: DeploymentView, newest: ReplicaSet) -> list[datetime]:
    times = []
    for pod in _pods_of(view, newest):
        for container in pod.status.container_statuses:
            ended = container.last_state.terminated
            if ended is not None and ended.finished_at is not None:
                times.append(ended.finished_at)
    available = view.deployment.status.condition("Available")
    if available is not None and available.last_transition_time is not None:
        times.append(available.last_transition_time)
    return times


def _lost_in_soak(view: DeploymentView, newest: ReplicaSet, completed: datetime, soak_seconds: int) -> bool:
    """True where a pod stopped being ready within the soak and has not come back."""
    if view.deployment.status.available_replicas >= view.deployment.replicas:
        return False
    end = completed + timedelta(seconds=soak_seconds)
    return any(_unready_since(pod) < end for pod in _pods_of(view, newest) if not pod.ready)


def _unready_since(pod: Pod) -> datetime:
    ready = next((condition for condition in pod.status.conditions if condition.type == "Ready"), None)
    since = ready.last_transition_time if ready is not None else pod.metadata.creation_timestamp
    return since or NEVER


def _pod_times(view: DeploymentView, revision: int) -> list[datetime]:
    """When each pod of this revision was made, and became ready where it is; a node's clock may be ahead of ours."""
    newest, times = view.newest_replica_set, []
    if newest is None or newest.revision != revision:
        return []
    for pod in _pods_of(view, newest):
        times.append(pod.metadata.creation_timestamp)
        times += [
            one.last_transition_time for one in pod.status.conditions if one.type == "Ready" and pod.ready
        ]
    return sorted(at for at in times if at is not None and at <= view.now)


def _pods_of(view: DeploymentView, replica_set: ReplicaSet) -> list[Pod]:
    uid = replica_set.metadata.uid
    return [pod for pod in view.pods if any(owner.uid == uid for owner in pod.metadata.owner_references)]


def _second(at: datetime) -> datetime:
    """API times are whole seconds: an event of the same second is not earlier."""
    return at.replace(microsecond=0)
