"""What a policy demands goes where it counts, and nothing is written that Karpenter, EKS or the CRD would refuse."""

import base64
from typing import Any

import pytest

from resilience_operator.targets.bottlerocket.across import HARD_DEFAULTS
from resilience_operator.targets.bottlerocket.emit import render
from resilience_operator.targets.bottlerocket.nodeclass import judge_node_class, judge_node_pool
from resilience_operator.targets.bottlerocket.placing import (
    NodeClassChange,
    PlacingRefusedError,
    decode_user_data,
    into_launch_template,
    into_node_class,
)
from resilience_operator.targets.bottlerocket.presets import (
    EVICTION,
    LOG_ROTATION,
    PRESETS,
    Instance,
    reservations,
    tree,
)
from resilience_operator.targets.bottlerocket.problems import Reader, Surroundings
from resilience_operator.targets.bottlerocket.validate import validate
from resilience_operator.targets.bottlerocket.volumes import DataVolume

ANYWHERE = Surroundings()
VOLUME = DataVolume()
XVDA = {"deviceName": "/dev/xvda", "ebs": {"volumeSize": "4Gi", "volumeType": "gp3", "encrypted": True}}
XVDB = {"deviceName": "/dev/xvdb", "ebs": {"volumeSize": "100Gi", "volumeType": "gp3", "encrypted": True}}

SMALL = {"deviceName": "/dev/xvdb", "ebs": {"volumeSize": "20Gi"}}
BOTH = {"amiFamily": "Bottlerocket", "blockDeviceMappings": [XVDA, XVDB]}
MAX_PODS = "[settings.kubernetes]\nmax-pods=5"
FROZEN = {"nodes": "0", "schedule": "0 9 * * *", "duration": "8h"}
SHAPES: list[dict[str, Any]] = [
    {"kubelet": []},
    {"blockDeviceMappings": "x"},
    {"userData": 1},
    {"amiSelectorTerms": {}},
    {"kubelet": {"evictionHard": {"memory.available": {}}, "maxPods": True}},
]


def test_what_karpenter_schedules_by_goes_to_the_kubelet_and_the_rest_to_user_data() -> None:
    settings = {
        "kubernetes": {
            "image-gc-high-threshold-percent": "85",
            "pod-pids-limit": 1024,
            "cluster-dns-ip": "10.0.0.10",
        },
        "kernel": {"lockdown": "integrity"},
    }
    assert into_node_class({}, settings, VOLUME, ANYWHERE) == NodeClassChange(
        {"imageGCHighThresholdPercent": 85, "clusterDNS": ["10.0.0.10"]},
        '[settings.kubernetes]\npod-pids-limit = 1024\n\n[settings.kernel]\nlockdown = "integrity"\n',
        [XVDA, XVDB],
    )


def test_a_second_time_there_is_nothing_to_write() -> None:
    settings = tree(*EVICTION, *LOG_ROTATION)["settings"]
    first = into_node_class({}, settings, VOLUME, ANYWHERE)
    spec = {"kubelet": first.kubelet, "userData": first.user_data, "blockDeviceMappings": first.block_devices}
    assert not into_node_class(spec, settings, VOLUME, ANYWHERE).changed
    assert judge_node_class({"amiFamily": "Bottlerocket", **spec}) == []


def test_a_map_in_the_kubelet_takes_along_what_it_would_hide_in_user_data() -> None:
    text = "[settings.kubernetes.eviction-hard]\n'pid.available' = '7%'\n"
    change = into_node_class(
        {"userData": text}, {"kubernetes": {"eviction-hard": {"memory.available": "1Gi"}}}, None, ANYWHERE
    )
    assert change == NodeClassChange(
        {"evictionHard": {**HARD_DEFAULTS, "memory.available": "1Gi", "pid.available": "7%"}}
    )


@pytest.mark.parametrize(
    ("spec", "settings", "why"),
    [
        ({}, {"kubernetes": {"eviction-soft": {"memory.available": "1Gi"}}}, "needs the same key"),
        ({}, {"kubernetes": {"kube-reserved": {"memory": "-1Gi"}}}, "write a string such as"),
        ({}, {"kubernetes": {"image-gc-high-threshold-percent": "85%"}}, "write a string of an integer"),
        ({}, {"kubernetes": {"image-gc-high-threshold-percent": "70"}}, "must be above the low one"),
        ({}, {"kernel": {"lockdwn": "none"}}, 'write "lockdown"'),
        ({"userData": "[settings.foo]\nx = 1\n"}, {"motd": "x"}, "line 1: settings.foo"),
        ({"userData": "[settings"}, {"motd": "x"}, "no TOML"),
        ({"userData": "[settings]\nmotd='${x}'"}, {"kernel": {"lockdown": "none"}}, "placeholder"),
        (
            {"userData": "[settings.kubernetes]\nimage-gc-low-threshold-percent = 70"},
            {"motd": "x"},
            "launches nothing",
        ),
    ],
)
def test_what_would_be_refused_is_never_written(spec: dict[str, Any], settings: Any, why: str) -> None:
    with pytest.raises(PlacingRefusedError, match=why):
        into_node_class(spec, settings, None, ANYWHERE)


@pytest.mark.parametrize(
    ("volume", "why"),
    [
        (DataVolume(min_size="100GB"), "a size such as 100Gi"),
        (DataVolume(min_size="512Mi"), "a size such as 100Gi"),
        (DataVolume(min_size="10Gi"), "smaller than the 20Gi of the AMI"),
        (DataVolume(volume_type="ssd"), "a type such as gp3"),
        (DataVolume(device="/dev/xvda"), "/dev/xvda is the OS"),
    ],
)
def test_a_volume_that_nobody_would_take_is_never_written(volume: DataVolume, why: str) -> None:
    with pytest.raises(PlacingRefusedError, match=why):
        into_node_class({}, {}, volume, ANYWHERE)
    with pytest.raises(PlacingRefusedError, match=why):
        into_launch_template({}, {}, volume, ANYWHERE)


def test_a_disk_is_never_made_smaller_and_both_are_always_given() -> None:
    big = {"deviceName": "/dev/xvdb", "ebs": {"volumeSize": "1Ti", "iops": 3000}}
    change = into_node_class({"blockDeviceMappings": [big]}, {}, VOLUME, ANYWHERE)
    assert change.block_devices == [
        XVDA,
        {
            "deviceName": "/dev/xvdb",
            "ebs": {"volumeSize": "1Ti", "iops": 3000, "volumeType": "gp3", "encrypted": True},
        },
    ]


def test_a_launch_template_gets_whole_data_with_both_disks_and_a_whole_eviction_map() -> None:
    text = "# ours\n[settings.kubernetes]\nmax-pods = 58\n"
    data = {"InstanceType": "m5.large", "UserData": base64.b64encode(text.encode()).decode()}
    settings = {"kubernetes": {"eviction-hard": {"memory.available": "5%"}}}
    made = into_launch_template(data, settings, VOLUME, ANYWHERE)
    assert made is not None
    assert made["InstanceType"] == "m5.large"
    assert decode_user_data(made["UserData"]) == (
        f'{text}\n[settings.kubernetes.eviction-hard]\n"memory.available" = "5%"\n"nodefs.available" = "10%"\n'
        '"nodefs.inodesFree" = "5%"\n"imagefs.available" = "15%"\n"imagefs.inodesFree" = "5%"\n'
    )
    assert [(one["DeviceName"], one["Ebs"]["VolumeSize"]) for one in made["BlockDeviceMappings"]] == [
        ("/dev/xvda", 4),
        ("/dev/xvdb", 100),
    ]
    assert (
        into_launch_template(
            made, {"kubernetes": {"eviction-hard": {"memory.available": "5%"}}}, VOLUME, ANYWHERE
        )
        is None
    )


def test_compressed_user_data_is_refused() -> None:
    with pytest.raises(PlacingRefusedError, match="gzip"):
        decode_user_data(base64.b64encode(b"\x1f\x8b\x08").decode())


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("reader", Reader)
def test_everybody_takes_a_preset(name: str, reader: Reader) -> None:
    assert validate(render(tree(*PRESETS[name])), Surroundings(reader)) == []


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (Instance(2, 8192, 29), ("70m", "574Mi", "1Gi", "100m", "163Mi")),
        (Instance(4, 16384, 58), ("80m", "893Mi", "1Gi", "100m", "327Mi")),
        (Instance(96, 393216, 737), ("310m", "8362Mi", "1Gi", "100m", "1024Mi")),
    ],
)
def test_reservations_follow_the_size(size: Instance, expected: tuple[str, ...]) -> None:
    assert tuple(one.value for one in reservations(size)) == expected


HIDDEN = """[settings.kubernetes.eviction-hard]
'memory.available' = '5%'
[settings.kubernetes]
cluster-dns-ip = '10.0.0.10'
"""


def test_what_the_kubelet_of_the_class_hides_in_user_data_is_named_once() -> None:
    spec = {
        **BOTH,
        "userData": HIDDEN,
        "kubelet": {"evictionHard": HARD_DEFAULTS, "clusterDNS": ["10.0.0.10"]},
    }
    assert [(one.reason, one.inner_line, one.message) for one in judge_node_class(spec)] == [
        (
            "KarpenterOverrides",
            1,
            "settings.kubernetes.eviction-hard is replaced, whole, by spec.kubelet.evictionHard; take it out",
        ),
        (
            "KarpenterOverrides",
            4,
            "settings.kubernetes.cluster-dns-ip is replaced, whole, by spec.kubelet.clusterDNS; take it out",
        ),
    ]


def of_class(**spec: Any) -> list[tuple[str, str, int]]:
    return [(one.reason, ".".join(map(str, one.path)), one.inner_line) for one in judge_node_class(spec)]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"amiFamily": "AL2023", "userData": "#!/bin/bash"}, []),
        (
            {
                "amiSelectorTerms": [{"alias": "bottlerocket@v1.16.1"}],
                "blockDeviceMappings": [XVDA, XVDB],
                "userData": "[settings.kernel.hugepages.transparent]\nenabled = 'never'\n",
            },
            [("NewerThanRelease", "spec.userData", 2)],
        ),
        ({"amiFamily": "Bottlerocket"}, [("DataVolumeMissing", "spec.blockDeviceMappings", 0)]),
        (
            {"amiFamily": "Bottlerocket", "blockDeviceMappings": [XVDA]},
            [("DataVolumeMissing", "spec.blockDeviceMappings.0", 0)],
        ),
        (
            {"amiFamily": "Bottlerocket", "blockDeviceMappings": [SMALL]},
            [
                ("OSVolumeMissing", "spec.blockDeviceMappings.0", 0),
                ("DataVolumeSmall", "spec.blockDeviceMappings.0", 0),
                ("DataVolumeUnencrypted", "spec.blockDeviceMappings.0", 0),
            ],
        ),
        (
            {"amiFamily": "Bottlerocket", "instanceStorePolicy": "RAID0", "userData": MAX_PODS},
            [("BelongsInKubelet", "spec.userData", 2)],
        ),
        (
            {**BOTH, "kubelet": {"podPidsLimit": 1, "podsPerCore": 2}},
            [
                ("KubeletField", "spec.kubelet.podPidsLimit", 0),
                ("KubeletField", "spec.kubelet.podsPerCore", 0),
            ],
        ),
        (
            {**BOTH, "kubelet": {"evictionSoft": {"memory.available": "100%"}}},
            [
                ("KubeletField", "spec.kubelet.evictionSoft.memory.available", 0),
                ("KubeletField", "spec.kubelet.evictionSoft.memory.available", 0),
            ],
        ),
    ],
)
def test_a_node_class_is_judged(spec: dict[str, Any], expected: list[tuple[str, str, int]]) -> None:
    assert of_class(**spec) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"disruption": {"budgets": [{"nodes": "10%"}]}}, []),
        ({"disruption": {"budgets": [{"nodes": "50%"}, {"nodes": "1"}]}}, []),
        ({"disruption": {"budgets": [{"nodes": "50%"}]}}, ["UnboundedReplacement"]),
        ({"disruption": {"budgets": []}}, ["UnboundedReplacement"]),
        ({"disruption": {"budgets": [{"nodes": "5%", "reasons": ["Empty"]}]}}, ["UnboundedReplacement"]),
        (
            {"disruption": {"budgets": [{"nodes": "0", "schedule": "0 9 * * *", "duration": "8h"}]}},
            ["UnboundedReplacement"],
        ),
        ({"template": {"spec": {"terminationGracePeriod": "1h"}}}, ["BudgetsOverridden"]),
    ],
)
def test_a_node_pool_is_judged_by_what_a_change_of_settings_may_replace(
    spec: Any, expected: list[str]
) -> None:
    assert [one.reason for one in judge_node_pool(spec)] == expected


@pytest.mark.parametrize("spec", SHAPES)
def test_manifests_of_any_shape_are_survived(spec: dict[str, Any]) -> None:
    judge_node_class({"amiFamily": "Bottlerocket", **spec})
    judge_node_pool({"disruption": {"budgets": [1, {"nodes": []}]}, "template": []})
