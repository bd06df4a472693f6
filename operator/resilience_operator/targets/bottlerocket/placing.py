"""Which setting goes where: an EC2NodeClass' spec.kubelet, its userData, or a launch template. Used by the operator.

Pure. Karpenter computes what fits on a node from spec.kubelet and never from userData, and replaces whole maps of the
user data by those of spec.kubelet; so what it reads there is written there. Nothing is given away that the
CustomResourceDefinition would refuse (karpenter-provider-aws pkg/apis/crds, EC2NodeClass v1), or that the validator
finds fault with.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from resilience_operator.targets.bottlerocket.across import HARD_DEFAULTS
from resilience_operator.targets.bottlerocket.document import NotTOMLError, Tree, parse
from resilience_operator.targets.bottlerocket.merge import (
    MAX_LENGTH,
    MergeRefusedError,
    merge,
    plain_merge,
    same,
)
from resilience_operator.targets.bottlerocket.nodeclass import KUBELET, kubelet_faults
from resilience_operator.targets.bottlerocket.problems import Reader, Surroundings
from resilience_operator.targets.bottlerocket.validate import validate
from resilience_operator.targets.bottlerocket.values import percent
from resilience_operator.targets.bottlerocket.volumes import DataVolume, mapped, refusal, template_mapped

MAPS: Final = frozenset(
    {"evictionHard", "evictionSoft", "evictionSoftGracePeriod", "kubeReserved", "systemReserved"}
)
_NUMBERS = frozenset({"imageGCHighThresholdPercent", "imageGCLowThresholdPercent"})


class PlacingRefusedError(ValueError):
    """Nothing is written; the message says why."""


@dataclass(frozen=True, slots=True)
class NodeClassChange:
    """The fields of an EC2NodeClass' spec as they should be; None where a field stays as it is."""

    kubelet: dict[str, Any] | None = None
    user_data: str | None = None
    block_devices: list[dict[str, Any]] | None = None

    @property
    def changed(self) -> bool:
        """False where no node would be replaced."""
        return (self.kubelet, self.user_data, self.block_devices) != (None, None, None)


def split(settings: Tree) -> tuple[dict[str, Any], Tree]:
    """(fields for spec.kubelet, the rest as a tree below `settings`) of a policy. Raises PlacingRefusedError."""
    kubernetes = settings.get("kubernetes", {})
    fields = {
        KUBELET[key]: _field(KUBELET[key], value) for key, value in kubernetes.items() if key in KUBELET
    }
    rest = {key: value for key, value in kubernetes.items() if key not in KUBELET}
    others = {key: value for key, value in settings.items() if key != "kubernetes"}
    return fields, ({"kubernetes": rest} if rest else {}) | others


def _field(name: str, value: Any) -> Any:
    if name == "clusterDNS":
        return [value] if isinstance(value, str) else list(value)
    if name in _NUMBERS and (wrong := percent(value)):
        raise PlacingRefusedError(f"spec.kubelet.{name}: write {wrong}")
    return int(value) if name in _NUMBERS else value


def into_node_class(
    spec: Mapping[str, Any], settings: Tree, volume: DataVolume | None, around: Surroundings
) -> NodeClassChange:
    """What an EC2NodeClass' spec lacks of a policy's settings (the tree below `settings`) and volume.

    Raises PlacingRefusedError; nothing that it gives is refused by the CRD, or makes Karpenter launch nothing.
    """
    _refuse_volume(volume)
    fields, rest = split(settings)
    present = dict(spec.get("kubelet") or {})
    text = str(spec.get("userData") or "")
    kubelet = _kubelet(present, fields, _kubernetes(text))
    known = list(kubelet_faults(present))
    if fault := next((one for one in kubelet_faults(kubelet) if one not in known), None):
        raise PlacingRefusedError(f"it would be refused: {fault.message}")
    merged = _merged(text, rest, Surroundings(Reader.KARPENTER, around.release, around.karpenter))
    devices = list(spec.get("blockDeviceMappings") or [])
    wanted = mapped(devices, volume) if volume is not None else devices
    return NodeClassChange(
        kubelet if not same(kubelet, present) else None,
        merged if merged != text else None,
        wanted if wanted != devices else None,
    )


def _refuse_volume(volume: DataVolume | None) -> None:
    if volume is not None and (why := refusal(volume)):
        raise PlacingRefusedError(why)


def _kubernetes(text: str) -> dict[str, Any]:
    """settings.kubernetes of user data; nothing where it cannot be read."""
    if len(text) > MAX_LENGTH:
        raise PlacingRefusedError(f"userData is longer than {MAX_LENGTH:,} characters; EC2 takes 16 KiB")
    try:
        settings = parse(text).tree.get("settings")
    except NotTOMLError as error:
        raise PlacingRefusedError(f"userData is no TOML: {error}; mend it first") from error
    kubernetes = settings.get("kubernetes") if isinstance(settings, dict) else None
    return kubernetes if isinstance(kubernetes, dict) else {}


_KEYS = {field: key for key, field in KUBELET.items()}
_PAIR = ("evictionSoft", "evictionSoftGracePeriod")


def _kubelet(present: dict[str, Any], fields: dict[str, Any], user_data: dict[str, Any]) -> dict[str, Any]:
    """spec.kubelet with the fields. A map of it hides the one of the user data, so entries of that go along."""
    merged = {**present, **fields}
    pair = _PAIR if set(_PAIR) & set(fields) else ()
    for name in MAPS & {*fields, *pair}:
        hidden = user_data.get(_KEYS[name])
        before = present.get(name) or (hidden if isinstance(hidden, dict) else {})
        entries = {**before, **fields.get(name, {})}
        if entries:
            merged[name] = _whole(entries) if name == "evictionHard" else entries
    return merged


def _whole(hard: dict[str, Any]) -> dict[str, Any]:
    """eviction-hard with every default signal: before release 1.69.0 a partial map switches off what it lacks."""
    return {**HARD_DEFAULTS, **hard}


def _completed(settings: Tree, text: str) -> Tree:
    """The settings with a whole eviction-hard, where they say anything of it."""
    kubernetes = settings.get("kubernetes", {})
    hard = kubernetes.get("eviction-hard")
    if not hard:
        return settings
    present = _kubernetes(text).get("eviction-hard") if text else None
    lacking = {key: value for key, value in HARD_DEFAULTS.items() if key not in (present or {})}
    return {**settings, "kubernetes": {**kubernetes, "eviction-hard": {**lacking, **hard}}}


def _merged(text: str, settings: Tree, around: Surroundings) -> str:
    if not settings:
        return text
    try:
        merged = merge(text, {"settings": settings})
    except MergeRefusedError as error:
        raise PlacingRefusedError(f"userData: {error}") from error
    if merged.changed:
        _refuse_faults(merged.text, around)
    return merged.text


def _refuse_faults(text: str, around: Surroundings) -> None:
    """Raise for user data with which no node would start, whoever wrote that part of it."""
    for problem in validate(text, around):
        if problem.fatal or problem.reason in ("KarpenterRejects", "EKSRejects", "TemplatePlaceholder"):
            raise PlacingRefusedError(f"userData, line {problem.line}: {problem.message}")


def into_launch_template(
    data: Mapping[str, Any], settings: Tree, volume: DataVolume | None, around: Surroundings
) -> dict[str, Any] | None:
    """LaunchTemplateData with a policy's settings and volume, whole, for CreateLaunchTemplateVersion; None: as it is.

    Tags that EC2's stand-ins add are left as they are. Raises PlacingRefusedError.
    """
    _refuse_volume(volume)
    text = decode_user_data(str(data.get("UserData") or ""))
    merged = _merged(text, _completed(settings, text), Surroundings(Reader.EKS, around.release))
    devices = list(data.get("BlockDeviceMappings") or [])
    wanted = template_mapped(devices, volume) if volume is not None else devices
    if merged == text and wanted == devices:
        return None
    encoded = base64.b64encode(merged.encode()).decode()
    return {**data, "UserData": encoded, "BlockDeviceMappings": wanted}


def decode_user_data(encoded: str) -> str:
    """The text of a launch template's user data. Raises PlacingRefusedError where it is none, or is compressed."""
    try:
        raw = base64.b64decode(encoded, validate=True)
        if raw.startswith(b"\x1f\x8b"):
            raise PlacingRefusedError(
                "user data is compressed with gzip, which EKS does not read; store it as text"
            )
        return raw.decode("utf-8")
    except ValueError as error:
        if isinstance(error, PlacingRefusedError):
            raise
        raise PlacingRefusedError("user data is no base64 of UTF-8 text; mend it first") from error


def demanded(trees: list[Tree]) -> Tree:
    """Presets and settings as one tree below `settings`; later ones win."""
    merged: Tree = {}
    for one in trees:
        merged = plain_merge(merged, one)
    return merged
