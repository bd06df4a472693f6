"""The two disks of a node: /dev/xvda is the OS, /dev/xvdb holds images, logs and emptyDir. Used by placing, nodeclass.

A list of mappings replaces Karpenter's whole default list, and a device that it lacks falls back to the AMI's own:
20 GiB, not encrypted. So both are always given.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from resilience_operator.targets.bottlerocket.quantities import number_of

OS: Final = "/dev/xvda"
DATA: Final = "/dev/xvdb"
SMALL: Final = "50Gi"
"""Under about this size images are collected and pods evicted for the same few GiB."""
AMI_SIZES: Final = {OS: "2Gi", DATA: "20Gi"}
"""What the AMI's snapshots hold: no volume may be smaller."""
TYPES: Final = ("gp3", "gp2", "io1", "io2", "st1", "sc1", "standard")
_GIB = 1 << 30
_SIZE = re.compile(r"[1-9][0-9]{0,3}Gi|[1-5]?[0-9]Ti")


@dataclass(frozen=True, slots=True)
class DataVolume:
    """The demanded data volume; `min_size`: a quantity in Gi or Ti."""

    device: str = DATA
    min_size: str = "100Gi"
    volume_type: str = "gp3"
    encrypted: bool = True


def refusal(volume: DataVolume) -> str:
    """Why EC2 or the CustomResourceDefinition would not take the volume; "" where they do."""
    size = number_of(volume.min_size)
    if not _SIZE.fullmatch(volume.min_size) or size is None:
        return f"data volume: {volume.min_size!r} is not a size such as 100Gi or 1Ti"
    if size < (number_of(AMI_SIZES[DATA]) or 0):
        return f"data volume: {volume.min_size} is smaller than the {AMI_SIZES[DATA]} of the AMI's snapshot"
    if volume.volume_type not in TYPES:
        return f"data volume: {volume.volume_type!r} is not a type such as gp3 ({', '.join(TYPES)})"
    return f"data volume: {OS} is the OS; pods live on {DATA}" if volume.device == OS else ""


def size_of(mapping: Mapping[str, Any]) -> Decimal | None:
    """Bytes of an EC2NodeClass' mapping; None where it says none."""
    ebs = mapping.get("ebs")
    size = ebs.get("volumeSize") if isinstance(ebs, dict) else None
    return number_of(size) if isinstance(size, str) else None


def mapped(devices: list[dict[str, Any]], volume: DataVolume) -> list[dict[str, Any]]:
    """blockDeviceMappings of an EC2NodeClass with the volume, and never without the one of the OS."""
    found = [dict(one) for one in devices]
    _add_os(found, {"deviceName": OS, "ebs": {"volumeSize": "4Gi", "volumeType": "gp3", "encrypted": True}})
    wanted = {"volumeSize": volume.min_size, "volumeType": volume.volume_type, "encrypted": volume.encrypted}
    for number, one in enumerate(found):
        if one.get("deviceName") == volume.device:
            found[number] = one | {"ebs": _raised(one, wanted, volume)}
            return found
    return [*found, {"deviceName": volume.device, "ebs": wanted}]


def _raised(mapping: dict[str, Any], wanted: dict[str, Any], volume: DataVolume) -> dict[str, Any]:
    """The volume, never made smaller; type and encryption only where nothing says them."""
    ebs = dict(mapping.get("ebs") or {})
    size, least = size_of(mapping), number_of(volume.min_size) or Decimal(0)
    if size is None or size < least:
        ebs["volumeSize"] = volume.min_size
    ebs.setdefault("volumeType", wanted["volumeType"])
    if volume.encrypted and "snapshotID" not in ebs:
        ebs["encrypted"] = True
    return ebs


def _add_os(devices: list[dict[str, Any]], default: dict[str, Any]) -> None:
    name = next(key for key in default if key.lower() == "devicename")
    if all(one.get(name) != OS for one in devices):
        devices.insert(0, default)


def template_mapped(devices: list[dict[str, Any]], volume: DataVolume) -> list[dict[str, Any]]:
    """BlockDeviceMappings of a launch template, sizes in GiB, in the same way."""
    found = [dict(one) for one in devices]
    _add_os(found, {"DeviceName": OS, "Ebs": {"VolumeSize": 4, "VolumeType": "gp3", "Encrypted": True}})
    least = gib(volume.min_size)
    for number, one in enumerate(found):
        if one.get("DeviceName") == volume.device:
            ebs = dict(one.get("Ebs") or {})
            ebs["VolumeSize"] = max(int(ebs.get("VolumeSize") or 0), least)
            ebs.setdefault("VolumeType", volume.volume_type)
            if volume.encrypted and "SnapshotId" not in ebs:
                ebs["Encrypted"] = True
            found[number] = one | {"Ebs": ebs}
            return found
    ebs = {"VolumeSize": least, "VolumeType": volume.volume_type, "Encrypted": volume.encrypted}
    return [*found, {"DeviceName": volume.device, "Ebs": ebs}]


def gib(size: str) -> int:
    """A quantity in GiB, rounded up. Raises ValueError."""
    number = number_of(size)
    if number is None or number <= 0:
        raise ValueError(f"{size!r} is no size; write one such as 100Gi")
    return -(-int(number) // _GIB)


def faults(devices: Any, data_matters: bool = True) -> Iterator[tuple[str, str, int | None]]:
    """(reason, message, index of the mapping or None) of an EC2NodeClass' blockDeviceMappings."""
    listed = [one for one in devices if isinstance(one, dict)] if isinstance(devices, list) else []
    names = [one.get("deviceName") for one in listed]
    if not listed:
        message = "no blockDeviceMappings: Karpenter gives /dev/xvdb 20Gi for images, logs, emptyDir; give both disks"
        yield "DataVolumeMissing", message, None
        return
    if OS not in names:
        message = (
            "a list of mappings replaces Karpenter's: /dev/xvda falls back to the AMI's, unencrypted; add it"
        )
        yield "OSVolumeMissing", message, 0
    if not data_matters or any(one.get("rootVolume") is True for one in listed):
        return
    if DATA not in names:
        message = (
            "no /dev/xvdb: pods live there, and the AMI's 20 GiB count, unencrypted; /dev/xvda is the OS"
        )
        yield "DataVolumeMissing", message, 0
        return
    index = names.index(DATA)
    yield from ((reason, message, index) for reason, message in _data_faults(listed[index]))


def _data_faults(mapping: dict[str, Any]) -> Iterator[tuple[str, str]]:
    ebs = mapping.get("ebs")
    ebs = ebs if isinstance(ebs, dict) else {}
    size = size_of(mapping)
    if size is not None and size < (number_of(SMALL) or 0):
        size_shown = ebs["volumeSize"]
        message = f"/dev/xvdb of {size_shown}: images are collected and pods evicted for the same few GiB; give {SMALL}"
        yield "DataVolumeSmall", message
    if ebs.get("encrypted") is not True and "snapshotID" not in ebs:
        yield (
            "DataVolumeUnencrypted",
            "/dev/xvdb is not encrypted: Karpenter's default is; write encrypted: true",
        )
