"""What our changes do to numbers of pods: whether they come or go, and how those that we asked for stand.

Used by planning.changes (is the change paced) and engine.decide (does it still count). Pods that come may push out
those of others, and pods that go served somebody: both wait for windows and slots as rollouts do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from resilience_operator.cluster.leaves import (
    API_DEFAULTS,
    CPA_MODES,
    MIN_REPLICA_COUNT,
    MIN_REPLICAS,
    REPLICAS,
    observed_value,
)
from resilience_operator.cluster.objects.workloads import Addon
from resilience_operator.core.paths import JSON, Path
from resilience_operator.engine.rollout import NO_ROLLOUT, OurRollout, Phase, Scaling
from resilience_operator.targets.workloads.rollouts import DEFAULT_DEADLINE

if TYPE_CHECKING:
    from resilience_operator.targets.workloads.view import DeploymentView, View

NUMBERS = frozenset({REPLICAS, MIN_REPLICAS, MIN_REPLICA_COUNT, *CPA_MODES.values()})
"""The leaves that say how many pods there are."""

AHEAD = timedelta(minutes=1)
"""How far the clock of whoever wrote last may be ahead of ours; a later time is not believed."""


def scaling_of(view: View, written: Mapping[Path, JSON]) -> Scaling:
    """Whether pods come or go when these leaves get these values; a floor below what runs brings none."""
    ways = {
        _way(_least(path, observed_value(view.target, path)), _least(path, value), _running(view))
        for path, value in written.items()
        if path in NUMBERS
    }
    return next((way for way in (Scaling.DOWN, Scaling.UP) if way in ways), Scaling.NONE)


def our_scaling(view: View, soak_seconds: int, deadline_seconds: int) -> OurRollout:
    """Where our last change of a number of pods stands, by the objects alone.

    It counts until the pods are there and a soak after the write is over, but never beyond its deadline. It failed
    where one of its pods pushes pods of others out of their node: then it is given back at once.
    """
    last = view.state.applies[-1] if view.state.applies else None
    if last is None or last.revision or last.at > view.now + AHEAD or isinstance(view.target, Addon):
        return NO_ROLLOUT
    held = {Path.parse(text): one.set for text, one in view.state.leaves.items()}
    # Nothing comes of a number that somebody took back.
    in_force = {path: value for path, value in held.items() if observed_value(view.target, path) == value}
    floors = [_least(path, value) for path, value in in_force.items() if path in NUMBERS]
    if floors:
        found = [_coming(one, max(floors), last.at, deadline_seconds) for one in _scaled(view)]
        if any(one.running for one in found):
            return next(one for one in found if one.running)
    soaked = last.at + timedelta(seconds=soak_seconds)
    return (
        OurRollout(Phase.SOAKING, 0, last.at, soaked, "soaking", soaked) if view.now < soaked else NO_ROLLOUT
    )


def _coming(view: DeploymentView, floor: int, since: datetime, deadline_seconds: int) -> OurRollout:
    """Whether all pods of a Deployment whose number we changed are there."""
    deployment, status = view.deployment, view.deployment.status
    own = deployment.spec.progress_deadline_seconds or DEFAULT_DEADLINE
    until = since + timedelta(seconds=min(deadline_seconds, own))
    seen = status.observed_generation >= deployment.metadata.generation
    wanted = max(deployment.replicas, floor) if deployment.replicas else 0
    if view.now >= until or (seen and status.available_replicas >= wanted):
        return NO_ROLLOUT
    for pod in view.pods:
        made = pod.metadata.creation_timestamp
        if pod.preempting and made is not None and made >= since.replace(microsecond=0):
            where = f"pod {pod.metadata.name} evicts others from {pod.status.nominated_node_name}"
            return OurRollout(Phase.FAILED, 0, since, message=f"of the added pods, {where}")
    message = f"{status.available_replicas} of {wanted} replicas are available"
    homeless = any(pod.homeless for pod in view.pods)
    return OurRollout(Phase.PROGRESSING, 0, since, until, message, until, homeless)


def _scaled(view: View) -> tuple[DeploymentView, ...]:
    """The Deployments whose pods it is about."""
    if view.workload is not None:
        return (view.workload,)
    return ((view.scaled,) if view.scaled is not None else ()) + view.scaled_too


def _running(view: View) -> int:
    """How many replicas what is scaled has anyhow: 0 for a Deployment itself, whose number is the leaf."""
    replicas = [one.deployment.replicas for one in _scaled(view)]
    return 0 if view.workload is not None or len(replicas) != 1 else replicas[0]


def _way(before: int, after: int, running: int = 0) -> Scaling:
    if after < before:
        return Scaling.DOWN
    return Scaling.UP if after > max(before, running) else Scaling.NONE


def _least(path: Path, value: JSON) -> int:
    """The least number of pods that a leaf stands for; parameters of CPA that cannot be read stand for none."""
    if isinstance(value, str):
        return _least_of_parameters(value)
    default = API_DEFAULTS.get(path, 0)
    return value if isinstance(value, int) else default if isinstance(default, int) else 0


def _least_of_parameters(text: str) -> int:
    try:
        found = json.loads(text)
        steps = [step[1] for name in ("coresToReplicas", "nodesToReplicas") for step in found.get(name, ())]
        return int(found.get("min", min(steps, default=1)))
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError):
        return 0
