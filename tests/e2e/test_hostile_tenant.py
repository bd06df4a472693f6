"""A tenant writes into objects of their own what no reader expects, and a real API server takes it.

The operator names those objects at once, and everybody else is served as before.
"""

import json
from collections.abc import Callable

import pytest

from tests.e2e.scene import Body, Scene, workload

DNS: Body = {"dnsConfig": {}}
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
SLOW_RESYNC = "--resync=600"


def nested(depth: int) -> str:
    return '{"x":' * depth + "1" + "}" * depth


def by_annotation(scene: Scene) -> None:
    scene.patch("evil", {"metadata": {"annotations": {LAST_APPLIED: nested(1200)}}})


def by_manager(element: str) -> Callable[[Scene], None]:
    """A managedFields entry about a container, or a constraint, of such a name."""

    def spoil(scene: Scene) -> None:
        field = "f:containers" if "name" in json.loads(element) else "f:topologySpreadConstraints"
        template: Body = {
            "f:template": {"f:spec": {field: {f"k:{element}": {"f:args": {}, "f:maxSkew": {}}}}}
        }
        entry = {
            "manager": "kubectl",
            "operation": "Update",
            "apiVersion": "apps/v1",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": template},
        }
        scene.patch("evil", {"metadata": {"managedFields": [entry]}}, "--type=merge")

    return spoil


def by_labels(scene: Scene) -> None:
    labels = {f"l{number}": "x" * 40 for number in range(6000)}
    answer = scene.api.patch(  # More than a command line takes.
        version="apps/v1",
        namespace=scene.namespace,
        url="deployments/evil",
        headers={"Content-Type": "application/merge-patch+json"},
        data=json.dumps({"metadata": {"labels": labels}}),
    )
    answer.raise_for_status()


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(by_annotation, id="last-applied 1,200 deep"),
        pytest.param(by_manager('{"topologyKey":["x"]}'), id="a list as topologyKey"),
        pytest.param(by_labels, id="6,000 labels"),
    ],
)
def test_an_object_that_cannot_be_read_is_named_at_once_and_its_neighbour_is_repaired(
    scene: Scene, spoil: Callable[[Scene], None]
) -> None:
    for name in ("evil", "victim"):
        scene.apply(workload(scene.namespace, name))
    scene.wait_rolled_out("evil", "victim")
    with scene.operator(SLOW_RESYNC) as operator:
        scene.policy(deployments=DNS)
        scene.wait_compliant()
        spoil(scene)
        scene.wait_condition("Degraded", "True")
        assert f"{scene.namespace}/evil" in scene.condition("Degraded")["message"]
        scene.patch("victim", [{"op": "remove", "path": "/spec/template/spec/dnsConfig"}], "--type=json")
        scene.wait(lambda: "dnsConfig" in scene.pod_spec("victim"), "the neighbour repaired")
        scene.wait_rolled_out("victim")
        scene.apply(workload(scene.namespace, "late"))
        scene.wait(lambda: "dnsConfig" in scene.pod_spec("late"), "a new neighbour is served")
        scene.lab.kubectl("-n", scene.namespace, "delete", "deployment", "evil", "--wait=true")
        scene.wait_condition("Degraded", "False")
        assert operator.alive()
    with scene.operator(SLOW_RESYNC):
        scene.wait_compliant()
