"""What an unquoted word of YAML means to the API server (sigs.k8s.io/yaml: YAML 1.1). Used by cli/files/documents.

`on`, `yes` and `y` are true, `0644` is octal, and a date stays a string.
"""

import re
from functools import lru_cache
from typing import Any

_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_NUMERIC = frozenset("+-.0123456789")
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))", re.ASCII)
_BASES = (16, 2, 8, 10)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_MAX_DIGITS = 64
_WHOLE = 1e21
"""From here on Go writes a float with its exponent (encoding/json)."""
_YAML = "tag:yaml.org,2002:"


@lru_cache(maxsize=16384)
def plain_value(text: str) -> Any:
    """The value of an unquoted scalar: null, a boolean, a number, or the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC or len(text) > _MAX_DIGITS:
        return text
    return _number(text)


def _number(text: str) -> Any:
    digits = text.replace("_", "")
    match = _INTEGER.fullmatch(digits)
    if match is not None:
        sign, *parts = match.groups()
        number = next(int(part, base) for part, base in zip(parts, _BASES, strict=True) if part is not None)
        return -number if sign == "-" else number
    return real(digits) if _FLOAT.fullmatch(digits) else text


def real(digits: str) -> int | float:
    """A number with a point: 2.0 is the whole number 2, as for whoever turns YAML into JSON (sigs.k8s.io/yaml)."""
    value = float(digits)
    return int(value) if value.is_integer() and abs(value) < _WHOLE else value


def tagged_value(tag: str, text: str) -> Any:
    """The value of a scalar with an explicit tag. Raises ValueError for a tag that JSON has no value for."""
    if tag in {f"{_YAML}str", "!"}:
        return text
    if tag in {f"{_YAML}{name}" for name in ("int", "float", "bool", "null")}:
        return plain_value(text)
    raise ValueError(f"the tag {tag.replace(_YAML, '!!')} has no meaning in a manifest; remove it")
