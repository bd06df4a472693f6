"""What `explain` and docs/rules.md print of the rules of this package. Used by cli."""

from typing import Final

from resilience_operator.core.findings import RuleText, Severity
from resilience_operator.targets.bottlerocket.problems import REASONS, VOLUME_REASONS

LAUNCH_SETTINGS: Final = "launch-settings"
DATA_VOLUME: Final = "data-volume"
WHOLE: Final = (
    "One unknown or mistyped key makes Bottlerocket refuse the whole user data: the boot stops, and the node "
    "never joins."
)
_NO_NODE_STARTS: Final = (
    "NotTOML",
    "NoSettings",
    "UnknownSetting",
    "NewerThanRelease",
    "UnquotedKey",
    "WrongValue",
    "MissingSetting",
    "KubeletRefuses",
    "ProtectedSysctl",
    "SoftWithoutGrace",
)

TEXTS: Final = {
    LAUNCH_SETTINGS: RuleText(
        LAUNCH_SETTINGS,
        "",
        "node-eats-itself",
        "Launch settings are what Bottlerocket, the kubelet and Karpenter take",
        (
            f"{WHOLE} So user data (a *.toml file, or spec.userData of an EC2NodeClass) has only keys that the AMI's "
            "release knows, with values of the right type; eviction maps are whole; what Karpenter schedules by stands "
            "in spec.kubelet; and a NodePool's budgets keep a change of settings, which replaces nodes, to a few at a "
            "time. docs/bottlerocket.md has the recommended values."
        ),
        (
            "Field reports, EKS on Bottlerocket: nodes died when pods ate memory, disk, processes or CPU, and the logs "
            "of hours could be had only because the admin container was on beforehand. Settings are read once, at the "
            "first boot; Karpenter drops what it does not know without a word, and passes on what stops the node."
        ),
        REASONS,
        ("what only concerns a reader that may not be involved (Karpenter or EKS, of a *.toml file)",),
        dict.fromkeys(_NO_NODE_STARTS, Severity.ERROR),
    ),
    DATA_VOLUME: RuleText(
        DATA_VOLUME,
        "",
        "two-disks",
        "Bottlerocket nodes have a data volume that is big enough, and encrypted",
        (
            "blockDeviceMappings of an EC2NodeClass name both disks: /dev/xvda, the OS, and /dev/xvdb, where images, "
            "logs and emptyDir live, of 50 GiB or more, encrypted."
        ),
        (
            "Field report: the launch template asked for 200 GiB of /dev/xvda, pods got DiskPressure, and the node "
            "showed 20 GiB of ephemeral storage: pods live on /dev/xvdb, which nobody had named. Naming one disk also "
            "takes away Karpenter's defaults for the other."
        ),
        VOLUME_REASONS,
        ("nothing: a class with instanceStorePolicy RAID0 is judged by its OS volume alone",),
    ),
}
"""Rule id -> its text."""
