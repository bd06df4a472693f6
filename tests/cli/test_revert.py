"""`revert`: what it finds, in which order it gives that back, what it asks before, and which opt-outs it writes."""

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any

import jsonpatch
import pytest

from resilience_operator.api.write import Writer
from resilience_operator.cli import giving_back
from resilience_operator.cli.giving_back import give_back, opt_out_ops
from resilience_operator.cli.held import Step, around, everything, orphans, uids_of
from resilience_operator.cli.naming import key_named, named
from resilience_operator.cli.nodes_back import proposed, states_of
from resilience_operator.cli.revert import question, refuse_while_enforcing
from resilience_operator.cli.telling import Told
from resilience_operator.core.errors import ApiError, ConfigurationError
from resilience_operator.core.paths import ABSENT
from resilience_operator.core.refs import ObjectRef
from resilience_operator.targets import KIND_BY_NAME
from tests.support.clusters import Body, budget, cluster, held, hpa, ours, policy, thing, workload
from tests.targets.nodes.cluster import TIME_WAIT, asked, node, nodes_policy, state

IGNORE = "resilience.dev/ignore"
LABEL, ANNOTATION = "/metadata/labels/resilience.dev~1ignore", "/metadata/annotations/resilience.dev~1ignore"
DNS = "spec.template.spec.dnsConfig.options"
COMMAND = "spec.template.spec.containers[name=app].command"
OPTION = [{"name": "single-request-reopen"}]
RESTING = policy("p", suspend=True, deployments={"dnsConfig": {}, "replicas": {"min": 2}})


def dns(body: Body, by: str = "p") -> Body:
    """The Deployment with a DNS option of ours, where there was nothing."""
    body["spec"]["template"]["spec"]["dnsConfig"] = {"options": OPTION}
    return held(body, ("dns-config", DNS, OPTION, ABSENT), policy=by)


def raised(body: Body, path: str, rule: str = "replicas", was: int = 1, by: str = "p") -> Body:
    """The object with a number of replicas that we raised."""
    return held(body, (rule, path, body["spec"][path.partition(".")[2]], was), policy=by)


ARGV = ["/cluster-proportional-autoscaler", "--configmap=scale-dns", "--target=deployment/coredns"]
OLD, NEW = [*ARGV, '--default-params={"linear":{"min":1}}'], [*ARGV, '--default-params={"linear":{"min":3}}']
LINEAR = '{\n  "nodesPerReplica": 2,\n  "min": 1\n}'


def cluster_dns(autoscalers: int = 1, *, pinned: bool = False) -> list[Body]:
    """CoreDNS, its CPA (with a DNS option of ours for its own sake) and the parameters of that, all changed by p."""
    scaler = workload("scale-dns", autoscalers, "kube-system", container={"command": NEW})
    scaler["spec"]["template"]["spec"]["dnsConfig"] = {"options": OPTION}
    stopped = [("coredns-floor", "spec.replicas", 0, 1)] if autoscalers == 0 else []
    argv = ("coredns-floor", COMMAND, NEW, OLD)
    coredns = workload("coredns", 4, "kube-system")
    parameters = thing("ConfigMap", "scale-dns", "kube-system", data={"linear": "{}"})
    return [
        raised(coredns, "spec.replicas", "coredns-floor", 2) if pinned else coredns,
        held(scaler, ("dns-config", DNS, OPTION, ABSENT), argv, *stopped),
        held(parameters, ("coredns-floor", "data.linear", "{}", LINEAR)),
    ]


def brief(steps: list[Step]) -> list[tuple[str, int, tuple[str, ...]]]:
    return [
        (named(*step.ref.key) + (" removed" if step.whole else ""), step.pods, step.opt_out) for step in steps
    ]


def test_each_deployment_comes_before_its_budget_and_that_before_its_floor_and_who_restarts_nothing_first() -> (
    None
):
    found = cluster(
        [RESTING, policy("q")],
        [
            dns(workload("api")),
            raised(hpa("api", 2), "spec.minReplicas"),
            ours("api-resilience", "api"),
            raised(workload("web", 2), "spec.replicas"),
            ours("web-resilience", "web"),
            raised(hpa("gone", 2), "spec.minReplicas"),
            dns(workload("of-another"), "q"),
            ours("of-another-resilience", "of-another", "q"),
            budget("foreign", "api"),
            workload("untouched"),
        ],
    )
    assert brief(everything(found, uids_of(found, "p"))) == [
        ("HorizontalPodAutoscaler shop/gone", 0, ()),
        ("shop/web", 0, ()),
        ("PodDisruptionBudget shop/web-resilience removed", 0, ()),
        ("shop/api", 3, ()),
        ("PodDisruptionBudget shop/api-resilience removed", 0, ()),
        ("HorizontalPodAutoscaler shop/api", 0, ()),
    ]


def test_the_floor_of_cluster_dns_is_given_back_wherever_it_is() -> None:
    found = cluster([RESTING], cluster_dns())
    assert brief(everything(found, uids_of(found, "p"))) == [
        ("ConfigMap kube-system/scale-dns", 0, ()),
        ("kube-system/scale-dns", 1, ()),
    ]
    steps = around(found, uids_of(found, "p"), ("kube-system", "coredns"))
    assert brief(steps) == [
        ("kube-system/coredns", 0, ("coredns-floor",)),
        ("ConfigMap kube-system/scale-dns", 0, ()),
        ("kube-system/scale-dns", 1, ()),
    ]
    assert [step.rules for step in steps] == [frozenset(), None, {"coredns-floor"}]


def test_replicas_that_an_autoscaler_decides_about_again_stay_until_it_does() -> None:
    found = cluster([RESTING], cluster_dns(0, pinned=True))
    steps = {
        str(step.ref): step
        for step in everything(found, uids_of(found, "p"))
        if step.ref.kind == "Deployment"
    }
    assert dict(steps["kube-system/coredns"].kept) == {
        "spec.replicas": "cluster-proportional-autoscaler scale-dns"
    }
    assert dict(steps["kube-system/scale-dns"].kept) == {}


def test_one_deployment_is_given_back_with_what_is_beside_it_and_opted_out_first() -> None:
    found = cluster(
        [RESTING],
        [
            dns(workload("web")),
            raised(hpa("web", 2), "spec.minReplicas"),
            ours("b", "web"),
            dns(workload("api")),
        ],
    )
    uids = uids_of(found, "p")
    assert brief(around(found, uids, ("shop", "web"))) == [
        ("shop/web", 3, ("disruption-budget", "dns-config", "replicas")),
        ("PodDisruptionBudget shop/b removed", 0, ()),
        ("HorizontalPodAutoscaler shop/web", 0, ()),
    ]
    assert brief(around(found, uids, ("shop", "web", "HorizontalPodAutoscaler"))) == [
        ("HorizontalPodAutoscaler shop/web", 0, ("replicas",))
    ]
    assert brief(around(found, uids, ("shop", "b", "PodDisruptionBudget"))) == [
        ("shop/web", 0, ("disruption-budget",)),
        ("PodDisruptionBudget shop/b removed", 0, ()),
    ]
    for key in (("shop", "none"), ("shop", "none", "PodDisruptionBudget"), ("shop", "api", "ScaledObject")):
        assert around(found, uids, key) == []


def test_what_another_policy_holds_as_well_stays() -> None:
    body = workload("web", 2)
    shared = held(body, ("replicas", "spec.replicas", 2, 1))
    text = shared["metadata"]["annotations"]["resilience.dev/state"].replace('["uid-p"]', '["uid-p","uid-q"]')
    shared["metadata"]["annotations"]["resilience.dev/state"] = text
    found = cluster([RESTING, policy("q")], [shared])
    assert everything(found, uids_of(found, "p")) == []
    left = cluster([RESTING], [shared])
    assert brief(everything(left, uids_of(left, "p"))) == [("shop/web", 0, ())], "the other one is gone"


def test_a_policy_that_is_gone_is_known_by_what_it_left_and_its_budgets_by_its_uid() -> None:
    left = cluster([], [dns(workload("web")), ours("b", "web")])
    assert brief(everything(left, uids_of(left, "p"))) == [
        ("shop/web", 3, ()),
        ("PodDisruptionBudget shop/b removed", 0, ()),
    ]
    bare = cluster([policy("q")], [workload("web"), ours("b", "web"), workload("api"), ours("c", "api", "q")])
    assert everything(bare, uids_of(bare, "p")) == []
    assert orphans(bare) == {"uid-p": 1}
    assert brief(everything(bare, uids_of(bare, "uid-p"))) == [("PodDisruptionBudget shop/b removed", 0, ())]


def test_nothing_is_given_back_that_would_be_written_again() -> None:
    (enforcing,) = cluster([policy("p", deployments={"dnsConfig": {}})], []).policies.values()
    with pytest.raises(ConfigurationError, match="it would write again what is given back"):
        refuse_while_enforcing(enforcing)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("shop/web", ("shop", "web")),
        ("deployment/shop/web", ("shop", "web")),
        ("HorizontalPodAutoscaler/shop/web", ("shop", "web", "HorizontalPodAutoscaler")),
        ("hpa/shop/web", ("shop", "web", "HorizontalPodAutoscaler")),
        ("pdb/shop/web", ("shop", "web", "PodDisruptionBudget")),
    ],
)
def test_an_object_is_named_as_kubectl_does(text: str, key: tuple[str, ...]) -> None:
    assert key_named(text) == key


@pytest.mark.parametrize("text", ["web", "shop/", "sts/shop/web", "a/b/c/d"])
def test_what_names_no_object_is_told_what_does(text: str) -> None:
    with pytest.raises(
        ConfigurationError, match="write NAMESPACE/NAME of a Deployment, or KIND/NAMESPACE/NAME"
    ):
        key_named(text)


def test_the_question_says_how_many_objects_and_how_many_pods() -> None:
    web, api = dns(workload("web")), dns(workload("api"))
    found = cluster([RESTING], [web, api, raised(hpa("web", 2), "spec.minReplicas")])
    uids = uids_of(found, "p")
    assert question(everything(found, uids)) == (
        "Give back 3 objects (shop/api, shop/web, HorizontalPodAutoscaler shop/web); up to 6 pods restart,"
        " one Deployment at a time."
    )
    assert question(around(found, uids, ("shop", "web"))) == (
        "Give back 2 objects (shop/web, HorizontalPodAutoscaler shop/web) and opt shop/web out of dns-config,"
        " replicas; up to 3 pods restart, one Deployment at a time."
    )
    alone = cluster([RESTING], [workload("web"), raised(hpa("web", 2), "spec.minReplicas")])
    assert question(around(alone, uids, ("shop", "web"))) == (
        "Give back 1 object (HorizontalPodAutoscaler shop/web) and opt shop/web out of replicas; no pod restarts."
    )
    many = cluster([RESTING], [dns(workload(f"d{number}", 1)) for number in range(7)])
    assert question(everything(many, uids)) == (
        "Give back 7 Deployments (shop/d0, shop/d1, shop/d2, shop/d3, shop/d4 and 2 more); up to 7 pods restart,"
        " one Deployment at a time."
    )


def test_nodes_are_given_back_in_the_waves_of_the_policy_also_of_one_that_is_gone() -> None:
    names = ["node-1", "node-2", "node-3"]
    states = [state(name, asked((TIME_WAIT, 60)), label="uid-p") for name in names]
    found = cluster([nodes_policy("p", suspend=True)], [*map(node, names), *states])
    uids = uids_of(found, "p")
    assert [one.metadata.name for one in states_of(found, uids)] == names
    assert question([], 3) == "Give 3 nodes back the sysctls that were there before, in waves."
    said = "waits for its wave to give back: the canary node, 0 of 3 are done"
    assert [(one.object.name, one.verb, one.waits) for one in proposed(found, uids)] == [
        ("node-1", "Update", ""),
        ("node-2", "Update", said),
        ("node-3", "Update", said),
    ]
    gone = cluster([], [*map(node, names), *states])
    assert orphans(gone) == {"uid-p": 3}
    assert [one.whole["spec"] for one in proposed(gone, frozenset({"uid-p"}))] == [
        asked(release="Revert")
    ] * 3
    others = cluster([nodes_policy("p", suspend=True), nodes_policy("q")], [*map(node, names), *states])
    assert list(proposed(others, uids)) == [], "policy q asks for it"


async def test_what_was_given_back_is_told_by_an_event_on_the_object(monkeypatch: pytest.MonkeyPatch) -> None:
    found = cluster([RESTING], [dns(workload("web"))])
    server = Server([dns(workload("web"))])
    steps = around(found, uids_of(found, "p"), ("shop", "web"))
    assert await reverted(server, steps, monkeypatch) == 0
    (event,) = server.events
    assert (event["reason"], event["type"], event["regarding"]["name"], event["note"]) == (
        "Reverted",
        "Normal",
        "web",
        "policy p: gave back dnsConfig.options; opted out of dns-config (kubectl resilience revert)",
    )


DOES_NOT_FIT = "the server rejected our request due to an error in our request"


class Server:
    """Objects by path, changed by JSON patches and deletions; `before` may change one just before a write."""

    def __init__(self, objects: list[Body], before: Callable[["Server", str], None] | None = None) -> None:
        self.objects = {_path(body): copy.deepcopy(body) for body in objects}
        self.written: list[str] = []
        self.events: list[Body] = []
        self._before = before

    def touch(self, path: str) -> None:
        """Somebody writes the object: a status, for instance."""
        meta = self.objects[path]["metadata"]
        meta["resourceVersion"] = str(int(meta["resourceVersion"]) + 1)

    async def request(self, method: str, path: str, *, body: bytes | None = None, **_: Any) -> bytes:
        """GET, PATCH and DELETE as the API server does them, as far as revert can tell."""
        if method == "POST" and path.endswith("/events"):
            self.events.append(json.loads(body or b""))
            return b"{}"
        if path not in self.objects:
            raise ApiError(404, "NotFound", "not found")
        if method != "GET" and self._before is not None:
            self._before(self, path)
        known = self.objects[path]
        if method == "PATCH":
            try:
                self.objects[path] = _patched(known, json.loads(body or b""))
            except jsonpatch.JsonPatchTestFailed as error:
                raise ApiError(422, "Invalid", DOES_NOT_FIT) from error
            self.touch(path)
            self._roll_out(self.objects[path])
        if method == "DELETE":
            assert json.loads(body or b"")["preconditions"] == {"uid": known["metadata"]["uid"]}
            del self.objects[path]
        if method != "GET":
            self.written.append(path.rpartition("/")[2])
        return json.dumps(self.objects.get(path, {"metadata": {}})).encode()

    def _roll_out(self, body: Body) -> None:
        if body["kind"] == "Deployment":
            names = ("replicas", "updatedReplicas", "availableReplicas")
            counts = dict.fromkeys(names, body["spec"]["replicas"])
            body["status"] = {"observedGeneration": body["metadata"]["generation"], **counts}

    def at(self, body: Body) -> Body:
        """An object as it is now."""
        return self.objects[_path(body)]


def _patched(known: Body, patch: Any) -> Body:
    """By a JSON patch, or by a merge patch of annotations."""
    if isinstance(patch, list):
        patched: Body = jsonpatch.apply_patch(known, patch)
        return patched
    assert patch["metadata"]["uid"] == known["metadata"]["uid"]
    annotations = {**known["metadata"].get("annotations", {}), **patch["metadata"]["annotations"]}
    return known | {"metadata": known["metadata"] | {"annotations": annotations}}


def _path(body: Body) -> str:
    meta = body["metadata"]
    return KIND_BY_NAME[body["kind"]].path(meta["namespace"], meta["name"])


async def reverted(server: Server, steps: list[Step], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(giving_back, "HEARD_SECONDS", 0.0)
    client: Any = server
    told = Told(client, ObjectRef("resilience.dev/v1alpha1", "ResiliencePolicy", "", "p"))
    return await give_back(Writer(client, lambda: None, lambda kind, raw: None), steps, told)


def traces(body: Mapping[str, Any]) -> list[str]:
    """What is left of us on an object."""
    meta = body["metadata"]
    managers = [entry["manager"] for entry in meta.get("managedFields", [])]
    return [*managers, *(key for key in meta.get("annotations", {}) if key.endswith("/state"))]


async def test_every_kind_is_as_it_was_and_bears_no_trace_of_us(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keda = thing("ScaledObject", "job", spec={"scaleTargetRef": {"name": "job"}, "minReplicaCount": 2})
    objects = [
        *cluster_dns(0, pinned=True),
        raised(workload("web", 2), "spec.replicas"),
        ours("web-resilience", "web"),
        workload("api", 2),
        raised(hpa("api", 2), "spec.minReplicas"),
        workload("job", 2),
        held(keda, ("replicas", "spec.minReplicaCount", 2, ABSENT)),
    ]
    found, server = cluster([RESTING], objects), Server(objects)
    assert await reverted(server, everything(found, uids_of(found, "p")), monkeypatch) == 0
    coredns, scaler, parameters, web, removed, _, autoscaler, _, scaled_object = objects
    assert _path(removed) not in server.objects
    assert server.at(parameters)["data"] == {"linear": LINEAR}
    assert server.at(web)["spec"] == workload("web", 2)["spec"] | {"replicas": 1}
    assert server.at(autoscaler)["spec"] == hpa("api", 1)["spec"]
    assert server.at(scaled_object)["spec"] == {"scaleTargetRef": {"name": "job"}}
    assert server.at(scaler)["spec"] == workload("x", 1, container={"command": OLD})["spec"] | {
        "selector": scaler["spec"]["selector"],
        "template": {
            "metadata": scaler["spec"]["template"]["metadata"],
            "spec": {"containers": [{"name": "app", "image": "app:1", "command": OLD}]},
        },
    }
    assert server.at(coredns)["spec"]["replicas"] == 4
    assert [trace for body in server.objects.values() for trace in traces(body)] == []
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        "kube-system/coredns",
        "ConfigMap kube-system/scale-dns",
        "kube-system/scale-dns",
        "HorizontalPodAutoscaler shop/api",
        "ScaledObject shop/job",
        "shop/web",
        "PodDisruptionBudget shop/web-resilience",
    ]


async def test_one_object_is_opted_out_before_anything_beside_it_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    objects = [workload("web"), raised(hpa("web", 2), "spec.minReplicas"), ours("b", "web")]
    found, server = cluster([policy("p", deployments={"replicas": {"min": 2}})], objects), Server(objects)
    assert await reverted(server, around(found, uids_of(found, "p"), ("shop", "web")), monkeypatch) == 0
    web = server.at(objects[0])
    assert web["metadata"]["annotations"] == {IGNORE: "disruption-budget,replicas"}
    assert web["spec"] == objects[0]["spec"]
    assert server.at(objects[1])["spec"]["minReplicas"] == 1
    assert IGNORE not in server.at(objects[1])["metadata"].get("labels", {})
    assert server.written == ["web", "b", "web", "web"]


async def test_a_status_that_was_faster_is_no_reason_to_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = [workload("web"), raised(hpa("web", 2), "spec.minReplicas"), ours("b", "web")]
    busy = {_path(body): 2 for body in objects[1:]}

    def status(server: Server, path: str) -> None:
        if busy.get(path, 0):
            busy[path] -= 1
            server.touch(path)

    found, server = cluster([RESTING], objects), Server(objects, status)
    assert await reverted(server, everything(found, uids_of(found, "p")), monkeypatch) == 0
    assert server.at(objects[1])["spec"]["minReplicas"] == 1
    assert _path(objects[2]) not in server.objects


async def test_what_changed_hands_since_it_was_found_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = [workload("web"), raised(hpa("web", 2), "spec.minReplicas"), ours("b", "web"), ours("c", "web")]
    found = cluster([RESTING], objects)
    steps = everything(found, uids_of(found, "p"))
    objects[1]["spec"]["minReplicas"] = 5
    objects[2]["metadata"]["labels"]["resilience.dev/policy"] = "uid-q"
    server = Server(objects[:3])
    assert await reverted(server, steps, monkeypatch) == 0
    assert server.at(objects[1])["spec"]["minReplicas"] == 5
    assert traces(server.at(objects[1])) == []
    assert _path(objects[2]) in server.objects
    assert capsys.readouterr().out.splitlines() == [
        "PodDisruptionBudget shop/b: nothing to give back: it is another policy's by now (1 of 3)",
        "PodDisruptionBudget shop/c: nothing to give back: not found (2 of 3)",
        "HorizontalPodAutoscaler shop/web: spec.minReplicas is somebody else's by now: left alone (3 of 3)",
    ]


@pytest.mark.parametrize(
    ("labels", "annotations", "rules", "ops"),
    [
        ({}, {}, ["spread"], [("/metadata/labels", {IGNORE: "spread"})]),
        ({"app": "web"}, {}, ["spread"], [(LABEL, "spread")]),
        ({IGNORE: "spread"}, {}, ["spread"], []),
        ({IGNORE: "all"}, {}, ["spread", "dns-config"], []),
        ({IGNORE: "spread"}, {"a": "b"}, ["dns-config"], [(ANNOTATION, "dns-config")]),
        (
            {IGNORE: "spread"},
            {},
            ["dns-config", "spread"],
            [("/metadata/annotations", {IGNORE: "dns-config"})],
        ),
        (
            {},
            {IGNORE: "spread"},
            ["dns-config", "graceful-shutdown"],
            [(ANNOTATION, "spread,dns-config,graceful-shutdown")],
        ),
    ],
)
def test_an_opt_out_is_added_and_none_is_lost(
    labels: dict[str, str], annotations: dict[str, str], rules: list[str], ops: list[tuple[str, Any]]
) -> None:
    raw = {"metadata": {"labels": labels, "annotations": annotations}}
    assert [(op["path"], op["value"]) for op in opt_out_ops(raw, rules)] == ops


@pytest.mark.parametrize(
    ("ignored", "left"),
    [
        pytest.param({"managedFieldsManagers": ["resilience-operator"]}, 2, id="it is Git's by now"),
        pytest.param({"jsonPointers": ["/spec/replicas"]}, 1, id="Git's never comes back"),
    ],
)
async def test_argo_cd_is_asked_to_look_at_what_was_given_back_or_let_go(
    monkeypatch: pytest.MonkeyPatch, ignored: Any, left: int
) -> None:
    tracking = {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web"}
    spec = {
        "destination": {"server": "https://kubernetes.default.svc"},
        "syncPolicy": {"syncOptions": ["ServerSideApply=true", "RespectIgnoreDifferences=true"]},
        "ignoreDifferences": [{"group": "apps", "kind": "Deployment", **ignored}],
    }
    web, application = (
        raised(workload("web", 2), "spec.replicas"),
        thing("Application", "shop", "argocd", spec=spec),
    )
    meta = web["metadata"]
    copied = {
        "manager": "argocd-controller",
        "operation": "Apply",
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
    }
    meta["annotations"] |= tracking
    meta["managedFields"].append(copied)
    found, server = cluster([RESTING], [web, application]), Server([web, application])
    assert await reverted(server, everything(found, uids_of(found, "p")), monkeypatch) == 0
    assert server.at(web)["spec"]["replicas"] == left
    managers = {one["manager"] for one in server.at(web)["metadata"]["managedFields"]}
    assert "resilience-operator" not in managers
    assert server.at(application)["metadata"]["annotations"] == {"argocd.argoproj.io/refresh": "normal"}
    assert server.written == ["web", "web", "shop"]
