"""Projections: what is kept of real objects, byte for byte as a kube-apiserver 1.36 gave them (tests/objects)."""

import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from resilience_operator.cluster.argocd import (
    Automated,
    Destination,
    IgnoredDifference,
    SyncPolicy,
)
from resilience_operator.cluster.decode import Event, Status
from resilience_operator.cluster.objects.templates import PodOS, Quantities
from resilience_operator.cluster.objects.workloads import (
    Application,
    ApplicationSpec,
    Claim,
    Condition,
    Container,
    ContainerPort,
    ContainerStatus,
    DaemonSet,
    DaemonSetSpec,
    DaemonSetStatus,
    Deployment,
    DeploymentSpec,
    DeploymentStatus,
    Lifecycle,
    Meta,
    Namespace,
    Node,
    NodeStatus,
    NodeSystemInfo,
    OwnerReference,
    PersistentVolumeClaim,
    Pod,
    PodDisruptionBudget,
    PodDNSConfig,
    PodDNSOption,
    PodPlacement,
    PodSpec,
    PodStatus,
    PodTemplate,
    ReplicaSet,
    ReplicaSetSpec,
    ResourceRequirements,
    RollingUpdate,
    Selector,
    Service,
    ServicePort,
    ServiceSpec,
    Strategy,
    TemplateMeta,
    Toleration,
    TopologySpreadConstraint,
    Volume,
    VolumeClaim,
    VolumeClaimSpec,
)
from resilience_operator.core.errors import UnreadableObjectError
from resilience_operator.core.kinds import (
    APPLICATION,
    BUDGET,
    CONFIG_MAP,
    DAEMON_SET,
    DEPLOYMENT,
    HPA,
    MUTATING_WEBHOOKS,
    NAMESPACE,
    NODE,
    POD,
    REPLICA_SET,
    SCALED_OBJECT,
    SERVICE,
    VALIDATING_WEBHOOKS,
    VOLUME_CLAIM,
    Kind,
)
from resilience_operator.targets import KINDS, decode_event, decode_list, project, project_dict
from resilience_operator.targets.nodes.kinds import NODE_STATE
from resilience_operator.targets.services.callers import API_SERVICE, HTTP_ROUTE, INGRESS, Caller
from resilience_operator.targets.workloads.endpoint_slices import ENDPOINT_SLICE, EndpointSlice
from tests.support import ROOT
from tests.support.pools import emptied

OBJECTS = ROOT / "tests" / "objects"
MADE = datetime(2026, 11, 24, 17, 40, 55, tzinfo=UTC)
STAMP = "2026-11-24T17:40:55Z"
GRACE = "spec.template.spec.terminationGracePeriodSeconds"
DNS = "spec.template.spec.dnsConfig.options"
PRE_STOP = "spec.template.spec.containers[name=app].lifecycle.preStop"
SPREAD = "spec.template.spec.topologySpreadConstraints"
HOSTNAME = f"{SPREAD}[topologyKey=kubernetes.io/hostname,whenUnsatisfiable=ScheduleAnyway]"
ZONE = f"{SPREAD}[topologyKey=topology.kubernetes.io/zone,whenUnsatisfiable=ScheduleAnyway]"
DEFAULT_STRATEGY = Strategy("RollingUpdate", RollingUpdate("25%", "25%"))


def whole(constraint: str) -> list[str]:
    return [constraint, *(f"{constraint}.{field}" for field in ("maxSkew", "labelSelector"))]


def raw(name: str) -> bytes:
    return (OBJECTS / f"{name}.json").read_bytes()


def body(name: str) -> dict[str, Any]:
    return dict(json.loads(raw(name)))


def deployment(name: str) -> Deployment:
    found = project(DEPLOYMENT, raw(f"deployment-{name}"))
    assert isinstance(found, Deployment)
    return found


def test_a_deployment_of_kubectl_apply_is_kept_with_all_that_the_rules_read() -> None:
    everything = frozenset({"spec.replicas", GRACE, DNS, PRE_STOP, HOSTNAME})
    assert deployment("web") == Deployment(
        metadata=Meta(
            name="web",
            namespace="shop",
            uid="cbb01e0c-615c-424d-ad00-e69d427647a3",
            resource_version="277",
            generation=1,
            creation_timestamp=MADE,
            labels={"app": "web", "tier": "front"},
            annotations={"deployment.kubernetes.io/revision": "1"},
            annotated=True,
        ),
        spec=DeploymentSpec(
            replicas=2,
            selector=Selector({"app": "web"}),
            template=PodTemplate(
                TemplateMeta({"app": "web"}),
                PodSpec(
                    containers=(
                        Container(
                            name="app",
                            image="registry.example/web:1",
                            ports=(ContainerPort(8080, "http", "TCP"),),
                            lifecycle=Lifecycle({"exec": {"command": ["sleep", "5"]}}),
                        ),
                        Container(name="sidecar", image="registry.example/proxy:7"),
                    ),
                    termination_grace_period_seconds=60,
                    topology_spread_constraints=(
                        TopologySpreadConstraint(
                            "kubernetes.io/hostname", 1, "ScheduleAnyway", Selector({"app": "web"})
                        ),
                    ),
                    dns_config=PodDNSConfig((PodDNSOption("ndots", "2"), PodDNSOption("use-vc"))),
                    dns_policy="ClusterFirst",
                    volumes=(Volume("data", VolumeClaim("web-data")),),
                ),
            ),
            strategy=DEFAULT_STRATEGY,
            progress_deadline_seconds=600,
        ),
        status=DeploymentStatus(
            observed_generation=1,
            replicas=2,
            updated_replicas=2,
            conditions=(
                Condition(
                    "Available",
                    "False",
                    "MinimumReplicasUnavailable",
                    "Deployment does not have minimum availability.",
                    MADE,
                    MADE,
                ),
                Condition(
                    "Progressing",
                    "True",
                    "ReplicaSetUpdated",
                    'ReplicaSet "web-8db577fcf" is progressing.',
                    MADE,
                    MADE,
                ),
            ),
        ),
        claims=(
            Claim(
                "kubectl-client-side-apply",
                "Update",
                "",
                STAMP,
                everything | {*whole(HOSTNAME)},
                template=True,
            ),
        ),
        chosen=everything | {f"{GRACE}=60", "spec.replicas=2"},
    )


def test_what_a_pod_states_for_its_containers_and_its_system_is_kept_once_for_all_that_are_alike() -> None:
    stated = {"requests": {"cpu": "1", "hugepages-2Mi": "4Mi"}, "limits": {"memory": "1Gi"}}
    given = {
        "metadata": {"name": "web"},
        "spec": {"template": {"spec": {"resources": stated, "os": {"name": "linux"}}}},
    }
    kept = []
    for found in (project_dict(DEPLOYMENT, given), project_dict(DEPLOYMENT, given)):
        assert isinstance(found, Deployment)
        kept.append(found.spec.template.spec)
    assert kept[0].resources == ResourceRequirements(Quantities(cpu="1"), Quantities(memory="1Gi"))
    assert kept[0].os == PodOS("linux")
    assert (kept[0].resources is kept[1].resources, kept[0].os is kept[1].os) == (True, True)


def test_argo_cd_owns_the_default_grace_period_but_chose_only_what_stands_in_git() -> None:
    found = deployment("argo")
    assert (found.claims, found.chosen) == (
        (
            Claim(
                "argocd-controller", "Update", "", STAMP, frozenset({"spec.replicas", GRACE}), template=True
            ),
        ),
        frozenset({"spec.replicas", "spec.replicas=3"}),
    )
    assert found.metadata.annotations == {
        "argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/argo",
        "deployment.kubernetes.io/revision": "1",
    }


def test_a_server_side_apply_owns_what_it_sent_and_nothing_of_the_defaults() -> None:
    found = deployment("ssa")
    assert [(claim.manager, claim.operation, claim.leaves) for claim in found.claims] == [
        ("flux", "Apply", frozenset())
    ]
    assert found.chosen == frozenset()


def test_our_own_apply_beside_helm_is_seen_leaf_by_leaf_and_owns_the_state() -> None:
    found, ours = deployment("helm"), frozenset({PRE_STOP, DNS, *whole(ZONE)})
    assert found.claims == (
        Claim("resilience-operator", "Apply", "", STAMP, ours, state=True, template=True),
        Claim("helm", "Update", "", STAMP, frozenset({"spec.replicas", GRACE}), template=True),
    )
    assert set(found.metadata.annotations) == {
        "deployment.kubernetes.io/revision",
        "meta.helm.sh/release-name",
        "meta.helm.sh/release-namespace",
        "resilience.dev/state",
    }


def test_the_scale_subresource_owns_replicas_of_an_object_whose_manager_left_them_out() -> None:
    changed = body("deployment-ssa")
    changed["metadata"]["managedFields"].append(
        {
            "manager": "kubectl",
            "operation": "Update",
            "subresource": "scale",
            "time": STAMP,
            "fieldsV1": {"f:spec": {"f:replicas": {}}},
        }
    )
    found = project(DEPLOYMENT, json.dumps(changed).encode())
    assert isinstance(found, Deployment)
    assert found.claims[-1] == Claim("kubectl", "Update", "scale", STAMP, frozenset({"spec.replicas"}))


def test_who_owns_a_part_of_a_hook_or_of_a_constraint_owns_the_leaf() -> None:
    changed = body("deployment-ssa")
    pod_fields = {
        "f:containers": {
            'k:{"name":"app"}': {"f:lifecycle": {"f:preStop": {"f:exec": {"f:command": {}}}}},
            'k:{"name":"other"}': {".": {}, "f:lifecycle": {}},
        },
        "f:topologySpreadConstraints": {
            ".": {},
            'k:{"topologyKey":"kubernetes.io/hostname","whenUnsatisfiable":"ScheduleAnyway"}': {
                "f:maxSkew": {}
            },
        },
        "f:dnsConfig": {"f:nameservers": {}},
    }
    changed["metadata"]["managedFields"] = [
        {
            "manager": "vi",
            "operation": "Update",
            "fieldsV1": {"f:spec": {"f:template": {"f:spec": pod_fields}}},
        }
    ]
    found = project(DEPLOYMENT, json.dumps(changed).encode())
    assert isinstance(found, Deployment)
    owned = {PRE_STOP, HOSTNAME, f"{HOSTNAME}.maxSkew"}
    assert found.claims == (Claim("vi", "Update", leaves=frozenset(owned), template=True),)


@pytest.mark.parametrize(
    ("last_applied", "chosen"),
    [
        ("{}", frozenset()),
        ('{"spec": null}', frozenset()),
        (
            '{"spec":{"replicas":null,"template":{"spec":{"terminationGracePeriodSeconds":0}}}}',
            frozenset({GRACE, f"{GRACE}=0"}),
        ),
        (
            '{"spec":{"template":{"spec":{"containers":[{"name":"app","lifecycle":{"preStop":null}}]}}}}',
            frozenset(),
        ),
        ("{ not json", frozenset({"spec.replicas", GRACE})),
        ('{"spec":{"template":{"spec":{"containers":"app"}}}}', frozenset({"spec.replicas", GRACE})),
    ],
)
def test_what_was_chosen_is_read_from_last_applied_and_unreadable_means_all_that_is_owned(
    last_applied: str, chosen: frozenset[str]
) -> None:
    changed = body("deployment-argo")
    changed["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = last_applied
    found = project(DEPLOYMENT, json.dumps(changed).encode())
    assert isinstance(found, Deployment)
    assert found.chosen == chosen


def test_a_running_pod_is_kept_with_owner_place_readiness_and_restarts() -> None:
    owner = OwnerReference(
        "ReplicaSet", "ssa-56d4f87bb9", "81da7479-ba68-43a5-a567-44c8244370fa", "apps/v1", controller=True
    )
    assert project(POD, raw("pod-ssa")) == Pod(
        metadata=Meta(
            name="ssa-56d4f87bb9-qzh2l",
            namespace="shop",
            uid="7f97d6fe-3ebe-48fc-8f1a-712f28d5ee83",
            resource_version="396",
            generation=1,
            creation_timestamp=MADE,
            labels={
                "app": "ssa",
                "pod-template-hash": "56d4f87bb9",
                "topology.kubernetes.io/region": "lab",
                "topology.kubernetes.io/zone": "zone-a",
            },
            owner_references=(owner,),
        ),
        spec=PodPlacement("node-1"),
        status=PodStatus(
            "Running",
            (Condition("Ready", "True", last_transition_time=MADE),),
            (ContainerStatus("app"),),
        ),
    )


def test_a_pod_that_cannot_be_placed_says_why() -> None:
    found = project(POD, raw("pod-web-pending"))
    assert isinstance(found, Pod)
    assert found.status == PodStatus(
        "Pending",
        (
            Condition(
                "PodScheduled",
                "False",
                "Unschedulable",
                "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found",
                last_transition_time=MADE,
            ),
        ),
    )


def test_a_replica_set_is_kept_with_revision_state_hash_owner_and_size() -> None:
    found = project(REPLICA_SET, raw("replicaset-helm"))
    assert isinstance(found, ReplicaSet)
    assert found == ReplicaSet(
        metadata=Meta(
            name="helm-6d9d547dc8",
            namespace="shop",
            uid="2174df99-389f-48a4-a033-0bce9f0a26f8",
            resource_version="380",
            generation=1,
            creation_timestamp=MADE,
            labels={"pod-template-hash": "6d9d547dc8"},
            annotations={
                "deployment.kubernetes.io/revision": "2",
                "resilience.dev/state": deployment("helm").metadata.annotations["resilience.dev/state"],
            },
            annotated=True,
            owner_references=(
                OwnerReference(
                    "Deployment", "helm", "79226443-c89b-42cb-8917-b6edf432eda3", "apps/v1", controller=True
                ),
            ),
        ),
        spec=ReplicaSetSpec(1),
    )
    assert (found.revision, found.template_hash) == (2, "6d9d547dc8")


def test_services_namespaces_nodes_and_claims_are_kept_by_what_matters_of_them() -> None:
    service = project(SERVICE, raw("service-web"))
    namespace = project(NAMESPACE, raw("namespace-shop"))
    claim = project(VOLUME_CLAIM, raw("claim-web-data"))
    node = project(NODE, raw("node"))
    assert isinstance(service, Service)
    assert isinstance(namespace, Namespace)
    assert isinstance(claim, PersistentVolumeClaim)
    assert isinstance(node, Node)
    assert service.spec == ServiceSpec(
        "ClusterIP",
        {"app": "web"},
        (ServicePort(port=80, target_port="http", protocol="TCP"),),
        "10.96.231.188",
    )
    assert namespace.metadata.labels == {"kubernetes.io/metadata.name": "shop", "team": "checkout"}
    assert namespace.metadata.annotations == {"resilience.dev/ignore": "spread"}
    assert claim.spec == VolumeClaimSpec(("ReadWriteOnce",))
    assert node.metadata.labels["topology.kubernetes.io/zone"] == "zone-a"
    assert node.status == NodeStatus(
        (
            Condition(
                "Ready",
                "True",
                "KubeletReady",
                "kubelet is posting ready status",
                last_transition_time=MADE - timedelta(seconds=1),
            ),
        ),
        {"cpu": "4"},
        NodeSystemInfo("kwok-0.8.0"),
    )


CACHE_MADE = datetime(2026, 11, 25, 19, 53, 5, tzinfo=UTC)


def test_of_daemon_sets_the_template_of_the_dns_cache_is_kept_and_of_others_the_name() -> None:
    found = project(DAEMON_SET, raw("daemonset-cache"))
    assert isinstance(found, DaemonSet)
    assert found == DaemonSet(
        Meta(
            name="node-local-dns",
            namespace="kube-system",
            uid="fe56cc83-39dc-46e7-9237-54fbeafc8e7a",
            resource_version="323",
            generation=1,
            creation_timestamp=CACHE_MADE,
            labels={"k8s-app": "node-local-dns"},
            annotated=True,
        ),
        found.spec,
        DaemonSetStatus(2, 2),
    )
    pod = found.spec.template.spec
    assert (found.spec.template.metadata.labels, pod.node_selector, pod.tolerations) == (
        {"k8s-app": "node-local-dns"},
        {"kubernetes.io/os": "linux"},
        (
            Toleration("CriticalAddonsOnly", "Exists"),
            Toleration(operator="Exists", effect="NoExecute"),
            Toleration(operator="Exists", effect="NoSchedule"),
        ),
    )
    assert pod.containers[0].argv == (
        *("-localip", "169.254.20.10,10.96.253.54", "-conf", "/etc/Corefile"),
        *("-upstreamsvc", "kube-dns-upstream"),
    )
    other = json.loads(raw("daemonset-cache").replace(b"node-local-dns", b"kube-proxy"))
    kept = project_dict(DAEMON_SET, other)
    assert isinstance(kept, DaemonSet)
    assert (kept.metadata.name, kept.spec, kept.status) == (
        "kube-proxy",
        DaemonSetSpec(),
        DaemonSetStatus(2, 2),
    )


FILES: list[tuple[Kind, str]] = [
    (DEPLOYMENT, "deployment-web"),
    (DEPLOYMENT, "deployment-helm"),
    (REPLICA_SET, "replicaset-helm"),
    (POD, "pod-ssa"),
    (SERVICE, "service-web"),
    (NAMESPACE, "namespace-shop"),
    (NODE, "node"),
    (VOLUME_CLAIM, "claim-web-data"),
    (HPA, "hpa-web"),
    (SCALED_OBJECT, "scaledobject-worker"),
    (CONFIG_MAP, "configmap-autoscaler"),
    (BUDGET, "budget-web"),
    (DAEMON_SET, "daemonset-cache"),
    (SERVICE, "service-kube-dns"),
    (APPLICATION, "application-shop"),
    (NODE_STATE, "nodestate-node-1"),
    (VALIDATING_WEBHOOKS, "validating-guard"),
    (MUTATING_WEBHOOKS, "mutating-guard"),
    (ENDPOINT_SLICE, "endpointslice-guard"),
    (ENDPOINT_SLICE, "endpointslice-web"),
    (ENDPOINT_SLICE, "endpointslice-empty"),
    (INGRESS, "ingress-front"),
    (HTTP_ROUTE, "httproute-shop"),
    (API_SERVICE, "apiservice-metrics"),
    (API_SERVICE, "apiservice-local"),
]


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_an_object_is_the_same_from_a_request_a_list_an_event_and_a_file(kind: Kind, name: str) -> None:
    found = project(kind, raw(name))
    listed = b'{"kind":"%sList","metadata":{"resourceVersion":"7","continue":"next"},"items":[%s]}' % (
        kind.kind.encode(),
        raw(name),
    )
    event = b'{"type":"MODIFIED","object":%s}' % raw(name)
    assert decode_list(kind, listed) == ([found], "7", "next")
    assert decode_event(kind, event) == Event("MODIFIED", found.metadata.resource_version, found)
    assert project_dict(kind, body(name)) == found


def test_of_an_application_is_kept_how_it_syncs_and_not_what_it_synced() -> None:
    assert project(APPLICATION, raw("application-shop")) == Application(
        metadata=Meta(
            name="shop",
            namespace="argocd",
            uid="5b0f7f0e-8f0b-4d0a-9d0e-0f3b6f1f5a01",
            resource_version="4711",
            generation=7,
            creation_timestamp=datetime(2026, 11, 20, 9, tzinfo=UTC),
            annotated=True,
        ),
        spec=ApplicationSpec(
            SyncPolicy(Automated(self_heal=True), ("ServerSideApply=true", "RespectIgnoreDifferences=true")),
            (
                IgnoredDifference("apps", "Deployment", json_pointers=("/spec/replicas",)),
                IgnoredDifference("*", "*", json_pointers=("/metadata/labels/owner",)),
            ),
            Destination("https://kubernetes.default.svc"),
        ),
    )


def small(name: str, namespace: str) -> Meta:
    """What is kept of metadata where only the place of an object matters."""
    return Meta(name=name, namespace=namespace, uid=f"uid-{name}", resource_version="362")


def test_of_an_endpoint_slice_is_kept_how_many_are_ready_and_which_ports_it_serves() -> None:
    """Two are ready: of one nothing is said. The lists of an empty slice are null."""
    keeper = "endpointslice-controller.k8s.io"
    changed = datetime(2026, 11, 24, 17, 41, 2, tzinfo=UTC)
    assert project(ENDPOINT_SLICE, raw("endpointslice-web")) == EndpointSlice(
        small("web-x7k2p", "shop"), "web", 2, keeper, ("http",), changed
    )
    assert project(ENDPOINT_SLICE, raw("endpointslice-empty")) == EndpointSlice(
        small("api-2b9zq", "shop"), "api", keeper=keeper
    )


def test_of_what_points_to_services_is_kept_to_which() -> None:
    assert [project(kind, raw(name)) for kind, name in FILES[-4:]] == [
        Caller(small("front", "shop"), "Ingress", (("shop", "web"), ("shop", "api"))),
        Caller(small("shop", "edge"), "HTTPRoute", (("shop", "web"),)),
        Caller(small("v1beta1.metrics.k8s.io", ""), "APIService", (("kube-system", "metrics-server"),)),
        Caller(small("v1.apps", ""), "APIService"),
    ]


def test_every_watched_kind_has_a_projection() -> None:
    assert {kind for kind, _ in FILES} == set(KINDS)


def test_a_bookmark_has_a_version_and_an_error_a_status() -> None:
    # as the API server sends it of a Deployment: an object that it would refuse
    bookmark = (
        b'{"type":"BOOKMARK","object":{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"resourceVersion":'
        b'"12","creationTimestamp":null},"spec":{"selector":null,"template":{"metadata":{"creationTimestamp":null},'
        b'"spec":{"containers":null}},"strategy":{}},"status":{}}}'
    )
    expired = (
        b'{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
        b'"message":"too old resource version","reason":"Expired","code":410}}'
    )
    for kind in KINDS:
        assert decode_event(kind, bookmark) == Event("BOOKMARK", "12")
        assert decode_event(kind, expired) == Event(
            "ERROR", status=Status(410, "Expired", "too old resource version")
        )


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b'{"type":"ADDED"}',
        b'{"type":"RENAMED","object":{"metadata":{"name":"a"}}}',
        b'{"type":"ADDED","object":{"metadata":{"name":7}}}',
        b'{"type":"ADDED","object":{"metadata":{"name":"\xff"}}}',
    ],
)
def test_a_line_that_is_no_event_is_an_error_and_never_an_object(line: bytes) -> None:
    with pytest.raises(UnreadableObjectError, match="watch of Pod gave a line that cannot be read"):
        decode_event(POD, line)


def test_a_file_may_leave_fields_empty_and_is_refused_with_the_path_of_what_is_wrong() -> None:
    bare = {"metadata": {"name": "web", "labels": None}, "spec": {"replicas": None, "template": None}}
    assert project_dict(DEPLOYMENT, bare) == Deployment(Meta("web"))
    with pytest.raises(UnreadableObjectError, match=r"refuse this Deployment: .*`\$\.spec\.replicas`"):
        project_dict(DEPLOYMENT, {"metadata": {"name": "web"}, "spec": {"replicas": "two"}})


def test_dates_that_a_yaml_parser_made_are_read_as_the_text_they_were() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - as PyYAML gives it
    found = project_dict(NAMESPACE, {"metadata": {"name": "shop", "creationTimestamp": at}})
    assert found.metadata.creation_timestamp == at.replace(tzinfo=UTC)


def grown(kind: Kind, template: dict[str, Any], count: int) -> float:
    """Bytes per object that stay when so many like it, each with names of its own, were decoded from one list."""
    items = []
    for number in range(count):
        item = json.loads(json.dumps(template).replace("ssa", f"app{number // 3}"))
        item["metadata"] |= {
            "name": f"object-{number}",
            "uid": f"{number:036}",
            "resourceVersion": str(10**6 + number),
        }
        items.append(item)
    listed = json.dumps({"metadata": {}, "items": items}).encode()
    emptied()
    tracemalloc.start()
    try:
        kept = decode_list(kind, listed)
        return tracemalloc.get_traced_memory()[0] / len(kept[0])
    finally:
        tracemalloc.stop()


def test_ten_thousand_objects_fit_a_deployment_takes_under_4_kib_and_a_pod_under_1_kib() -> None:
    assert grown(DEPLOYMENT, body("deployment-web"), 300) < 4096
    assert grown(POD, body("pod-ssa"), 1500) < 1024


def test_of_a_budget_that_we_made_it_is_known_who_set_what_and_of_others_it_is_not() -> None:
    body = json.loads(raw("budget-web"))
    assert isinstance(theirs := project(BUDGET, json.dumps(body).encode()), PodDisruptionBudget)
    assert theirs.claims == ()
    labels = {"app.kubernetes.io/managed-by": "resilience-operator", "resilience.dev/policy": "p-1"}
    owners = [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d-1"}]
    body["metadata"] |= {"labels": labels, "ownerReferences": owners}
    assert isinstance(ours := project(BUDGET, json.dumps(body).encode()), PodDisruptionBudget)
    assert [(claim.manager, claim.operation, claim.leaves) for claim in ours.claims] == [
        ("kubectl-client-side-apply", "Update", frozenset({"spec.maxUnavailable", "spec.selector"}))
    ]
