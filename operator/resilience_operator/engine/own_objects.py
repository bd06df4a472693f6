"""Objects of our own beside an object of somebody: what a target wants done about them. Read by engine/decide."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from resilience_operator.engine.change import Change


@dataclass(frozen=True, slots=True)
class OwnObjects:
    """What is to be done about the objects of ours beside one object."""

    changes: tuple[Change, ...] = ()
    """Their creation, update and removal."""
    contested: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(policy name, rule) -> why what it demands is not written."""
    wake_at: datetime | None = None
    """When time alone may change the answer."""


NO_OWN_OBJECTS = OwnObjects()
