"""Whole numbers as others write them: bounded before they are read. Used by observed, planning and rules."""

MAX_DIGITS = 18
"""Fits into 64 bits, and into every field of the API that holds such a number."""


def whole_number(text: str) -> int | None:
    """The number that ASCII digits write, zeros before it aside; None where they are none, or too many."""
    if not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0") or "0"
    return int(digits) if len(digits) <= MAX_DIGITS else None
