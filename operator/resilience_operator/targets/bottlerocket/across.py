"""What is wrong with several settings together, or only for the kubelet. Used by validate."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from resilience_operator.targets.bottlerocket.document import Document
from resilience_operator.targets.bottlerocket.problems import (
    Judge,
    Problem,
    Reader,
    Surroundings,
    sentence,
    shown,
)
from resilience_operator.targets.bottlerocket.quantities import number_of, seconds_of
from resilience_operator.targets.bottlerocket.values import KUBELET_QUANTITY, QUANTITY

HARD_DEFAULTS: Final = {
    "memory.available": "100Mi",
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
    "imagefs.available": "15%",
    "imagefs.inodesFree": "5%",
}
"""The kubelet's own thresholds, which a partial map switches off before release 1.69.0 (bottlerocket issue 4991)."""
MERGED_SINCE = (1, 69, 0)
PROTECTED: Final = {
    "vm.overcommit_memory": "1",
    "vm.panic_on_oom": "0",
    "kernel.panic": "10",
    "kernel.panic_on_oops": "1",
    "kernel.keys.root_maxkeys": "1000000",
    "kernel.keys.root_maxbytes": "25000000",
}
"""Kernel parameter -> the value that the kubelet asks for (bottlerocket issue 3780)."""
KARPENTER_SETS = ("cluster-name", "api-server", "cluster-certificate", "node-taints")
_AT_LEAST = {"container-log-max-files": 2, "container-log-max-workers": 1, "max-parallel-image-pulls": 1}
_PODS = 65536
_SIZED = ("kube-reserved", "system-reserved", "eviction-hard", "eviction-soft")
_STOPS = "the kubelet does not start, and the node never joins"


def judge(document: Document, settings: dict[str, Any], around: Surroundings) -> Iterator[Problem]:
    """The problems of a document; `settings`: its table of that name. Values of a wrong type are left to others."""
    kubernetes = _Table(document, ("settings", "kubernetes"), _table(settings, "kubernetes"))
    yield from _eviction(kubernetes, around)
    yield from _soft(kubernetes)
    yield from _image_gc(kubernetes)
    yield from _kubelet(kubernetes)
    if around.reader is Reader.KARPENTER:
        yield from _overridden(kubernetes)
    kernel = _table(settings, "kernel")
    yield from _sysctl(_Table(document, ("settings", "kernel", "sysctl"), _table(kernel, "sysctl")))
    yield from _modules(_Table(document, ("settings", "kernel", "modules"), _table(kernel, "modules")))


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of the document, and where it stands."""

    document: Document
    path: tuple[str, ...]
    values: Mapping[str, Any]

    def below(self, key: str) -> "_Table":
        """A table in it; an empty one where there is none."""
        return _Table(self.document, (*self.path, key), _table(self.values, key))

    def say(self, reason: str, judge: Judge, message: str, *key: str) -> Problem:
        """A problem of a key of this table, or of the table itself."""
        path = (*self.path, *key)
        line = self.document.line_of(path)
        text = sentence(f"{'.'.join(path)}{message}")
        return Problem(reason, frozenset({judge}), ".".join(path), line, text)


def _table(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def _eviction(kubernetes: _Table, around: Surroundings) -> Iterator[Problem]:
    for name in ("eviction-hard", "eviction-soft", "eviction-soft-grace-period"):
        if kubernetes.values.get(name) == {}:
            message = " is empty, and sets nothing; take it out, or write thresholds"
            yield kubernetes.say("EmptyEviction", Judge.ADVICE, message, name)
    hard = kubernetes.below("eviction-hard")
    missing = [signal for signal in HARD_DEFAULTS if signal not in hard.values]
    merged = around.release is not None and around.release >= MERGED_SINCE
    if hard.values and missing and not merged:
        wanted = ", ".join(f'"{signal}" = "{HARD_DEFAULTS[signal]}"' for signal in missing)
        message = (
            f" is partial: before release 1.69.0 the signals that it lacks are switched off; add {wanted}"
        )
        yield kubernetes.say("PartialEviction", Judge.ADVICE, message, "eviction-hard")


def _soft(kubernetes: _Table) -> Iterator[Problem]:
    soft, grace = kubernetes.below("eviction-soft"), kubernetes.below("eviction-soft-grace-period")
    for signal, value in soft.values.items():
        if signal not in grace.values:
            message = (
                f' = {shown(value)} has no grace period: {_STOPS}; add eviction-soft-grace-period "{signal}"'
            )
            yield soft.say("SoftWithoutGrace", Judge.KUBELET, message, signal)
        hard = kubernetes.below("eviction-hard").values.get(signal)
        if _is_below(value, hard):
            message = f" = {shown(value)} is below eviction-hard ({shown(hard)}), which acts first; raise it"
            yield soft.say("SoftBelowHard", Judge.ADVICE, message, signal)
    for signal in grace.values:
        if signal not in soft.values:
            message = " has no threshold in eviction-soft, and does nothing; add one, or take it out"
            yield grace.say("GraceWithoutSoft", Judge.ADVICE, message, signal)


def _is_below(soft: Any, hard: Any) -> bool:
    """True where both are percentages, or both quantities, and the soft one is the smaller."""
    if not (isinstance(soft, str) and isinstance(hard, str)) or soft.endswith("%") != hard.endswith("%"):
        return False
    left, right = number_of(soft.removesuffix("%")), number_of(hard.removesuffix("%"))
    return left is not None and right is not None and left < right


def _image_gc(kubernetes: _Table) -> Iterator[Problem]:
    names = ("image-gc-high-threshold-percent", "image-gc-low-threshold-percent")
    high, low = (
        _percent(kubernetes.values.get(name, default)) for name, default in zip(names, (85, 80), strict=True)
    )
    given = next((name for name in names if name in kubernetes.values), None)
    if given is not None and high is not None and low is not None and high <= low:
        message = f": the high threshold ({high}) is not above the low one ({low}): {_STOPS}; write both"
        yield kubernetes.say("KubeletRefuses", Judge.KUBELET, message, given)


def _percent(value: Any) -> int | None:
    if isinstance(value, str) and value.lstrip("+").isdecimal() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _kubelet(kubernetes: _Table) -> Iterator[Problem]:
    """Values that the model takes and the kubelet does not (pkg/kubelet/apis/config/validation)."""
    for name, least in _AT_LEAST.items():
        value = kubernetes.values.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value < least:
            yield kubernetes.say(
                "KubeletRefuses", Judge.KUBELET, f" = {value}: {_STOPS}; write {least} or more", name
            )
    value = kubernetes.values.get("ids-per-pod")
    if isinstance(value, int) and (value < _PODS or value % _PODS):
        message = f" = {value} is no multiple of {_PODS}: {_STOPS}"
        yield kubernetes.say("KubeletRefuses", Judge.KUBELET, message, "ids-per-pod")
    for name in _SIZED:
        table = kubernetes.below(name)
        for key, value in table.values.items():
            yield from _quantity(table, key, value)
    yield from _quantity(
        kubernetes, "container-log-max-size", kubernetes.values.get("container-log-max-size")
    )
    yield from _durations(kubernetes)


def _quantity(table: _Table, key: str, value: Any) -> Iterator[Problem]:
    if isinstance(value, str) and QUANTITY.fullmatch(value) and not KUBELET_QUANTITY.fullmatch(value):
        message = (
            f' = {shown(value)} passes Bottlerocket\'s model, but {_STOPS}; write a quantity such as "500Mi"'
        )
        yield table.say("KubeletRefuses", Judge.KUBELET, message, key)


def _durations(kubernetes: _Table) -> Iterator[Problem]:
    interval = seconds_of(kubernetes.values.get("container-log-monitor-interval"))
    if interval is not None and interval < 3:
        message = f" is below 3s: {_STOPS}"
        yield kubernetes.say("KubeletRefuses", Judge.KUBELET, message, "container-log-monitor-interval")
    all_of_it = seconds_of(kubernetes.values.get("shutdown-grace-period", "0s"))
    critical = seconds_of(kubernetes.values.get("shutdown-grace-period-for-critical-pods"))
    if critical is not None and all_of_it is not None and critical > all_of_it:
        message = f" is longer than shutdown-grace-period, of which it is a part: {_STOPS}; raise that one"
        yield kubernetes.say(
            "KubeletRefuses", Judge.KUBELET, message, "shutdown-grace-period-for-critical-pods"
        )


def _overridden(kubernetes: _Table) -> Iterator[Problem]:
    for name in KARPENTER_SETS:
        if name in kubernetes.values:
            way_out = "write taints in the NodePool" if name == "node-taints" else "take it out"
            message = f" is replaced by Karpenter's own value; {way_out}"
            yield kubernetes.say("KarpenterOverrides", Judge.KARPENTER, message, name)


def _sysctl(sysctl: _Table) -> Iterator[Problem]:
    for key, value in sysctl.values.items():
        wanted = PROTECTED.get(key.replace("/", "."))
        if wanted is not None and isinstance(value, str) and value.strip() != wanted:
            message = f" = {shown(value)}: the kubelet wants {wanted} (protectKernelDefaults): {_STOPS}; take it out"
            yield sysctl.say("ProtectedSysctl", Judge.KUBELET, message, key)


def _modules(modules: _Table) -> Iterator[Problem]:
    for name, value in modules.values.items():
        if isinstance(value, dict) and value.get("autoload") is True and value.get("allowed") is not True:
            message = " = true needs allowed = true of the same module; write both"
            yield modules.say("ModuleNotAllowed", Judge.ADVICE, message, name, "autoload")
