"""What a value must be for Bottlerocket's model to take it, by the `type` in settings.toml. Used by validate.

The rules are the model's (bottlerocket-settings-sdk, modeled-types), where they are known also in their oddities: a
value that the model refuses costs the whole node, one that is wrongly called bad costs a person an hour.
"""

import base64
import binascii
import ipaddress
import math
import re
import struct
from collections.abc import Callable
from typing import Any

Check = Callable[[Any], str]
"""Gives what the value should be, or "" where it is that."""

QUANTITY = re.compile(r"[+-]?[0-9.]+(?:e[0-9]*|[EPTGMK]i?|[numk])?")
"""The model's; looser than the kubelet's."""
KUBELET_QUANTITY = re.compile(r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?")
"""apimachinery's resource.ParseQuantity, without negative ones."""
DURATION = re.compile(r"(?:(?:\d+\.)?\d+h)?(?:(?:\d+\.)?\d+m)?(?:(?:\d+\.)?\d+s)?(?:(?:\d+\.)?\d+ms)?")
_FLOAT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_SINGLE = re.compile(r"[^\n\r\v\f\x85\u2028\u2029]*")
_URL = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]*:/*)?(?:[^/?#@\s]*@)?(?:\[[0-9A-Fa-f:.]+\]|[^\s/?#@:<>^|%\[\]\\]+)(?::(\d{1,5})?)?(?:[/?#].*)?"
)

_CAPABILITIES = """
audit-control audit-read audit-write block-suspend bpf checkpoint-restore chown dac-override dac-read-search fowner
fsetid ipc-lock ipc-owner kill lease linux-immutable mac-admin mac-override mknod net-admin net-bind-service
net-broadcast net-raw perfmon setgid setfcap setpcap setuid sys-admin sys-boot sys-chroot sys-module sys-nice sys-pacct
sys-ptrace sys-rawio sys-resource sys-time sys-tty-config syslog wake-alarm
"""
_LIMITS = """
address-space core-file-size cpu-time data-size file-locks file-size locked-memory msgqueue-size nice-priority
open-files pending-signals processes realtime-priority realtime-timeout resident-set stack-size
"""

NAMES: dict[str, tuple[re.Pattern[str], str]] = {
    "<signal>": (
        re.compile(r"(?:memory|nodefs|imagefs|pid)\.available|(?:nodefs|imagefs)\.inodesFree"),
        (
            "one of memory.available, nodefs.available, nodefs.inodesFree, imagefs.available, imagefs.inodesFree, "
            "pid.available"
        ),
    ),
    "<resource>": (re.compile(r"cpu|memory|ephemeral-storage|pid"), "cpu, memory, ephemeral-storage or pid"),
    "<label>": (
        re.compile(rf"(?:[A-Za-z0-9.-]{{1,253}}/)?{_LABEL}"),
        "a label's key, with at most one slash, of letters, digits, dots, dashes and underscores",
    ),
    "<sysctl>": (
        re.compile(r"(?![./])(?!.*\.\.)[a-zA-Z0-9./_-]{1,128}"),
        "letters, digits, and . / _ - inside (no .., not first a dot or slash)",
    ),
    "<name>": (re.compile(r"[A-Za-z0-9-]{1,76}"), "letters, digits and dashes"),
    "<module>": (re.compile(r"[A-Za-z0-9_-]{1,56}"), "letters, digits, dashes and underscores"),
    "<numa>": (re.compile(r"[0-9]+"), "the number of a NUMA node"),
    "<size>": (re.compile(r"[1-9][0-9]*(?:Ki|Mi|Gi|Ti)"), "a size of pages such as 2Mi"),
    "<boot>": (
        re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*"),
        "words of letters and digits, joined by dots",
    ),
    "<text>": (re.compile(r"[^\n\r]+"), "one line"),
    "<capability>": (re.compile("|".join(_CAPABILITIES.split())), "a capability such as net-bind-service"),
    "<limit>": (re.compile("max-(?:" + "|".join(_LIMITS.split()) + ")"), "a limit such as max-open-files"),
}
"""Placeholder of a key in settings.toml -> the keys that may stand for it, and that in words."""
DOTTED = frozenset({"<signal>", "<label>", "<sysctl>", "<boot>", "<text>"})
"""Those whose keys hold dots, and so must be quoted."""


def check_of(kind: str) -> Check:
    """The check of a type. Raises KeyError for one that there is not."""
    name, _, rest = kind.partition(" ")
    if name == "list":
        return _list(check_of(rest))
    if name == "enum":
        return _enum(tuple(rest.split("|")))
    if name == "int":
        low, _, high = rest.partition("..")
        return _integer(int(low), int(high))
    return _CHECKS[name]


def _list(each: Check) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, list):
            return "a list of strings, in brackets"
        return next((f"a list in which each is {wrong}" for wrong in map(each, value) if wrong), "")

    return check


def _enum(words: tuple[str, ...]) -> Check:
    return lambda value: _one_of(value, words)


def _one_of(value: Any, words: tuple[str, ...]) -> str:
    if isinstance(value, str) and value in words:
        return ""
    return "one of " + ", ".join(f'"{word}"' for word in words)


def _integer(low: int, high: int) -> Check:
    def check(value: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            return "" if low <= value <= high else f"an integer from {low} to {high}"
        return "an integer without quotes"

    return check


def _bool(value: Any) -> str:
    return "" if isinstance(value, bool) else "true or false, without quotes"


def _string(value: Any) -> str:
    return "" if isinstance(value, str) else "a string in quotes"


def _matching(pattern: re.Pattern[str], what: str) -> Check:
    def check(value: Any) -> str:
        return _string(value) or ("" if pattern.fullmatch(value) else what)

    return check


def threshold(value: Any) -> str:
    """A threshold of eviction: a percentage of at least 0 and below 100, or a quantity."""
    what = 'a string such as "10%" (below 100%) or "500Mi"'
    if not isinstance(value, str):
        return what
    if not value.endswith("%"):
        return "" if QUANTITY.fullmatch(value) else what
    number = value[:-1]
    return "" if _FLOAT.fullmatch(number) and 0 <= _single(float(number)) < 100 else what


def _single(number: float) -> float:
    """As 32 bits hold it: the model rounds 99.99999999 up to 100."""
    try:
        return float(struct.unpack("f", struct.pack("f", number))[0])
    except OverflowError:
        return math.inf


def percent(value: Any) -> str:
    """A percentage of image garbage collection: an integer, or a string of one."""
    what = 'a string of an integer from 0 to 100, such as "85"'
    if isinstance(value, str) and re.fullmatch(r"\+?[0-9]{1,9}|-0+", value):
        return "" if int(value) <= 100 else what
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return "" if is_integer and 0 <= value <= 100 else what


def _base64(value: Any) -> str:
    what = "base64 (standard alphabet, with padding)"
    if not isinstance(value, str):
        return what
    try:
        data = base64.b64decode(value.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        return what
    return "" if base64.b64encode(data).decode() == value else what


def url(value: Any) -> str:
    """A URL; Bottlerocket takes one without a scheme as http."""
    match = _URL.fullmatch(value) if isinstance(value, str) else None
    return "" if match is not None and int(match[1] or 0) <= 65535 else "a URL"


def _ip(value: Any) -> str:
    try:
        ipaddress.ip_address(value if isinstance(value, str) and "%" not in value else "")
    except ValueError:
        return "an IP address"
    return ""


def _dns_ip(value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return next(("an IP address, or a list of them" for one in values if _ip(one)), "")


def _domain(value: Any) -> str:
    fits = isinstance(value, str) and len(value) <= 253 and bool(_ip(value))
    return (
        ""
        if fits and re.fullmatch(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?", value)
        else "a DNS domain"
    )


def _hostname(value: Any) -> str:
    fits = isinstance(value, str) and re.fullmatch(r"[0-9a-z.-]{1,253}", value)
    parts = value.split(".") if fits else ("",)
    well = all(1 <= len(part) <= 63 and part[0] != "-" for part in parts)
    return "" if well else "a host's name in lower case"


def _image(value: Any) -> str:
    fits = isinstance(value, str) and value and value.isascii() and all(" " < char <= "~" for char in value)
    return "" if fits else "a reference of an image"


def _number(value: Any) -> str:
    return (
        "" if isinstance(value, (int, float)) and not isinstance(value, bool) else "a number without quotes"
    )


def _bytes(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return "" if value >= 0 else "a size of at least 0"
    fits = isinstance(value, str) and re.fullmatch(
        r"[0-9]+(?:\.[0-9]+)? ?(?:[kKmMgGtTpP]?(?:i?[bB])?)", value
    )
    return "" if fits else 'an integer, or a size such as "8mib"'


def _taint(value: Any) -> str:
    what = 'a list of "value:Effect"'
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list):
        return what
    pattern = rf"(?:{_LABEL})?:[A-Za-z0-9]{{1,253}}"
    return "" if all(isinstance(one, str) and re.fullmatch(pattern, one) for one in values) else what


def _boot(value: Any) -> str:
    fits = isinstance(value, str) and all(" " <= char <= "~" for char in value)
    return (
        ""
        if fits and not ("'" in value and '"' in value)
        else "printable ASCII with one kind of quotes at most"
    )


def _commands(value: Any) -> str:
    what = (
        'a list of commands such as ["apiclient", "set", "motd=x"], each a list that begins with "apiclient"'
    )
    if not isinstance(value, list):
        return what
    fits = all(
        isinstance(one, list) and one[:1] == ["apiclient"] and all(isinstance(word, str) for word in one)
        for one in value
    )
    return "" if fits else what


def _hosts(value: Any) -> str:
    what = 'a list of [address, [names]], such as [["10.0.0.1", ["registry.internal"]]]'
    if not isinstance(value, list):
        return what
    return next((what for one in value if not _is_host(one)), "")


def _is_host(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and not _ip(value[0]) and not _list(_string)(value[1])


def _time_servers(value: Any) -> str:
    what = 'a list of servers, such as ["169.254.169.123"], or of tables with an address'
    servers = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(servers, list):
        return what
    if isinstance(value, list) and all(isinstance(one, str) for one in servers):
        return "" if not any(map(url, servers)) else what
    return "" if all(map(_is_time_server, servers)) else what


def _is_time_server(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) <= {"address", "directive", "options"}
        and not url(value.get("address"))
        and value.get("directive", "server") in ("server", "pool")
        and not _list(_matching(_SINGLE, "a string of one line"))(value.get("options", []))
    )


def _limit(value: Any) -> str:
    if value == "unlimited":
        return ""
    return _integer(-1, 2**63 - 1)(value) and 'an integer, or "unlimited"'


_CHECKS: dict[str, Check] = {
    "any": lambda value: "",
    "string": _string,
    "line": _matching(_SINGLE, "a string of one line"),
    "bool": _bool,
    "number": _number,
    "threshold": threshold,
    "percent": percent,
    "quantity": _matching(QUANTITY, 'a quantity such as "500Mi" or "100m"'),
    "duration": lambda value: (
        _string(value) or ("" if value and DURATION.fullmatch(value) else _DURATION_WORDS)
    ),
    "base64": _base64,
    "url": url,
    "ip": _ip,
    "dns-ip": _dns_ip,
    "domain": _domain,
    "hostname": _hostname,
    "image": _image,
    "bytes": _bytes,
    "chunk": lambda value: (
        "" if value == "unlimited" else _bytes(value) and '"unlimited", or a size such as "16mb"'
    ),
    "taint": _taint,
    "boot": _boot,
    "commands": _commands,
    "hosts": _hosts,
    "time-servers": _time_servers,
    "limit": _limit,
    "label": _matching(
        re.compile(rf"(?:{_LABEL})?"), "a label's value: at most 63 letters, digits, . _ - inside"
    ),
    "cluster-name": _matching(
        re.compile(r"[0-9A-Za-z][A-Za-z0-9_-]{0,99}"), "a cluster's name: letters, digits, - and _"
    ),
    "token": _matching(
        re.compile(r"[a-z0-9]{6}\.[a-z0-9]{16}"), "a bootstrap token such as abcdef.0123456789abcdef"
    ),
    "cpuset": _matching(
        re.compile(r"[0-9]+(?:-[0-9]+)?(?:,[0-9]+(?:-[0-9]+)?)*"), 'a set of CPUs such as "0-2,7"'
    ),
    "hugepages": _matching(
        re.compile(r"[0-9]+|[0-9]+:[0-9]+(?:,[0-9]+:[0-9]+)*"),
        'a count such as "512", or "0:256,1:256" by NUMA node',
    ),
    "version": _matching(
        re.compile(r"latest|v?[0-9]+\.[0-9]+\.[0-9]+(?:[-+][0-9A-Za-z.+-]+)?"), '"latest" or a version'
    ),
}
_DURATION_WORDS = 'a duration such as "1m30s" (hours, minutes, seconds, milliseconds in this order)'
