"""What may be wrong with user data: who minds, and in which words. Made by validate, read by cli/launch."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from resilience_operator.targets.bottlerocket.table import Release

MAX_MESSAGE = 300


class Judge(StrEnum):
    """Who minds, the worst consequence first."""

    BOTTLEROCKET = "Bottlerocket"
    """refuses the whole user data: the node never joins"""
    KUBELET = "kubelet"
    """does not start: the node never joins"""
    KARPENTER = "Karpenter"
    """launches nothing, or drops the setting"""
    EKS = "EKS"
    """refuses the launch template's version in a managed node group"""
    ADVICE = "advice"
    """everybody takes it, and it does not do what it seems to"""


class Reader(StrEnum):
    """Whose hands the user data passes through before a node reads it."""

    ANY = "any"
    KARPENTER = "Karpenter"
    EKS = "EKS"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known beside the text: who reads it, and the releases of the AMI and of Karpenter (None: the newest)."""

    reader: Reader = Reader.ANY
    release: Release | None = None
    karpenter: Release | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong; `key` is dotted, from `settings` ("" for the document); `line` counts from 1."""

    reason: str
    judges: frozenset[Judge]
    key: str
    line: int
    message: str

    @property
    def fatal(self) -> bool:
        """True where no node starts with it."""
        return bool(self.judges & {Judge.BOTTLEROCKET, Judge.KUBELET})


REASONS = {
    "NotTOML": "The text is no TOML that Bottlerocket reads.",
    "TemplatePlaceholder": "A placeholder of Terraform or Helm that was not rendered.",
    "TooLarge": "More than EC2 takes, or so much that what EKS or Karpenter adds may not fit.",
    "NoSettings": "There is no table [settings]: Bottlerocket refuses it, Karpenter replaces it without a word.",
    "UnknownSetting": "A key that no release of Bottlerocket for Kubernetes knows: all of the user data is refused.",
    "NewerThanRelease": "A key that the AMI's release does not know yet: all of the user data is refused.",
    "UnquotedKey": "A key with dots, not in quotes: TOML reads tables in tables.",
    "WrongValue": "A value of a type, or outside of the range, that the model refuses.",
    "MissingSetting": "A table without a key that the model requires of it.",
    "KubeletRefuses": "A value that the model takes and the kubelet does not start with.",
    "ProtectedSysctl": "A kernel parameter that the kubelet checks at its start (protectKernelDefaults).",
    "ModuleNotAllowed": "A kernel module is to be loaded and is not allowed.",
    "SoftWithoutGrace": "eviction-soft without the grace period of the same signal: the kubelet does not start.",
    "GraceWithoutSoft": "A grace period whose signal eviction-soft does not have.",
    "SoftBelowHard": "A soft threshold that is reached only after the hard one: it never acts.",
    "PartialEviction": "eviction-hard with some signals only: before release 1.69.0 all others become 0.",
    "EmptyEviction": "An eviction map without an entry: it sets nothing.",
    "SecretInUserData": "A secret that every pod with access to instance metadata can read.",
    "KarpenterRejects": "A form that Karpenter cannot read: it launches nothing with it.",
    "KarpenterDrops": "A setting that Karpenter leaves out of what it gives to nodes.",
    "KarpenterOverrides": "A setting that Karpenter replaces by its own value.",
    "EKSRejects": "A form of TOML that EKS does not read.",
    "KeysBesideHeaders": "Dotted keys at the root and headers of tables: releases before 1.20.0 refuse them together.",
    "BelongsInKubelet": "A setting that Karpenter reads from spec.kubelet; in userData its scheduling does not see it.",
    "KubeletField": "A field of spec.kubelet that the EC2NodeClass or its controller refuses, or that goes nowhere.",
    "UnboundedReplacement": "Budgets of the NodePool that let a change of settings replace many nodes at once.",
    "BudgetsOverridden": "A terminationGracePeriod: replaced nodes end in spite of PodDisruptionBudgets.",
}
"""Reasons of the rule launch-settings."""
VOLUME_REASONS = {
    "DataVolumeMissing": "No mapping for /dev/xvdb, where images, logs and emptyDir live: the AMI's 20 GiB count.",
    "DataVolumeSmall": "So small a data volume that garbage collection and eviction race for the same few GiB.",
    "DataVolumeUnencrypted": "The data volume is not encrypted.",
    "OSVolumeMissing": "A mapping for /dev/xvdb alone takes away Karpenter's own for /dev/xvda.",
}
"""Reasons of the rule data-volume."""


def shown(value: Any) -> str:
    """A value for a message, as TOML writes it, at most 60 characters."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value).replace("'", '"')
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= 60 else f"{text[:57]}..."


def sentence(text: str) -> str:
    """A message of at most MAX_MESSAGE characters."""
    return text if len(text) <= MAX_MESSAGE else f"{text[: MAX_MESSAGE - 3]}..."
