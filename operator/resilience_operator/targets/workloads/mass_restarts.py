"""How many Deployments others restart at the same time, and who (incident empty-service). Kept by workloads/events.

A restart is a rollout of a later template that has not ended. Read by the pass and by `plan`, which start nothing new
while there are too many: what runs beside a mass restart is short of pods already.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from resilience_operator.cluster.objects.workloads import Claim, Deployment
from resilience_operator.cluster.state import believe
from resilience_operator.core.plain import plain
from resilience_operator.core.refs import Key, ObjectRef, key_of

FEWEST = 10
"""So many may always restart at once: a release of one application is no mass restart."""
PERCENT = 5
"""Of all Deployments, unless --max-restarting-percent says otherwise."""
_DONE = "NewReplicaSetAvailable"
_NAMED = 2
"""Managers that are named one by one."""
_LONGEST = 60
"""Characters of a manager's name."""


@dataclass(frozen=True, slots=True)
class Restart:
    """A rollout by others that is under way."""

    object: ObjectRef
    """The Deployment."""
    by: str
    """The manager that changed its template last, as managedFields name it."""
    at: str
    """When, as managedFields have it; "" where they do not say."""


@dataclass(frozen=True, slots=True)
class TooMany:
    """More restarts at once than may be."""

    sentence: str
    """How many, by whom, and one of them."""
    began: int
    """Seconds of the epoch at which the first of them began: what tells this time from another."""


@dataclass(slots=True)
class MassRestarts:
    """The restarts that are under way, kept up to date Deployment by Deployment."""

    _running: dict[Key, Restart] = field(default_factory=dict)

    def follow(self, old: Deployment | None, new: Deployment | None) -> None:
        """A Deployment came, changed or went."""
        known = new or old
        if known is None:
            return
        if new is not None and is_restarting(new) and not _is_ours(new):
            self._running[key_of(new.ref)] = _restart(new)
        else:
            self._running.pop(key_of(known.ref), None)

    def too_many(self, deployments: int, percent: int) -> TooMany | None:
        """Whether more than that share of all Deployments restart at once; None where not."""
        most = max(FEWEST, deployments * percent // 100)
        running = self._running.values()
        if len(running) <= most or percent >= 100:
            return None
        managers = Counter(one.by for one in running).most_common()
        named = [f"{plain(by, _LONGEST)} changed the templates of {count}" for by, count in managers[:_NAMED]]
        named += [f"{len(managers) - _NAMED} more managers of others"] if len(managers) > _NAMED else []
        sentence = (
            f"halted: {len(running)} of {deployments} Deployments restart at once, more than {most}: "
            f"{', '.join(named)} ({min(str(one.object) for one in running)} is one)"
        )
        return TooMany(sentence, _seconds(min(one.at for one in running)))


def is_restarting(found: Deployment) -> bool:
    """True while pods of an earlier template are replaced: not where that is paused, or has failed.

    The first revision replaces nobody, and pods that come with a higher number are of the same template.
    """
    if not found.replicas or found.spec.paused:
        return False
    if _is_unseen(found):
        last = max(_writers(found), key=lambda one: one.time, default=None)
        return bool(found.metadata.revision) and last is not None and last.template
    progress = found.status.condition("Progressing")
    if found.metadata.revision < 2:
        return False
    if progress is None:  # Its owner wants no deadline: the controller then writes no such condition.
        return found.status.replicas > found.status.updated_replicas
    return progress.status == "True" and progress.reason != _DONE


def _is_ours(found: Deployment) -> bool:
    """True where the revision that it has, or is about to get, is one that we wrote."""
    state, _ = believe(found)
    last = max((one.revision for one in state.applies), default=0)
    return bool(last) and last == found.metadata.revision + _is_unseen(found)


def _is_unseen(found: Deployment) -> bool:
    """True until the Deployment controller has taken up what was written last."""
    return found.status.observed_generation < found.metadata.generation


def _writers(found: Deployment) -> list[Claim]:
    """Who wrote the Deployment itself, and neither its scale nor its status."""
    return [one for one in found.claims if not one.subresource]


def _restart(found: Deployment) -> Restart:
    claims = [one for one in _writers(found) if one.template]
    last = max(claims, key=lambda one: one.time, default=None)
    return Restart(found.ref, last.manager if last is not None else "somebody", last.time if last else "")


def _seconds(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        return 0
