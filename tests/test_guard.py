"""The API server's guard over the operator's user: what a stolen token, whatever its rights, cannot do.

The operator's ServiceAccount is made administrator of the whole cluster here, so that what is refused is refused
by the guard and not for want of a right.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pykube
import pytest
import yaml
from requests import Response

from tests.lab import Lab, start

pytestmark = pytest.mark.lab

TABLE = yaml.safe_load(Path(__file__).with_name("guarded.yaml").read_text(encoding="utf-8"))
FORBIDDEN = [
    pytest.param(patch, says, id=name)
    for says, patches in TABLE["forbidden"].items()
    for name, patch in patches.items()
]
LEAVES = TABLE["leaves"]
ACCOUNT = "resilience-system/resilience-operator"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
DRY: dict[str, str] = {"dryRun": "All"}
Object = dict[str, Any]


class Api(NamedTuple):
    """One user's requests for Deployments in a namespace."""

    client: pykube.HTTPClient
    namespace: str

    def patch(
        self, body: Any, kind: str = STRATEGIC, params: Object | None = None, name: str = "web"
    ) -> Response:
        """Patch a Deployment; a dry run unless `params` are given."""
        where = {"version": "apps/v1", "namespace": self.namespace, "url": f"deployments/{name}"}
        answer: Response = self.client.patch(
            **where,
            data=json.dumps(body),
            headers={"Content-Type": kind},
            params=DRY if params is None else params,
        )
        return answer

    def call(self, method: str, url: str, **request: Any) -> Response:
        """Any other request, in a dry run."""
        where = {"version": "apps/v1", "namespace": self.namespace, "url": url, "params": DRY}
        answer: Response = getattr(self.client, method)(**where, **request)
        return answer

    def read(self) -> Object:
        """The Deployment as it is."""
        found: Object = self.client.get(
            version="apps/v1", namespace=self.namespace, url="deployments/web"
        ).json()
        return found


def client(lab: Lab, **user: str) -> pykube.HTTPClient:
    return pykube.HTTPClient(pykube.KubeConfig.from_file(str(lab.kubeconfig(**user))))


@pytest.fixture(scope="module")
def guarded() -> Iterator[Lab]:
    """A control plane of its own with manifests/enforce, where the operator's user is administrator."""
    with start(nodes=0) as lab:
        lab.needs("users")
        lab.kubectl("apply", "-k", "manifests/enforce")
        lab.kubectl(
            *("create", "clusterrolebinding", "stolen", "--clusterrole=cluster-admin"),
            f"--serviceaccount={ACCOUNT.replace('/', ':')}",
        )
        api = deployed(lab)
        probe = {"metadata": {"labels": {"probe": "x"}}}
        lab.wait(lambda: api.patch(probe).status_code == 422, what="the guard to be in force")
        yield lab


def deployed(lab: Lab, metadata: Object | None = None) -> Api:
    """The Deployment of the table in a new Namespace, and the operator's access to it."""
    namespace = lab.namespace()
    deployment = TABLE["deployment"] | {"metadata": TABLE["deployment"]["metadata"] | (metadata or {})}
    lab.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(deployment))
    return Api(client(lab, service_account=ACCOUNT), namespace)


@pytest.fixture(scope="module")
def operator(guarded: Lab) -> Api:
    return deployed(guarded)


@pytest.fixture(scope="module")
def person(guarded: Lab, operator: Api) -> Api:
    return Api(client(guarded), operator.namespace)


@pytest.mark.parametrize(("patch", "says"), FORBIDDEN)
def test_the_operator_cannot(operator: Api, patch: Object, says: str) -> None:
    answer = operator.patch(patch)
    assert answer.status_code == 422, answer.text
    assert "ValidatingAdmissionPolicy 'resilience-operator-leaves'" in answer.json()["message"]
    assert says in answer.json()["message"]


@pytest.mark.parametrize(("patch", "says"), FORBIDDEN)
def test_somebody_else_can(person: Api, patch: Object, says: str) -> None:
    answer = person.patch(patch)
    assert "ValidatingAdmissionPolicy" not in answer.text, says


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("post", "deployments", TABLE["deployment"] | {"metadata": {"name": "new"}}),
        ("delete", "deployments/web", None),
        ("delete", "deployments", None),
        ("patch", "deployments/web/scale", {"spec": {"replicas": 0}}),
        ("patch", "deployments/web/status", {"status": {"replicas": 9}}),
    ],
)
def test_the_operator_cannot_create_delete_or_scale(
    operator: Api, method: str, url: str, body: Object
) -> None:
    merge = {"Content-Type": "application/merge-patch+json" if method == "patch" else "application/json"}
    answer = operator.call(method, url, data=json.dumps(body or {}), headers=merge)
    assert answer.status_code == 422, answer.text
    assert "the operator may not create, delete or scale Deployments" in answer.text


def test_an_apply_to_what_is_gone_creates_nothing(operator: Api) -> None:
    body = TABLE["deployment"] | {"metadata": {"name": "gone"}}
    answer = operator.patch(body, APPLY, DRY | {"fieldManager": "resilience-operator"}, name="gone")
    assert (answer.status_code, "may not create" in answer.text) == (422, True)


@pytest.mark.parametrize("leaf", LEAVES)
def test_the_operator_can_change_a_published_leaf(operator: Api, leaf: str) -> None:
    assert operator.patch(LEAVES[leaf]["patch"]).status_code == 200


def test_an_apply_of_all_leaves_and_their_withdrawal_pass(guarded: Lab) -> None:
    operator = deployed(guarded)
    before = operator.read()
    manager = {"fieldManager": "resilience-operator"}

    def apply() -> bool:
        return operator.patch(apply_body(operator.read()), APPLY, manager | {"force": "true"}).ok

    def withdraw() -> bool:
        return operator.patch(withdrawal(before, operator.read()), JSON_PATCH, manager).ok

    # status moves on beside us, and with it the resourceVersion that both requests bear
    guarded.wait(apply, what="the apply to pass")
    changed = operator.read()
    assert changed["spec"]["template"]["spec"]["containers"][0]["lifecycle"] == {
        "postStart": {"exec": {"command": ["warm-up"]}},
        "preStop": {"sleep": {"seconds": 15}},
    }
    assert changed["metadata"]["annotations"]["resilience.dev/state"] == "{}"
    guarded.wait(withdraw, what="the withdrawal to pass")
    after = operator.read()
    assert after["spec"] == before["spec"]
    assert without_revision(after) == without_revision(before)


def apply_body(before: Object) -> Object:
    """A server-side apply of every leaf, with the state annotation."""
    template: Object = {}
    for leaf in LEAVES.values():
        template |= leaf["patch"]["spec"]["template"]["spec"]
    identity = {name: before["metadata"][name] for name in ("name", "uid", "resourceVersion")}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": identity | {"annotations": {"resilience.dev/state": "{}"}},
        "spec": {"template": {"spec": template}},
    }


def withdrawal(before: Object, changed: Object) -> list[Object]:
    """A JSON patch that gives everything back, our entry in managedFields included."""
    managers = changed["metadata"]["managedFields"]
    ours = next(index for index, entry in enumerate(managers) if entry["manager"] == "resilience-operator")
    template = "/spec/template/spec"
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": changed["metadata"]["resourceVersion"]},
        {"op": "replace", "path": template, "value": before["spec"]["template"]["spec"]},
        {"op": "remove", "path": "/metadata/annotations/resilience.dev~1state"},
        {"op": "remove", "path": f"/metadata/managedFields/{ours}"},
    ]


def without_revision(deployment: Object) -> Object:
    annotations: Object = deployment["metadata"]["annotations"]
    return {
        key: value for key, value in annotations.items() if not key.startswith("deployment.kubernetes.io/")
    }


IGNORE, UNTIL = "resilience.dev/ignore", "resilience.dev/ignore-until"


@pytest.mark.parametrize("leaf", LEAVES)
@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {IGNORE: "all"}},
        {"annotations": {IGNORE: "probes, all"}},
        {"labels": {IGNORE: "RULE"}},
        {"annotations": {IGNORE: "probes, RULE"}},
        {"annotations": {IGNORE: "RULE", UNTIL: "next week"}},
    ],
    ids=["label-all", "annotation-all", "label", "annotation", "unreadable-end"],
)
@pytest.mark.parametrize("on_namespace", [False, True], ids=["object", "namespace"])
def test_an_opt_out_closes_the_leaves_of_its_rule(
    guarded: Lab, leaf: str, metadata: Object, on_namespace: bool
) -> None:
    rule = LEAVES[leaf]["rule"]
    said = json.loads(json.dumps(metadata).replace("RULE", rule))
    operator = opted_out(guarded, said, on_namespace)
    answer = operator.patch(LEAVES[leaf]["patch"])
    assert (answer.status_code, "is opted out of" in answer.text) == (422, True)
    other = next(each["patch"] for each in LEAVES.values() if each["rule"] != rule)
    everything = "all" in json.dumps(said)
    assert operator.patch(other).status_code == (422 if everything else 200)


@pytest.mark.parametrize("end", ["2020-01-31", "2999-12-31T18:00:00Z"])
@pytest.mark.parametrize("on_namespace", [False, True], ids=["object", "namespace"])
def test_an_opt_out_that_ends_is_left_to_the_operator(guarded: Lab, end: str, on_namespace: bool) -> None:
    operator = opted_out(guarded, {"annotations": {IGNORE: "all"}}, on_namespace)
    leaf = LEAVES["preStop"]["patch"]
    assert operator.patch(leaf).status_code == 422
    what = ["namespace", operator.namespace] if on_namespace else ["deployment", "web"]
    guarded.kubectl("annotate", "-n", operator.namespace, *what, f"{UNTIL}={end}")
    guarded.wait(lambda: operator.patch(leaf).status_code == 200, what="the guard to see the end")
    assert operator.patch({"metadata": {"annotations": {UNTIL: "2000-01-01"}}}).status_code == 422


def opted_out(lab: Lab, metadata: Object, on_namespace: bool) -> Api:
    """A Deployment that is opted out by its own metadata or by that of its Namespace."""
    own = TABLE["deployment"]["metadata"]
    if not on_namespace:
        both = {key: own[key] | metadata.get(key, {}) for key in ("labels", "annotations")}
        return deployed(lab, metadata=both)
    api = deployed(lab)
    lab.kubectl("patch", "namespace", api.namespace, "-p", json.dumps({"metadata": metadata}))
    # the API server's admission reads Namespaces from a cache that follows within moments
    lab.wait(lambda: any_refused(api), what="the guard to see the Namespace")
    return api


def any_refused(api: Api) -> bool:
    return any(api.patch(leaf["patch"]).status_code == 422 for leaf in LEAVES.values())


def test_of_a_policy_the_operator_can_change_the_finalizer_alone(guarded: Lab) -> None:
    policy = {"apiVersion": "resilience.dev/v1alpha1", "kind": "ResiliencePolicy"}
    guarded.kubectl("apply", "-f", "-", input=json.dumps(policy | {"metadata": {"name": "p"}, "spec": {}}))
    api = client(guarded, service_account=ACCOUNT)

    def patch(body: Object, subresource: str = "") -> int:
        where = {"version": "resilience.dev/v1alpha1", "url": f"resiliencepolicies/p{subresource}"}
        merge = {"Content-Type": "application/merge-patch+json"}
        answer: Response = api.patch(**where, data=json.dumps(body), headers=merge, params=DRY)
        return answer.status_code

    assert patch({"metadata": {"finalizers": ["resilience.dev/release"]}}) == 200
    assert patch({"status": {"observedGeneration": 1}}, "/status") == 200
    assert patch({"spec": {"mode": "Enforce"}}) == 422
    assert patch({"spec": {"suspend": True}}) == 422
    assert patch({"metadata": {"labels": {"new": "label"}}}) == 422
    assert patch({"metadata": {"annotations": {"new": "annotation"}}}) == 422


def test_the_operators_own_pods_come_up_under_its_own_manifests(guarded: Lab) -> None:
    pods = ("get", "pods", "-n", "resilience-system", "-o", "name")
    guarded.wait(lambda: len(guarded.kubectl(*pods).split()) == 2, what="both replicas to be admitted")
