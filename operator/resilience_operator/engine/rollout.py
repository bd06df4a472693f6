"""A rollout that we caused, as every decision and the queue count it. Judged by workloads/rollouts."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Scaling(StrEnum):
    """What a change makes of the number of pods: nothing, more of them, or fewer."""

    NONE = ""
    UP = "Up"
    DOWN = "Down"


class Phase(StrEnum):
    """Where a rollout of ours stands; SOAKING counts as running, FAILED is to be withdrawn."""

    NONE = "None"
    PROGRESSING = "Progressing"
    SOAKING = "Soaking"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class OurRollout:
    """The newest rollout that we caused, or change of a number of pods (`revision` 0)."""

    phase: Phase
    revision: int = 0
    started: datetime | None = None
    until: datetime | None = None
    """When its phase ends by time alone."""
    message: str = ""
    slot_until: datetime | None = field(default=None, compare=False)
    """Until when it holds a slot at most, None where it holds none: paused, failed, or never seen to begin."""
    homeless: bool = False
    """Pods of it find no node."""

    @property
    def running(self) -> bool:
        """True while the object has a rollout of ours: nothing else of it is restarted."""
        return self.phase is not Phase.NONE

    def holds_slot(self, now: datetime) -> bool:
        """True while it counts against the limits, so that others wait for it."""
        return self.slot_until is not None and now < self.slot_until


NO_ROLLOUT = OurRollout(Phase.NONE)
