"""Keeps an error of our own in one step of a pass from ending the pass. Used by reconcile and telling."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from resilience_operator.core.plain import named
from resilience_operator.run.memory import Memory

log = logging.getLogger(__name__)


@dataclass
class Step:
    """Whether the step failed."""

    failed: bool = False


@contextmanager
def contained(step: str, memory: Memory) -> Iterator[Step]:
    """Run a step; its error is remembered as the step's, for Degraded, until the step is done without one."""
    outcome = Step()
    try:
        yield outcome
    except Exception as error:
        log.exception("%s failed", step)
        memory.faults[step] = named(error)
        outcome.failed = True
    else:
        memory.faults.pop(step, None)
