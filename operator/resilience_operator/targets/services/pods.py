"""Why a pod that a Service selects is not ready, in words. Pure; asked by the rule."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

from resilience_operator.cluster.objects.workloads import Condition, ContainerStatus, Pod

DONE = frozenset({"Succeeded", "Failed"})
"""Phases of a pod that runs no more."""
_NO_IMAGE = frozenset(
    {"ErrImageNeverPull", "ErrImagePull", "ImageInspectError", "ImagePullBackOff", "InvalidImageName"}
)
_STARTING = frozenset({"ContainerCreating", "PodInitializing"})
CRASH = "CrashLoopBackOff"
RECENT = timedelta(minutes=10)
"""A container that ended since is still crashing: the kubelet waits for five minutes at most."""
SAID = 2
"""Causes that are told of."""
MAX_MESSAGE = 300
"""Characters of a finding."""
LONGEST = 90
"""Characters that are kept of another program's message."""


def is_done(pod: Pod) -> bool:
    """True where all its containers have ended, and none will start again."""
    return pod.status.phase in DONE


def reasons(pods: Iterable[Pod], lost_nodes: frozenset[str], now: datetime) -> str:
    """Why they are not ready, the most frequent cause first, each with how many pods it keeps."""
    counted = Counter(why(pod, lost_nodes, now) for pod in pods)
    ordered = sorted(counted.items(), key=lambda one: (-one[1], one[0]))
    if len(ordered) == 1:
        return ordered[0][0]
    more = f", {len(ordered) - SAID} other causes" if len(ordered) > SAID else ""
    return ", ".join(f"{number}: {cause}" for cause, number in ordered[:SAID]) + more


def why(pod: Pod, lost_nodes: frozenset[str], now: datetime) -> str:
    """Why one pod is not ready."""
    scheduled, ready = _condition(pod, "PodScheduled"), _condition(pod, "Ready")
    if pod.metadata.deletion_timestamp is not None:
        return "being deleted"
    if is_done(pod):
        return f"ended ({pod.status.phase})"
    if scheduled is not None and scheduled.status != "True":
        return f"not scheduled ({shortened(scheduled.message or scheduled.reason)})"
    if pod.spec.node_name in lost_nodes:
        return f"its node {pod.spec.node_name} is not Ready"
    found = [cause for one in pod.status.container_statuses if (cause := _container(one, now))]
    if found:
        return found[0]
    if pod.status.phase == "Pending":
        return "starting"
    if ready is not None and ready.reason == "ReadinessGatesNotReady":
        return "a readiness gate is not met"
    named = _containers(ready)
    if named or (ready is not None and ready.reason == "ContainersNotReady"):
        return f"a readiness or startup probe fails{f' ({named})' if named else ''}"
    return "not ready"


def _container(status: ContainerStatus, now: datetime) -> str:
    """What keeps a container from running, "" where it runs."""
    waiting, ended = status.state.waiting, status.state.terminated or status.last_state.terminated
    reason = waiting.reason if waiting is not None else ""
    if reason in _NO_IMAGE:
        return f"container {status.name} has no image ({reason})"
    if reason == CRASH or (ended is not None and status.restart_count and _recent(ended.finished_at, now)):
        how = f" ({ended.reason})" if ended is not None and ended.reason else ""
        return f"container {status.name} crashes again and again{how}"
    if reason in _STARTING:
        return f"container {status.name} is starting ({reason})"
    if reason:
        return f"container {status.name} cannot start ({reason})"
    if status.state.terminated is not None:
        return f"container {status.name} has ended ({status.state.terminated.reason or 'Error'})"
    return ""


def _recent(at: datetime | None, now: datetime) -> bool:
    return at is not None and now - at < RECENT


def _containers(ready: Condition | None) -> str:
    """The containers that the kubelet names in the condition Ready: `containers with unready status: [a b]`."""
    _, found, names = (ready.message if ready is not None else "").partition("unready status: [")
    return shortened(names.rstrip("]").replace(" ", ", ")) if found else ""


def _condition(pod: Pod, kind: str) -> Condition | None:
    return next((one for one in pod.status.conditions if one.type == kind), None)


def shortened(text: str, longest: int = LONGEST) -> str:
    """What others wrote, as much of it as a finding has room for."""
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
