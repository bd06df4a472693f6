"""Judges EC2NodeClass and NodePool manifests of Karpenter for nodes of Bottlerocket. Used by placing and cli/launch.

The rules of spec.kubelet are those of the CustomResourceDefinition (karpenter-provider-aws pkg/apis/crds, v1) and,
for releases whose spec.kubelet is an open map, of its controller.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from resilience_operator.targets.bottlerocket import volumes
from resilience_operator.targets.bottlerocket.across import HARD_DEFAULTS
from resilience_operator.targets.bottlerocket.document import NotTOMLError, parse
from resilience_operator.targets.bottlerocket.merge import MAX_LENGTH
from resilience_operator.targets.bottlerocket.problems import Reader, Surroundings, sentence, shown
from resilience_operator.targets.bottlerocket.table import Release, release
from resilience_operator.targets.bottlerocket.validate import validate
from resilience_operator.targets.bottlerocket.values import DURATION, NAMES

FAMILY: Final = "Bottlerocket"
REQUIRED_BUDGET: Final = 10
"""Percent of a NodePool's nodes: Karpenter's own default."""
_DECIMAL = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_QUANTITY = rf"(?:\+|-)?{_DECIMAL}(?:[KMGTPE]i|[numkMGTPE]|[eE](?:\+|-)?{_DECIMAL})?"
_RESERVED = re.compile(_QUANTITY)
_THRESHOLD = re.compile(rf"(?:(?:\d{{1,2}}(?:\.\d{{1,2}})?|100(?:\.0{{1,2}})?)%|{_QUANTITY}|)")
_THRESHOLD_WORDS = 'write a string such as "10%" (below 100%) or "500Mi"'
_INTEGERS = ("maxPods", "podsPerCore", "evictionMaxPodGracePeriod")
_PERCENTS = ("imageGCHighThresholdPercent", "imageGCLowThresholdPercent")
_EVICTION = ("evictionHard", "evictionSoft", "evictionSoftGracePeriod")
_RESERVATIONS = ("kubeReserved", "systemReserved")
_OTHERS = ("clusterDNS", "cpuCFSQuota")
KNOWN: Final = frozenset({*_INTEGERS, *_PERCENTS, *_EVICTION, *_RESERVATIONS, *_OTHERS})
KUBELET: Final = {
    "max-pods": "maxPods",
    "cluster-dns-ip": "clusterDNS",
    "cpu-cfs-quota-enforced": "cpuCFSQuota",
    "eviction-hard": "evictionHard",
    "eviction-soft": "evictionSoft",
    "eviction-soft-grace-period": "evictionSoftGracePeriod",
    "eviction-max-pod-grace-period": "evictionMaxPodGracePeriod",
    "image-gc-high-threshold-percent": "imageGCHighThresholdPercent",
    "image-gc-low-threshold-percent": "imageGCLowThresholdPercent",
    "kube-reserved": "kubeReserved",
    "system-reserved": "systemReserved",
}
"""Key of settings.kubernetes -> field of spec.kubelet from which Karpenter writes it for Bottlerocket."""
SCHEDULED: Final = frozenset(
    {"max-pods", "eviction-hard", "eviction-soft", "kube-reserved", "system-reserved"}
)
"""Keys of settings.kubernetes by which Karpenter has to reckon what fits on a node."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a manifest: the path of its field, and in userData the line there (from 1)."""

    rule: str
    reason: str
    path: tuple[str | int, ...]
    message: str
    inner_line: int = 0


def judge_node_class(spec: Mapping[str, Any], karpenter: Release | None = None) -> list[Fault]:
    """All that is wrong with an EC2NodeClass; nothing is said of other families than Bottlerocket."""
    if not is_bottlerocket(spec):
        return []
    found: list[Fault] = []
    given = spec.get("kubelet")
    kubelet = given if isinstance(given, dict) else {}
    text = spec.get("userData")
    if isinstance(text, str) and text.strip():
        hidden = {f"settings.kubernetes.{key}" for key, name in KUBELET.items() if name in kubelet}
        found += [
            Fault("launch-settings", one.reason, ("spec", "userData"), one.message, one.line)
            for one in validate(text, Surroundings(Reader.KARPENTER, release_of(spec), karpenter))
            if one.reason != "PartialEviction" or one.key not in hidden
        ]
        found += _misplaced(text, kubelet)
    found += kubelet_faults(kubelet)
    on_instance_store = spec.get("instanceStorePolicy") == "RAID0"
    for reason, message, index in volumes.faults(spec.get("blockDeviceMappings"), not on_instance_store):
        if on_instance_store and reason == "DataVolumeMissing":
            continue
        where = () if index is None else (index,)
        found.append(Fault("data-volume", reason, ("spec", "blockDeviceMappings", *where), sentence(message)))
    return found


def is_bottlerocket(spec: Mapping[str, Any]) -> bool:
    """True where the class makes nodes of Bottlerocket: by its family, or by the alias of its AMI."""
    if (family := spec.get("amiFamily")) is not None:
        return bool(family == FAMILY)
    return any(alias.startswith("bottlerocket@") for alias in _aliases(spec))


def release_of(spec: Mapping[str, Any]) -> Release | None:
    """The release that the class pins; None where it follows the newest, or names an AMI."""
    pinned = (release(alias.partition("@")[2]) for alias in _aliases(spec))
    return next((one for one in pinned if one is not None), None)


def _aliases(spec: Mapping[str, Any]) -> list[str]:
    terms = spec.get("amiSelectorTerms")
    found = [one.get("alias") for one in terms if isinstance(one, dict)] if isinstance(terms, list) else []
    return [one for one in found if isinstance(one, str)]


def _misplaced(text: str, kubelet: Mapping[str, Any]) -> Iterator[Fault]:
    if len(text) > MAX_LENGTH:
        return
    try:
        document = parse(text)
    except NotTOMLError:
        return
    settings = document.tree.get("settings")
    kubernetes = settings.get("kubernetes") if isinstance(settings, dict) else None
    for key in kubernetes if isinstance(kubernetes, dict) else ():
        field, name = KUBELET.get(key), f"settings.kubernetes.{key}"
        if field in kubelet:
            reason, message = (
                "KarpenterOverrides",
                f"{name} is replaced, whole, by spec.kubelet.{field}; take it out",
            )
        elif key in SCHEDULED:
            reason = "BelongsInKubelet"
            message = (
                f"{name}: Karpenter's scheduling does not see it here, and places pods that do not fit; write "
                f"spec.kubelet.{field}"
            )
        else:
            continue
        line = document.line_of(("settings", "kubernetes", key))
        yield Fault("launch-settings", reason, ("spec", "userData"), message, line)


def kubelet_faults(kubelet: Mapping[str, Any]) -> Iterator[Fault]:
    """What the CRD or the controller refuses in spec.kubelet, and what goes nowhere on Bottlerocket."""
    for name, value in kubelet.items():
        if name not in KNOWN:
            yield _fault((name,), value, "is no field that reaches Bottlerocket; write it into userData")
        elif name == "podsPerCore":
            yield _fault((name,), value, "is ignored on Bottlerocket; write maxPods")
        else:
            yield from _field_faults(name, value)
    yield from _together(kubelet)


def _field_faults(name: str, value: Any) -> Iterator[Fault]:
    if name in _INTEGERS or name in _PERCENTS:
        high = 100 if name in _PERCENTS else 2**31 - 1
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= high:
            yield _fault((name,), value, f"write an integer from 0 to {high}")
    elif name in _EVICTION:
        yield from _map_faults(name, value, "<signal>", _eviction_value)
    elif name in _RESERVATIONS:
        yield from _map_faults(name, value, "<resource>", _reserved_value)
    elif name == "cpuCFSQuota" and not isinstance(value, bool):
        yield _fault((name,), value, "write true or false")
    elif name == "clusterDNS" and not (
        isinstance(value, list) and all(isinstance(one, str) for one in value)
    ):
        yield _fault((name,), value, "write a list of addresses")


def _map_faults(name: str, value: Any, keys: str, wrong: Any) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield _fault((name,), value, "write a map")
        return
    pattern, words = NAMES[keys]
    for key, one in value.items():
        if not pattern.fullmatch(key):
            yield _fault((name, key), one, f"the key is not {words}; the API server refuses it")
        elif message := wrong(name, one):
            yield _fault((name, key), one, message)


def _eviction_value(name: str, value: Any) -> str:
    if name == "evictionSoftGracePeriod":
        fits = isinstance(value, str) and value and DURATION.fullmatch(value)
        return "" if fits else 'write a duration such as "1m30s"'
    if not isinstance(value, str) or not value or value.startswith("-") or not _THRESHOLD.fullmatch(value):
        return _THRESHOLD_WORDS
    return _THRESHOLD_WORDS if value.endswith("%") and value.startswith("100") else ""


def _reserved_value(_name: str, value: Any) -> str:
    fits = isinstance(value, str) and _RESERVED.fullmatch(value) and not value.startswith("-")
    return "" if fits else 'write a string such as "500Mi" or "100m"'


def _together(kubelet: Mapping[str, Any]) -> Iterator[Fault]:
    soft, grace = (kubelet.get(name) for name in ("evictionSoft", "evictionSoftGracePeriod"))
    soft, grace = (one if isinstance(one, dict) else {} for one in (soft, grace))
    for key in soft:
        if key not in grace:
            yield _fault(("evictionSoft", key), soft[key], "needs the same key in evictionSoftGracePeriod")
    for key in grace:
        if key not in soft:
            yield _fault(("evictionSoftGracePeriod", key), grace[key], "needs the same key in evictionSoft")
    high, low = (kubelet.get(name, default) for name, default in zip(_PERCENTS, (85, 80), strict=True))
    if set(_PERCENTS) & set(kubelet) and isinstance(high, int) and isinstance(low, int) and high <= low:
        name = next(name for name in _PERCENTS if name in kubelet)
        yield _fault((name,), kubelet[name], f"the high threshold ({high}) must be above the low one ({low})")
    yield from _partial(kubelet.get("evictionHard"))


def _partial(hard: Any) -> Iterator[Fault]:
    missing = [key for key in HARD_DEFAULTS if key not in hard] if isinstance(hard, dict) and hard else []
    if missing:
        wanted = ", ".join(f'{key}: "{HARD_DEFAULTS[key]}"' for key in missing)
        message = f"spec.kubelet.evictionHard is partial: before release 1.69.0 the rest is switched off; add {wanted}"
        yield Fault(
            "launch-settings", "PartialEviction", ("spec", "kubelet", "evictionHard"), sentence(message)
        )


def _fault(path: tuple[str, ...], value: Any, message: str) -> Fault:
    text = sentence(f"spec.kubelet.{'.'.join(path)} = {shown(value)}: {message}")
    return Fault("launch-settings", "KubeletField", ("spec", "kubelet", *path), text)


def judge_node_pool(spec: Mapping[str, Any]) -> list[Fault]:
    """What lets a change of settings replace too many of a NodePool's nodes at once, or too rudely."""
    found: list[Fault] = []
    disruption = spec.get("disruption")
    budgets = disruption.get("budgets") if isinstance(disruption, dict) else None
    if isinstance(budgets, list) and (message := _loose([one for one in budgets if isinstance(one, dict)])):
        path = ("spec", "disruption", "budgets")
        found.append(Fault("launch-settings", "UnboundedReplacement", path, message))
    template = spec.get("template")
    inner = template.get("spec") if isinstance(template, dict) else None
    period = inner.get("terminationGracePeriod") if isinstance(inner, dict) else None
    if period is not None:
        message = (
            f"terminationGracePeriod: {shown(period)}: a change of settings ends pods after it in spite of their "
            "PodDisruptionBudgets and do-not-disrupt; leave it out where that matters"
        )
        where = ("spec", "template", "spec", "terminationGracePeriod")
        found.append(Fault("launch-settings", "BudgetsOverridden", where, message))
    return found


def _loose(budgets: list[dict[str, Any]]) -> str:
    """Why the budgets hold a change of settings back too little; "" where they do. The smallest one counts."""
    always = [one for one in budgets if "schedule" not in one and _is_of_drift(one)]
    nodes = [str(one.get("nodes", "10%")) for one in always]
    if not nodes:
        return (
            "no budget without a schedule counts for reason Drifted: a change of settings replaces all nodes at once; "
            f'add nodes: "{REQUIRED_BUDGET}%"'
        )
    percents = [int(one[:-1]) for one in nodes if re.fullmatch(r"\d{1,3}%", one)]
    if len(percents) == len(nodes) and min(percents) > REQUIRED_BUDGET:
        return f"a change of settings may replace {min(percents)}% of all nodes at once; allow {REQUIRED_BUDGET}%"
    return ""


def _is_of_drift(budget: Mapping[str, Any]) -> bool:
    reasons = budget.get("reasons")
    return not isinstance(reasons, list) or not reasons or "Drifted" in reasons
