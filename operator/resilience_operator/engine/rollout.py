"""A rollout that we caused, as every decision and the queue count it. Judged by workloads/rollouts."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Phase(StrEnum):
    """Where a rollout of ours stands; SOAKING counts as running, FAILED is to be withdrawn."""

    NONE = "None"
    PROGRESSING = "Progressing"
    SOAKING = "Soaking"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class OurRollout:
    """The newest rollout that we caused: `until` is when its phase ends by time alone."""

    phase: Phase
    revision: int = 0
    started: datetime | None = None
    until: datetime | None = None
    message: str = ""

    @property
    def running(self) -> bool:
        """True while it counts against the limits."""
        return self.phase is not Phase.NONE


NO_ROLLOUT = OurRollout(Phase.NONE)
