"""Others' text inside our sentences: cut, and harmless to a terminal or a log. Used wherever such text is quoted."""

import re

MAX_QUOTED = 160
"""Characters of what is quoted: an Event's note has room for 1,024 bytes in all."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def harmless(text: str, most: int = MAX_QUOTED) -> str:
    """The text with "?" for each control character, at most `most` characters long."""
    shown = _CONTROL.sub("?", text[: most + 1])
    return shown if len(shown) <= most else shown[: most - 1] + "…"
