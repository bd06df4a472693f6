"""The operator with exactly the ServiceAccount of the manifests: nothing that it needs is missing, nothing is too much.

What it may do is read from the rendered manifests, what it does from the API server's audit log.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.conftest import make_scene
from tests.e2e.process import pretty
from tests.e2e.scene import ROOT, Body, Scene, service, settle, workload
from tests.lab import Lab
from tests.lab.audit import Mark, Read

ACCOUNT = "resilience-system/resilience-operator"
USER = "system:serviceaccount:resilience-system:resilience-operator"
RULES: Body = {"spread": {}, "gracefulShutdown": {}, "dnsConfig": {}}
ALL_RULES = {"spread", "graceful-shutdown", "dns-config"}
Labs = Callable[..., Lab]


def installed(lab: Lab, overlay: str, logs: Path) -> Scene:
    """A lab with the manifests of an overlay, and a scene on it."""
    install(lab, overlay)
    lab.kubectl(
        "wait", "--for=condition=Established", "crd/resiliencepolicies.resilience.dev", "--timeout=30s"
    )
    return make_scene(lab, logs)


def install(lab: Lab, overlay: str) -> None:
    lab.kubectl("apply", "-k", str(ROOT / "manifests" / overlay))


def broken(scene: Scene, name: str) -> None:
    """A Deployment that has all three incidents before it."""
    scene.apply(workload(scene.namespace, name))
    scene.apply(service(scene.namespace, name))
    scene.wait_rolled_out(name)


def operator_of_the_manifests(scene: Scene) -> Any:
    config = scene.lab.kubeconfig(service_account=ACCOUNT)
    return scene.operator("--namespace=resilience-system", kubeconfig=config)


def requests(lab: Lab, since: Mark | None = None) -> list[Read]:
    """All that the operator's user asked for."""
    return [*lab.audit.reads(since, user=USER), *lab.audit.writes(since, user=USER)]


def forbidden(lab: Lab, since: Mark | None = None) -> list[tuple[str, str, str, str]]:
    return sorted(
        {(one.verb, one.group, resource(one), one.name) for one in requests(lab, since) if one.code == 403}
    )


def resource(request: Read) -> str:
    return f"{request.resource}/{request.subresource}" if request.subresource else request.resource


def granted(lab: Lab, overlay: str) -> set[tuple[str, str, str]]:
    """(verb, group, resource) of every rule of every role that is rendered."""
    objects = yaml.safe_load_all(lab.kubectl("kustomize", str(ROOT / "manifests" / overlay)))
    return {
        (verb, group, kind)
        for role in objects
        if role["kind"] in ("Role", "ClusterRole")
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for kind in rule["resources"]
    }


def used(lab: Lab) -> set[tuple[str, str, str]]:
    return {(one.verb, one.group, resource(one)) for one in requests(lab) if one.code < 400}


def test_base_audits_and_where_it_shall_enforce_it_says_what_it_may_not(
    own_lab: Labs, tmp_path: Path
) -> None:
    lab = own_lab()
    scene = installed(lab, "base", tmp_path)
    broken(scene, "web")
    before = scene.spec("web")
    with operator_of_the_manifests(scene) as operator:
        scene.policy(mode="Audit", deployments=RULES)
        scene.wait(lambda: {rule for rule, _ in scene.states()} == ALL_RULES, "the three incidents are found")
        assert forbidden(lab) == []

        scene.policy(mode="Enforce", deployments=RULES)
        scene.wait(lambda: scene.condition("Degraded").get("status") == "True", "it says so", 30)
        degraded = scene.condition("Degraded")
        assert "patch" in degraded["message"]
        assert "deployments" in degraded["message"]
        mark = lab.audit.mark()
        settle(10)
        refused = [one for one in requests(lab, mark) if one.code == 403]
        assert len(refused) <= 4, "it does not hammer"
        assert scene.spec("web") == before
        assert operator.alive()
        assert operator.ready()

        install(lab, "enforce")
        scene.wait_compliant(timeout=60)
        assert scene.condition("Degraded")["status"] == "False"
    assert "Traceback" not in operator.log.read_text()


def test_enforce_needs_every_right_that_it_has_and_no_other(own_lab: Labs, tmp_path: Path) -> None:
    lab = own_lab()
    scene = installed(lab, "enforce", tmp_path)
    broken(scene, "web")
    before = scene.spec("web")
    with operator_of_the_manifests(scene) as operator, operator_of_the_manifests(scene):
        scene.policy(mode="Audit", onRelease="Revert", deployments=RULES)
        scene.wait(lambda: {rule for rule, _ in scene.states()} == ALL_RULES, "the three incidents are found")
        broken(scene, "later")
        scene.wait(lambda: {name for _, name in scene.states()} == {"web", "later"}, "one more object drifts")
        wait_for_a_series(scene)
        scene.policy(mode="Enforce", onRelease="Revert", deployments=RULES)
        scene.wait_compliant()
        assert sorted(scene.nodes_of("web").values()) == [1, 1, 1]
        scene.delete_policy()
        scene.wait_rolled_out("web", "later")
        assert scene.spec("web") == before
    assert forbidden(lab) == []
    unused = granted(lab, "enforce") - used(lab)
    assert unused == set(), pretty(sorted(unused))
    assert "Traceback" not in operator.log.read_text()


def wait_for_a_series(scene: Scene) -> None:
    """The policy's summary changed: the Event that is there becomes a series, half a minute after it was told."""
    scene.wait(
        lambda: [
            write for write in scene.lab.audit.writes(user=USER, resource="events") if write.verb == "patch"
        ],
        "an Event is repeated",
        90,
    )
