"""Cluster DNS as an Amazon EKS add-on, on a control plane of its own: audited, floored at AWS, given back.

AWS is the stand-in of tests/standins/eks.py, spoken to by the operator's own boto3.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import dns
from tests.e2e.conftest import install_crd, make_scene
from tests.e2e.scene import Body, Scene, settle
from tests.e2e.test_command_line import resilience
from tests.lab import Lab
from tests.standins.eks import Eks, Installed, serving

FLOOR: Body = {"floor": {"minReplicas": 3}}
BEFORE = '{ "corefile": ".:53 { forward . /etc/resolv.conf }",\n  "autoScaling": {"enabled": true, "maxReplicas": 10} }'
AFTER = (
    '{ "corefile": ".:53 { forward . /etc/resolv.conf }",\n'
    '  "autoScaling": {"enabled": true, "maxReplicas": 10, "minReplicas": 3},\n  "replicaCount": 3 }'
)
FLAGS = ("--eks-cluster=production", "--eks-poll=1")
NOTE = "resilience.dev/addon-state"


@pytest.fixture
def scene(own_lab: Callable[..., Lab], tmp_path: Path) -> Scene:
    """Cluster DNS as EKS makes it: its field manager owns the Deployment."""
    lab = own_lab(nodes=3)
    install_crd(lab)
    scaled_by_eks(lab, 2)
    return make_scene(lab, tmp_path)


@pytest.fixture
def eks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Eks]:
    """AWS for the operator's process, and nothing of this machine's own AWS."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with serving() as service:
        service.addons["production", "coredns"] = Installed(BEFORE)
        for name, text in {
            "AWS_ENDPOINT_URL_EKS": service.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "eu-west-1",
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            monkeypatch.setenv(name, text)
        yield service


def annotations(scene: Scene) -> Any:
    return dns.get(scene.lab, "deployment", "coredns")["metadata"]["annotations"]


def finding(scene: Scene, kind: str) -> Body:
    """The finding of the floor on an object of that kind, once there is one."""

    def found() -> Body | None:
        mine = (one for one in scene.findings() if one["object"]["kind"] == kind)
        return next((one for one in mine if one["rule"] == "coredns-floor"), None)

    one: Body = scene.wait(found, f"a finding of the {kind}")
    return one


def scaled_by_eks(lab: Lab, replicas: int) -> None:
    """What EKS makes of the add-on's configuration, and who it says it is."""
    objects = {"apiVersion": "v1", "kind": "List", "items": dns.cluster_dns(replicas)}
    lab.kubectl("apply", "--server-side", "--field-manager=eks", "-f", "-", input=json.dumps(objects))


def finish(scene: Scene, eks: Eks, updates: int) -> None:
    """Wait until so many updates were accepted, and let the last one end."""
    addon = eks.addons["production", "coredns"]
    scene.wait(lambda: len(addon.updates) == updates, f"{updates} updates")
    with eks.lock:
        eks.finish("production")


def test_an_add_on_is_audited_floored_at_aws_once_and_given_back(scene: Scene, eks: Eks) -> None:
    addon = eks.addons["production", "coredns"]
    before = dns.get(scene.lab, "deployment", "coredns")["spec"]
    with scene.operator(*FLAGS):
        scene.policy(mode="Audit", onRelease="Revert", coreDNS=FLOOR)
        audited = finding(scene, "Addon")
        assert audited["state"] == "Drifted"
        assert audited["message"] == (
            "autoScaling.minReplicas is 2 by default, below the floor of 3; replicaCount is 2 by default, below a"
            " minReplicas of 3: updates of the add-on start with it"
        )
        settle(2)
        assert addon.updates == [], "an audit changes nothing"

        scene.policy(onRelease="Revert", coreDNS=FLOOR)
        scene.wait(lambda: len(addon.updates) == 1, "the update")
        scene.wait(lambda: finding(scene, "Addon")["message"].endswith("add-on is in flight"), "waits")
        assert addon.configuration == BEFORE, "it is still in flight"
        finish(scene, eks, 1)
        assert dns.get(scene.lab, "deployment", "coredns")["spec"] == before, "the Deployment is EKS's"
        scaled_by_eks(scene.lab, addon.replicas)
        scene.wait_compliant()
        (update,) = addon.updates
        assert update["params"] == {"ConfigurationValues": AFTER, "ResolveConflicts": "PRESERVE"}
        assert addon.configuration == AFTER
        assert NOTE in annotations(scene)

        settle(3)  # The last word of the status is written.
        mark, asked = scene.lab.audit.mark(), len(eks.requests)
        settle(4)
        assert len(eks.requests) > asked, "AWS is looked at"
        assert len(addon.updates) == 1, "and left alone"
        written = scene.lab.audit.writes(mark, user_agent="resilience-operator")
        quiet = [one.resource for one in written if not one.asks_the_guard]
        assert set(quiet) <= {"leases"}

        scene.delete_policy(wait=False)
        finish(scene, eks, 2)
        scene.wait(lambda: NOTE not in annotations(scene), "nothing of us is left")
        assert addon.configuration == BEFORE
        scene.wait(lambda: not scene.lab.kubectl("get", "rp", "-o", "name").strip(), "the policy is gone")
    managers = dns.get(scene.lab, "deployment", "coredns")["metadata"]["managedFields"]
    assert "resilience-operator" not in {one["manager"] for one in managers}


def test_without_credentials_the_finding_says_where_the_commands_are(
    scene: Scene, eks: Eks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with scene.operator(*FLAGS) as operator:
        scene.policy(coreDNS=FLOOR)
        found = finding(scene, "Deployment")
        assert (found["state"], found["reason"]) == ("ReportOnly", "AddonNotRead")
        assert "Unable to locate credentials" in found["message"]
        assert found["message"].endswith("kubectl resilience report prints the command"), "a status is short"
        told = resilience(scene, "report", scene.name).stdout
        name = '"${EKS_CLUSTER:?set EKS_CLUSTER to the name of the EKS cluster}"'
        assert f"aws eks describe-addon --cluster-name {name} --addon-name coredns" in told
        assert "--configuration-values replaces all of it" in told
        update = (
            f"aws eks update-addon --cluster-name {name} --addon-name coredns --resolve-conflicts PRESERVE"
        )
        assert f"""{update} --configuration-values '{{"replicaCount":3}}'; """ in told
        started = time.monotonic()
        operator.stop()
        assert time.monotonic() - started < 10
    assert eks.requests == []
    assert annotations(scene).keys() == {"deployment.kubernetes.io/revision"}
