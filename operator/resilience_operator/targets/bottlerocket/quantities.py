"""Kubernetes' quantities and durations as numbers. Used by across, placing and presets."""

import re
from decimal import Decimal
from typing import Any

from resilience_operator.targets.bottlerocket.values import DURATION

_PARTS = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([a-zA-Z]*)(?:(?<=[eE])([+-]?\d{1,3}))?")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION_PART = re.compile(r"([\d.]+)(ms|h|m|s)")


def number_of(text: str) -> Decimal | None:
    """A quantity as a number (bytes, cores); None where it is none."""
    match = _PARTS.fullmatch(text)
    if match is None or len(text) > 64:
        return None
    number, unit, exponent = Decimal(match[1]), match[2], match[3]
    if exponent is not None and unit in ("e", "E"):
        return number * Decimal((0, (1,), int(exponent)))
    if unit in _BINARY:
        return number * Decimal(1 << _BINARY[unit])
    return number * Decimal((0, (1,), _DECIMAL[unit])) if unit in _DECIMAL and exponent is None else None


def seconds_of(value: Any) -> float | None:
    """A duration in seconds; None where it is none."""
    if not isinstance(value, str) or not value or DURATION.fullmatch(value) is None:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(value))
