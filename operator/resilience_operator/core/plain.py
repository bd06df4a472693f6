"""Text of others made fit for a screen: bounded, without control characters or marks of direction. Used where shown."""

import re

SENTENCE = 300
"""Characters of one message at most."""

QUOTED = 160
"""Characters of others' text inside a sentence of ours: an Event's note has room for 1,024 bytes in all."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


def plain(text: str, most: int = SENTENCE) -> str:
    """The text on one line, at most so many characters; what is cut is shown as an ellipsis."""
    clean = _CONTROL.sub(" ", text[: 4 * most]).strip()
    return clean if len(clean) <= most else clean[: most - 1] + "…"


def named(error: BaseException) -> str:
    """An error of ours with the name of its kind."""
    return plain(f"{type(error).__name__}: {error}")
