"""Faults between the operator and a real API server: see `tests.faults.proxy`."""

from tests.faults.actions import (
    Action,
    answer,
    at,
    delay,
    drop_before,
    drop_reply,
    hold,
    hold_reply,
    opening,
)
from tests.faults.proxy import Proxy, Request, Rule
from tests.faults.streams import Stream

__all__ = [
    "Action",
    "Proxy",
    "Request",
    "Rule",
    "Stream",
    "answer",
    "at",
    "delay",
    "drop_before",
    "drop_reply",
    "hold",
    "hold_reply",
    "opening",
]
