"""An owner's next deploy is never refused because of us, however it is sent, and what is theirs stays in its place.

Each is written by the real operator first. Helm is Helm 4 itself, whose applies are server-side and without force.
"""

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pykube
import pytest

from tests.e2e.scene import Body, ResiliencePolicy, Scene, service, settle, workload
from tests.support import ROOT

RULES: Body = {"spread": {}, "gracefulShutdown": {}, "dnsConfig": {}}
AGENT, STATE = "resilience-operator", "resilience.dev/state"
HOST, RACK = "kubernetes.io/hostname", "example.com/rack"
NDOTS: Body = {"options": [{"name": "ndots", "value": "2"}]}
NAMES = ("web-1", "web", "web-10")
"""Containers of each Deployment; the Service leads to all, so that each gets a preStop hook of ours."""


# What an owner has


def manifest(scene: Scene, name: str, containers: Sequence[str] = NAMES) -> Body:
    """A Deployment as its owner says it, without a word about what our rules demand."""
    body = workload(scene.namespace, name, replicas=2)
    body["spec"]["template"]["spec"]["containers"] = [
        {
            "name": one,
            "image": f"shop/{one}:1.4",
            "ports": [{"name": f"port-{number}", "containerPort": 8080 + number}],
        }
        for number, one in enumerate(containers)
    ]
    return body


def service_of(body: Body) -> Body:
    """A Service that leads to every container of a Deployment."""
    meta, containers = body["metadata"], pod_of(body)["containers"]
    ports = [
        {"name": each["name"], "port": each["containerPort"], "targetPort": each["name"]}
        for one in containers
        for each in one["ports"]
    ]
    spec = {"selector": {"app": meta["name"]}, "ports": ports}
    where = {"name": meta["name"], "namespace": meta["namespace"]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": where, "spec": spec}


def pod_of(body: Body) -> Body:
    """The pod spec of a Deployment's template."""
    found: Body = body["spec"]["template"]["spec"]
    return found


# What they deploy next


@dataclass(frozen=True)
class Deploy:
    """What the owner changes in the pod spec of their manifest, and what that makes of the pod spec that stands."""

    changes: Callable[[Body], None]
    makes: Callable[[Body], None]


def new_image(pod: Body) -> None:
    pod["containers"][1]["image"] = "shop/web:1.5"


def grace_period(pod: Body) -> None:
    pod["terminationGracePeriodSeconds"] = 90


def without_a_container(pod: Body) -> None:
    del pod["containers"][0]


def options(pod: Body) -> None:
    pod["dnsConfig"] = NDOTS


def hook(pod: Body) -> None:
    pod["containers"][1]["lifecycle"] = {"preStop": {"sleep": {"seconds": 5}}}


def constrain(key: str, skew: int) -> Callable[[Body], None]:
    def change(pod: Body) -> None:
        new = {"topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": "ScheduleAnyway"}
        pod["topologySpreadConstraints"] = [new]

    return change


def constrained(key: str, skew: int) -> Callable[[Body], None]:
    """All else of an entry that is there stays: the list is merged by key, and an entry by field."""

    def make(pod: Body) -> None:
        entries = {one["topologyKey"]: one for one in pod["topologySpreadConstraints"]}
        new = {"topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": "ScheduleAnyway"}
        pod["topologySpreadConstraints"] = [*({**entries, key: {**entries.get(key, {}), **new}}).values()]

    return make


DEPLOYS = {
    "image": Deploy(new_image, new_image),
    "grace": Deploy(grace_period, grace_period),
    "skew": Deploy(constrain(HOST, 2), constrained(HOST, 2)),
    "rack": Deploy(constrain(RACK, 1), constrained(RACK, 1)),
    "container": Deploy(without_a_container, without_a_container),
    "options": Deploy(options, options),
    "hook": Deploy(hook, hook),
}
THEIRS = {
    ("spread", "skew"),
    ("dns-config", "options"),
    ("graceful-shutdown", "hook"),
    ("graceful-shutdown", "grace"),
}
"""Where the owner chose less than is demanded (90 s are, and our sleep on top of it): said, and left alone."""


# How they deploy it


def kubectl_apply(scene: Scene, body: Body, _: Path) -> None:
    scene.apply(body)


def server_side(scene: Scene, body: Body, _: Path) -> None:
    scene.apply(body, "--server-side")


def helm_4(scene: Scene, body: Body, helm: Path) -> None:
    """The Deployment as a chart of its own, installed or upgraded."""
    name = body["metadata"]["name"]
    chart = scene.logs / name
    (chart / "templates").mkdir(parents=True, exist_ok=True)
    (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: {name}\nversion: 1.0.0\n")
    (chart / "templates" / "deployment.yaml").write_text(json.dumps(body))
    where = [f"--kubeconfig={scene.lab.kubeconfig()}", f"--namespace={scene.namespace}"]
    command = [str(helm), "upgrade", "--install", name, str(chart), *where]
    done = subprocess.run(command, env={"HOME": str(scene.logs)}, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


Send = Callable[[Scene, Body, Path], None]
WAYS: dict[str, tuple[Send, Send]] = {
    "kubectl-apply": (kubectl_apply, kubectl_apply),
    "kubectl-apply-server-side": (server_side, server_side),
    "migration": (kubectl_apply, server_side),
    "helm-4": (helm_4, helm_4),
}
"""How the Deployment came, and how the next deploy comes."""


@pytest.mark.parametrize("way", WAYS)
def test_the_next_deploy_brings_what_it_says_and_leaves_what_it_does_not_speak_of(
    scene: Scene, request: pytest.FixtureRequest, way: str
) -> None:
    helm = request.getfixturevalue("helm") if way == "helm-4" else Path()
    first, then = WAYS[way]
    manifests = {name: manifest(scene, name) for name in DEPLOYS}
    for body in manifests.values():
        scene.apply(service_of(body))
        first(scene, body, helm)
    written_by_us(scene, *manifests)
    wanted = {}
    for name, deploy in DEPLOYS.items():
        wanted[name] = pod_of(scene.deployment(name))
        assert [one["name"] for one in wanted[name]["containers"]] == [*NAMES]
        assert all("preStop" in one["lifecycle"] for one in wanted[name]["containers"])
        deploy.makes(wanted[name])
        deploy.changes(pod_of(manifests[name]))
        then(scene, manifests[name], helm)
    assert pods(scene) == {name: in_order(pod) for name, pod in wanted.items()}

    scene.wait_rolled_out(*manifests)
    mark = scene.lab.audit.mark()
    with scene.operator():
        scene.wait(
            lambda: {one for one, state in scene.states().items() if state == "Contested"} == THEIRS, "said"
        )
        settle(6)
    assert scene.changes(mark, resource="deployments") == []
    assert pods(scene) == {name: in_order(pod) for name, pod in wanted.items()}


def written_by_us(scene: Scene, *names: str) -> None:
    """The operator repairs them, and is ended; nothing in managedFields says that it was there."""
    scene.wait_rolled_out(*names)
    with scene.operator():
        scene.policy(onRelease="Revert", deployments=RULES)
        scene.wait_compliant()
    assert all("dnsConfig" in scene.pod_spec(name) for name in names)
    assert [name for name in names if AGENT in managers(scene, name)] == []


def managers(scene: Scene, name: str) -> dict[str, str]:
    """Who stands in managedFields: manager -> what it owns, as text."""
    entries = scene.deployment(name)["metadata"]["managedFields"]
    return {one["manager"]: json.dumps(one["fieldsV1"]) for one in entries}


def pods(scene: Scene) -> dict[str, Body]:
    """The pod spec of every Deployment."""
    return {name: in_order(pod_of(body)) for name, body in scene.deployments().items()}


def in_order(pod: Body) -> Body:
    """With the constraints by their key: where a new one stands among them says nothing."""
    entries = sorted(pod["topologySpreadConstraints"], key=lambda one: str(one["topologyKey"]))
    return {**pod, "topologySpreadConstraints": entries}


def test_a_persons_patch_of_one_leaf_is_theirs_and_is_nobody_elses(scene: Scene) -> None:
    body = manifest(scene, "web")
    scene.apply(service_of(body))
    scene.apply(body, "--server-side")
    written_by_us(scene, "web")
    scene.patch("web", {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 600}}}})
    owners = [
        who for who, what in managers(scene, "web").items() if "f:terminationGracePeriodSeconds" in what
    ]
    assert owners == ["kubectl-patch"]
    with scene.operator():
        scene.delete_policy()
        scene.wait_rolled_out("web")
    assert pod_of(scene.deployment("web"))["terminationGracePeriodSeconds"] == 600


def test_a_write_is_one_patch_that_rolls_out_one_that_lets_go_and_one_event(scene: Scene) -> None:
    body = manifest(scene, "web")
    scene.apply(service_of(body))
    scene.apply(body)
    scene.wait_rolled_out("web")
    mark = scene.lab.audit.mark()
    with scene.operator():
        scene.policy(deployments={"dnsConfig": {}})
        scene.wait_compliant()
        settle(3)
    written = scene.writes(mark, namespace=scene.namespace)
    assert [(one.verb, one.code, one.response_object["metadata"].get("generation")) for one in written] == [
        ("patch", 200, 2),
        ("patch", 200, 2),
        ("create", 201, None),
    ]
    assert [one.resource for one in written] == ["deployments", "deployments", "events"]


ORDERS = (
    ("rabbitmq", "rabbitmq-exporter"),
    ("rabbitmq-exporter", "rabbitmq"),
    ("web-10", "web-1", "web"),
    ("10", "1", "0"),
    ("a-a", "b", "a", "a-a-a"),
)


def test_containers_keep_their_order_and_what_is_given_back_is_the_first_replica_set(scene: Scene) -> None:
    bodies = [manifest(scene, f"d{number}", names) for number, names in enumerate(ORDERS)]
    names = [body["metadata"]["name"] for body in bodies]
    for body in bodies:
        scene.apply(service_of(body))
        scene.apply(body)
    scene.wait_rolled_out(*names)
    before, first = scene.deployments(), running(scene)
    with scene.operator():
        scene.policy(onRelease="Revert", deployments=RULES)
        scene.wait_compliant()
        found = [tuple(one["name"] for one in scene.pod_spec(name)["containers"]) for name in names]
        assert found == [*ORDERS]
        assert not running(scene) & first, "each was rolled out"
        scene.delete_policy()
        scene.wait_rolled_out(*names)
    assert {name: body["spec"] for name, body in scene.deployments().items()} == {
        name: body["spec"] for name, body in before.items()
    }
    assert running(scene) == first


def running(scene: Scene) -> set[str]:
    """Names of the ReplicaSets that are to have pods."""
    every = scene.query(pykube.ReplicaSet, scene.namespace)
    return {one.name for one in every if one.obj["spec"]["replicas"]}


# What an earlier version wrote


def test_what_an_earlier_version_applied_is_let_go_of_without_a_rollout_and_given_back(scene: Scene) -> None:
    before, _ = applied_by_the_earlier_version(scene)
    applied = scene.deployment("web")
    with scene.operator():
        scene.policy(onRelease="Revert", deployments=RULES)
        scene.wait(lambda: AGENT not in managers(scene, "web"), "let go of")
        scene.wait_compliant()
        after = scene.deployment("web")
        assert (after["spec"], after["metadata"]["generation"]) == (
            applied["spec"],
            applied["metadata"]["generation"],
        )
        scene.delete_policy()
        scene.wait_rolled_out("web")
    nothing_is_left(scene, before)


def test_what_an_earlier_version_applied_is_given_back_where_its_policy_goes_meanwhile(scene: Scene) -> None:
    before, policy = applied_by_the_earlier_version(scene)
    held = {"metadata": {"finalizers": ["resilience.dev/release"]}, "spec": {"suspend": False}}
    scene.lab.kubectl("patch", "rp", policy, "--type=merge", "-p", json.dumps(held))
    scene.delete_policy(wait=False)
    with scene.operator():
        found = scene.query(ResiliencePolicy)
        scene.wait(lambda: found.get_or_none(name=policy) is None, "the policy is gone")
        scene.wait_rolled_out("web")
    nothing_is_left(scene, before)


def applied_by_the_earlier_version(scene: Scene) -> tuple[Body, str]:
    """Deployment web as the version before left it, for a policy that is suspended: (its spec before, the policy)."""
    recorded: Body = json.loads((ROOT / "tests" / "objects" / "deployment-applied.json").read_text())
    body = workload(scene.namespace, "web")
    pod_of(body)["containers"].insert(0, {"name": "metrics", "image": "shop/metrics:1"})
    scene.apply(service(scene.namespace, "web"))
    scene.apply(body)
    scene.wait_rolled_out("web")
    before = scene.spec("web")
    policy = scene.policy(suspend=True, onRelease="Revert", deployments=RULES)
    apply_recorded(scene, recorded, policy)
    scene.wait_rolled_out("web")
    assert pod_of(scene.deployment("web")) == pod_of(recorded)
    assert AGENT in managers(scene, "web")
    return before, policy


def apply_recorded(scene: Scene, recorded: Body, policy: str) -> None:
    """A server-side apply with force of all leaves and the state annotation, for this object and this policy."""
    state = json.loads(recorded["metadata"]["annotations"][STATE])
    (known,) = state["policies"]
    uid = scene.query(ResiliencePolicy).get_by_name(policy).obj["metadata"]["uid"]
    text = recorded["metadata"]["annotations"][STATE].replace(known, uid)
    text = text.replace(state["uid"], scene.deployment("web")["metadata"]["uid"])
    pod = pod_of(recorded)
    names = ("dnsConfig", "terminationGracePeriodSeconds", "topologySpreadConstraints")
    hooks = [
        {key: one[key] for key in ("name", "lifecycle")} for one in pod["containers"] if "lifecycle" in one
    ]
    spec = {"template": {"spec": {**{name: pod[name] for name in names}, "containers": hooks}}}
    scene.server_side_apply("web", spec, AGENT, {STATE: text})


def nothing_is_left(scene: Scene, before: Body) -> None:
    """The values from before stand; only the earlier version's apply had moved the containers that it named first."""
    after = scene.deployment("web")
    assert by_name(after["spec"]) == by_name(before)
    assert STATE not in after["metadata"]["annotations"]
    assert AGENT not in managers(scene, "web")


def by_name(spec: Body) -> Body:
    """With the containers by their name."""
    pod_of({"spec": spec})["containers"].sort(key=lambda one: str(one["name"]))
    return spec
