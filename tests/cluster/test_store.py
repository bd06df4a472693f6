"""The store: what it believes of two versions, what an event touches, and that the touched is enough."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience_operator.cluster.argocd import Automated, SyncPolicy
from resilience_operator.cluster.objects.workloads import (
    Addon,
    Application,
    ApplicationSpec,
    BudgetSpec,
    Claim,
    Condition,
    ConfigMap,
    Container,
    DaemonSet,
    DaemonSetStatus,
    Deployment,
    DeploymentSpec,
    DeploymentStatus,
    HorizontalPodAutoscaler,
    HPASpec,
    Meta,
    Namespace,
    Node,
    NodeSpec,
    NodeStatus,
    Object,
    OwnerReference,
    PersistentVolumeClaim,
    Pod,
    PodDisruptionBudget,
    PodPlacement,
    PodSpec,
    PodStatus,
    PodTemplate,
    ReplicaSet,
    ReplicaSetSpec,
    ScaledObject,
    ScaledObjectSpec,
    ScaleTarget,
    Selector,
    Service,
    ServicePort,
    ServiceSpec,
    Taint,
    TemplateMeta,
    Volume,
    VolumeClaim,
    VolumeClaimSpec,
)
from resilience_operator.cluster.store import Store
from resilience_operator.core.kinds import (
    APPLICATION,
    BUDGET,
    CONFIG_MAP,
    DAEMON_SET,
    DEPLOYMENT,
    HPA,
    NAMESPACE,
    NODE,
    POD,
    REPLICA_SET,
    SCALED_OBJECT,
    SERVICE,
    VOLUME_CLAIM,
    Kind,
)
from resilience_operator.core.refs import Key
from resilience_operator.core.state import ANNOTATION, Held, ObjectState, encode
from resilience_operator.targets import TARGETS
from resilience_operator.targets.coredns.cluster_dns import DNSNeighbours
from resilience_operator.targets.workloads.events import WorkloadViews
from resilience_operator.targets.workloads.relations import service_selects
from resilience_operator.targets.workloads.view import DeploymentView, ScalerView, View

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WORKLOADS = tuple(target for target in TARGETS if target.views is WorkloadViews)
"""The targets whose objects are Deployments, or scale one: what an event touches of others, their own tests say."""


def store_of_workloads() -> Store:
    return Store(WORKLOADS)


WEB = ("shop", "web")


def meta(
    name: str, version: int, namespace: str = "shop", uid: str = "", owner: OwnerReference | None = None
) -> Meta:
    return Meta(
        name=name,
        namespace=namespace,
        uid=uid or f"uid-{name}",
        resource_version=str(version),
        owner_references=(owner,) if owner is not None else (),
    )


def deployment(
    name: str = "web", version: int = 1, uid: str = "", app: str = "", claim: str = "", replicas: int = 3
) -> Deployment:
    volumes = (Volume("data", VolumeClaim(claim)),) if claim else ()
    template = PodTemplate(TemplateMeta({"app": app or name, "tier": "front"}), PodSpec(volumes=volumes))
    spec = DeploymentSpec(replicas=replicas, template=template, selector=Selector({"app": app or name}))
    return Deployment(meta(name, version, uid=uid), spec)


def replica_set(name: str = "web-1", version: int = 2, of: str = "web", replicas: int = 3) -> ReplicaSet:
    owner = OwnerReference("Deployment", of, f"uid-{of}", "apps/v1", controller=True)
    return ReplicaSet(meta(name, version, owner=owner), ReplicaSetSpec(replicas))


def pod(
    name: str = "web-1-a", version: int = 3, of: str = "web-1", node: str = "node-1", ready: bool = True
) -> Pod:
    owner = OwnerReference("ReplicaSet", of, f"uid-{of}", "apps/v1", controller=True)
    status = PodStatus("Running", (Condition("Ready", "True" if ready else "False"),))
    return Pod(meta(name, version, owner=owner), PodPlacement(node), status)


def service(
    name: str = "web", version: int = 4, selector: dict[str, str] | None = None, port: int = 80
) -> Service:
    chosen = {"app": "web"} if selector is None else selector
    return Service(
        meta(name, version, uid=f"uid-service-{name}"), ServiceSpec("ClusterIP", chosen, (ServicePort(port),))
    )


def node(
    name: str = "node-1", version: int = 5, ready: bool = True, cordoned: bool = False, taint: str = ""
) -> Node:
    taints = (Taint(taint, effect="NoSchedule"),) if taint else ()
    status = NodeStatus((Condition("Ready", "True" if ready else "False", message=f"heartbeat {version}"),))
    return Node(meta(name, version, ""), NodeSpec(cordoned, taints), status)


def namespace(name: str = "shop", version: int = 6, ignore: str = "") -> Namespace:
    found = meta(name, version, "")
    return Namespace(
        Meta(name=found.name, uid=found.uid, resource_version=str(version), labels={"ignore": ignore})
    )


def claim(name: str = "data", version: int = 7, mode: str = "ReadWriteOnce") -> PersistentVolumeClaim:
    return PersistentVolumeClaim(meta(name, version), VolumeClaimSpec((mode,)))


@pytest.fixture
def store() -> Store:
    """A Deployment `web` with all that belongs to it, and `api` that stands alone; nothing is dirty."""
    filled = store_of_workloads()
    for kind, found in (
        (DEPLOYMENT, deployment(claim="data")),
        (DEPLOYMENT, deployment("api")),
        (REPLICA_SET, replica_set()),
        (POD, pod()),
        (SERVICE, service()),
        (NODE, node()),
        (NAMESPACE, namespace()),
        (VOLUME_CLAIM, claim()),
    ):
        filled.put(kind, found)
    filled.take_dirty()
    return filled


def test_a_view_has_all_that_lies_beside_a_deployment_and_nothing_of_its_neighbours(store: Store) -> None:
    other: list[tuple[Kind, Object]] = [
        (POD, pod("api-1-a", of="api-1")),
        (SERVICE, service("api", selector={"app": "api"})),
        (VOLUME_CLAIM, claim("x")),
    ]
    for kind, found in other:
        store.put(kind, found)
    assert store.look(("shop", "web"), NOW, (1, 35)) == DeploymentView(
        deployment=deployment(claim="data"),
        now=NOW,
        namespace=namespace(),
        replica_sets=(replica_set(),),
        pods=(pod(),),
        services=(service(),),
        volume_claims=(claim(),),
        nodes=(node(),),
        server=(1, 35),
    )
    assert store.look(("shop", "gone"), NOW) is None
    assert {kind.kind: store.count(kind) for kind in store.decoders.kinds} == {
        "Deployment": 2,
        "ReplicaSet": 1,
        "Pod": 2,
        "Service": 2,
        "Namespace": 1,
        "Node": 1,
        "PersistentVolumeClaim": 2,
        "HorizontalPodAutoscaler": 0,
        "ScaledObject": 0,
        "ConfigMap": 0,
        "PodDisruptionBudget": 0,
        "DaemonSet": 0,
        "Application": 0,
    }


BOTH = {WEB, ("shop", "api")}


@pytest.mark.parametrize(
    ("kind", "change", "touched"),
    [
        pytest.param(DEPLOYMENT, deployment(version=9, replicas=4), {WEB}, id="a Deployment itself"),
        pytest.param(REPLICA_SET, replica_set(version=9, replicas=0), {WEB}, id="a ReplicaSet that shrinks"),
        pytest.param(REPLICA_SET, replica_set(version=9), set(), id="a ReplicaSet with nothing new"),
        pytest.param(REPLICA_SET, replica_set("web-2", 9), {WEB}, id="a new ReplicaSet"),
        pytest.param(
            REPLICA_SET, replica_set("x-1", 9, of="x"), set(), id="a ReplicaSet of an unknown owner"
        ),
        pytest.param(POD, pod(version=9, ready=False), {WEB}, id="a pod that is not ready any more"),
        pytest.param(POD, pod(version=9), set(), id="a pod with nothing new"),
        pytest.param(POD, pod("other", 9, of="x-1"), set(), id="a pod of an unknown owner"),
        pytest.param(SERVICE, service(version=9, port=81), {WEB}, id="a port of a Service"),
        pytest.param(
            SERVICE, service(version=9, selector={"app": "api"}), BOTH, id="a Service that selects others"
        ),
        pytest.param(
            SERVICE, service(version=9, selector={}), {WEB}, id="a Service that selects nothing now"
        ),
        pytest.param(SERVICE, service("front", 9, {"tier": "front"}), BOTH, id="a Service of two"),
        pytest.param(
            SERVICE, service("none", 9, {"app": "web", "tier": "back"}), set(), id="a Service of none"
        ),
        pytest.param(SERVICE, service(version=9), set(), id="a Service with nothing new"),
        pytest.param(NAMESPACE, namespace(version=9, ignore="all"), BOTH, id="a label of the Namespace"),
        pytest.param(NAMESPACE, namespace(version=9), set(), id="a Namespace with nothing new"),
        pytest.param(NAMESPACE, namespace("other", 9), set(), id="another Namespace"),
        pytest.param(NODE, node(version=9), set(), id="a heartbeat"),
        pytest.param(NODE, node(version=9, ready=False), BOTH, id="a node that is not ready any more"),
        pytest.param(NODE, node(version=9, cordoned=True), BOTH, id="a cordon"),
        pytest.param(NODE, node(version=9, taint="gpu"), BOTH, id="a taint"),
        pytest.param(NODE, node("node-2", 9), BOTH, id="a new node"),
        pytest.param(
            VOLUME_CLAIM, claim(version=9, mode="ReadWriteMany"), {WEB}, id="access modes of a claim"
        ),
        pytest.param(VOLUME_CLAIM, claim(version=9), set(), id="a claim with nothing new"),
        pytest.param(VOLUME_CLAIM, claim("other", 9), set(), id="a claim that nobody uses"),
    ],
)
def test_an_event_touches_the_deployments_that_it_may_matter_to(
    store: Store, kind: Kind, change: Object, touched: set[tuple[str, str]]
) -> None:
    store.put(kind, change)
    assert store.take_dirty() == touched
    assert store.take_dirty() == set()


COREDNS = ("kube-system", "coredns")


def of_system(
    kind: type[DaemonSet] | type[ConfigMap] | type[Service], name: str, version: int, *rest: Any
) -> Any:
    return kind(meta(name, version, "kube-system", f"uid-{kind.__name__}-{name}"), *rest)


def cluster_dns(name: str = "coredns", label: str = "kube-dns") -> Deployment:
    template = PodTemplate(TemplateMeta({"k8s-app": label}))
    return Deployment(meta(name, 1, "kube-system"), DeploymentSpec(template=template))


@pytest.fixture
def dns(store: Store) -> Store:
    """The same with cluster DNS, another Deployment beside it, and the DNS cache of the nodes."""
    for kind, found in (
        (DEPLOYMENT, cluster_dns()),
        (DEPLOYMENT, cluster_dns("metrics-server", "metrics-server")),
        (SERVICE, of_system(Service, "kube-dns", 1, ServiceSpec("ClusterIP", {"k8s-app": "kube-dns"}))),
        (DAEMON_SET, of_system(DaemonSet, "node-local-dns", 1)),
        (DAEMON_SET, of_system(DaemonSet, "kube-proxy", 1)),
        (CONFIG_MAP, of_system(ConfigMap, "coredns", 1)),
    ):
        store.put(kind, found)
    store.take_dirty()
    return store


def test_cluster_dns_alone_is_seen_with_what_the_nodes_do_with_queries(dns: Store) -> None:
    views = {name: dns.look(("kube-system", name), NOW) for name in ("coredns", "metrics-server")}
    assert {name: view.dns for name, view in views.items() if view is not None} == {
        "coredns": DNSNeighbours(of_system(DaemonSet, "node-local-dns", 1)),
        "metrics-server": None,
    }
    web = dns.look(("shop", "web"), NOW)
    assert web is not None
    assert web.dns is None


def test_cluster_dns_without_a_service_is_known_by_its_label(dns: Store) -> None:
    dns.delete(SERVICE, "kube-system", "kube-dns", "uid-Service-kube-dns")
    view = dns.look(("kube-system", "coredns"), NOW)
    assert view is not None
    assert view.dns == DNSNeighbours(of_system(DaemonSet, "node-local-dns", 1))


ON_TWO = DaemonSetStatus(2, 2)


@pytest.mark.parametrize(
    ("kind", "change", "touched"),
    [
        pytest.param(
            DAEMON_SET,
            of_system(DaemonSet, "node-local-dns", 9),
            set(),
            id="the DNS cache with nothing new",
        ),
        pytest.param(
            DAEMON_SET,
            msgspec.structs.replace(of_system(DaemonSet, "node-local-dns", 9), status=ON_TWO),
            {COREDNS},
            id="the DNS cache, ready elsewhere",
        ),
        pytest.param(
            DAEMON_SET,
            msgspec.structs.replace(of_system(DaemonSet, "kube-proxy", 9), status=ON_TWO),
            set(),
            id="another DaemonSet",
        ),
        pytest.param(CONFIG_MAP, of_system(ConfigMap, "coredns", 9), set(), id="another ConfigMap"),
    ],
)
def test_what_changes_on_the_nodes_touches_cluster_dns_alone(
    dns: Store, kind: Kind, change: Object, touched: set[tuple[str, str]]
) -> None:
    dns.put(kind, change)
    assert dns.take_dirty() == touched


def test_a_dns_cache_that_is_gone_touches_cluster_dns(dns: Store) -> None:
    dns.delete(DAEMON_SET, "kube-system", "node-local-dns", "uid-DaemonSet-node-local-dns")
    view = dns.look(("kube-system", "coredns"), NOW)
    assert view is not None
    assert (dns.take_dirty(), view.dns) == ({COREDNS}, DNSNeighbours())


def test_a_deletion_touches_what_the_object_belonged_to(store: Store) -> None:
    touched = []
    for kind, name, uid in (
        (POD, "web-1-a", "uid-web-1-a"),
        (REPLICA_SET, "web-1", "uid-web-1"),
        (SERVICE, "web", "uid-service-web"),
        (VOLUME_CLAIM, "data", "uid-data"),
        (DEPLOYMENT, "api", "uid-api"),
    ):
        store.delete(kind, "shop", name, uid)
        touched.append(store.take_dirty())
    store.delete(NODE, "", "node-1", "uid-node-1")
    touched.append(store.take_dirty())
    assert touched == [{WEB}, {WEB}, {WEB}, {WEB}, {("shop", "api")}, {WEB}]
    bare = store.look(("shop", "web"), NOW)
    assert bare == DeploymentView(deployment(claim="data"), NOW, namespace(), server=(1, 36))


def test_pods_known_before_their_replica_set_and_deployment_belong_to_them_in_the_end() -> None:
    late = store_of_workloads()
    late.put(POD, pod())
    late.put(REPLICA_SET, replica_set())
    assert late.take_dirty() == set()
    late.put(DEPLOYMENT, deployment())
    assert late.take_dirty() == {WEB}
    view = late.look(("shop", "web"), NOW)
    assert view is not None
    assert (view.replica_sets, view.pods) == ((replica_set(),), (pod(),))


def test_whoever_waits_is_woken_once_per_batch() -> None:
    woken: list[str] = []
    store = Store(WORKLOADS, on_dirty=lambda: woken.append("now"))
    store.put(NODE, node())
    store.put(DEPLOYMENT, deployment())
    assert (woken, store.take_dirty()) == (["now"], {WEB})
    store.put(NODE, node(version=9))
    assert woken == ["now"]
    store.put(DEPLOYMENT, deployment(version=9))
    store.put(DEPLOYMENT, deployment("api", version=10))
    assert (woken, store.take_dirty()) == (["now", "now"], BOTH)


def test_an_event_older_than_the_answer_of_our_own_write_is_refused(store: Store) -> None:
    written = deployment(version=20, claim="data", replicas=5)
    store.put(DEPLOYMENT, written)
    store.take_dirty()
    store.put(DEPLOYMENT, deployment(version=15, replicas=1))
    store.put(DEPLOYMENT, written)
    assert (store.get(DEPLOYMENT, "shop", "web"), store.take_dirty()) == (written, set())


def test_versions_are_compared_as_numbers(store: Store) -> None:
    store.put(DEPLOYMENT, deployment(version=9))
    store.put(DEPLOYMENT, deployment(version=10, replicas=10))
    found = store.get(DEPLOYMENT, "shop", "web")
    assert found is not None
    assert found.replicas == 10


def test_what_was_deleted_does_not_come_back_with_an_older_event(store: Store) -> None:
    store.delete(DEPLOYMENT, "shop", "web", "uid-web")
    store.put(DEPLOYMENT, deployment(version=30))
    assert store.get(DEPLOYMENT, "shop", "web") is None


def test_a_late_deletion_does_not_take_the_next_object_of_that_name(store: Store) -> None:
    again = deployment(version=30, uid="uid-web-again")
    store.put(DEPLOYMENT, again)
    store.delete(DEPLOYMENT, "shop", "web", "uid-web")
    assert store.get(DEPLOYMENT, "shop", "web") == again


def test_pods_of_a_deployment_that_was_made_again_are_not_those_of_the_old_one(store: Store) -> None:
    store.put(DEPLOYMENT, deployment(version=30, uid="uid-web-again"))
    view = store.look(("shop", "web"), NOW)
    assert view is not None
    assert (view.replica_sets, view.pods) == ((), ())


def test_a_whole_list_deletes_what_is_not_in_it_and_keeps_what_is_known_from_later(store: Store) -> None:
    written = deployment("ours", version=50)
    store.put(DEPLOYMENT, written)
    store.take_dirty()
    store.replace(DEPLOYMENT, [deployment("api"), deployment("new", version=39)], "40")
    assert {found.metadata.name for found in store.objects(DEPLOYMENT)} == {"api", "new", "ours"}
    assert store.take_dirty() == {WEB, ("shop", "new")}
    assert store.count(DEPLOYMENT) == 3


def test_after_a_restored_backup_the_list_counts_although_it_is_older(store: Store) -> None:
    store.delete(DEPLOYMENT, "shop", "api", "uid-api")
    store.put(DEPLOYMENT, deployment(version=90, replicas=9))
    store.rewound(DEPLOYMENT)
    store.replace(DEPLOYMENT, [deployment("api"), deployment(version=8, replicas=2)], "10")
    assert {found.metadata.name: found.replicas for found in store.objects(DEPLOYMENT)} == {
        "api": 3,
        "web": 2,
    }
    store.replace(DEPLOYMENT, [deployment(version=7)], "11")
    assert {found.metadata.name: found.replicas for found in store.objects(DEPLOYMENT)} == {"web": 2}


def test_applications_that_change_wake_once_and_touch_what_belongs_to_them() -> None:
    woken: list[bool] = []
    store = Store(WORKLOADS, lambda: woken.append(True))
    store.replace(DEPLOYMENT, [tracked(deployment("web"), "shop"), tracked(deployment("api"), "other")], "1")
    store.take_dirty()
    woken.clear()
    many = [application("cd", f"other-{number}", 1) for number in range(200)]
    store.replace(APPLICATION, [application("cd", "shop", 1), *many], "1")
    assert (woken, store.take_dirty()) == ([True], {WEB})
    store.replace(APPLICATION, [application("cd", "shop", 1), *many], "2")
    assert store.take_dirty() == set(), "nothing about them is another"
    store.replace(APPLICATION, [], "")
    assert (woken, store.take_dirty()) == ([True, True], {WEB})


def test_a_long_list_of_services_makes_everything_dirty(store: Store) -> None:
    store.replace(SERVICE, [service(f"s{number}", 40, {"app": "nobody"}) for number in range(101)], "41")
    assert store.take_dirty() == BOTH


@pytest.mark.parametrize(
    ("kind", "selector", "selected"),
    [
        ("ClusterIP", {"app": "web"}, True),
        ("ClusterIP", {"app": "web", "tier": "front"}, True),
        ("LoadBalancer", {"app": "web", "tier": "back"}, False),
        ("ClusterIP", {"colour": "blue"}, False),
        ("ClusterIP", {}, False),
        ("ExternalName", {"app": "web"}, False),
    ],
)
def test_a_service_selects_by_its_whole_selector(kind: str, selector: dict[str, str], selected: bool) -> None:
    found = Service(meta("web", 1), ServiceSpec(kind, selector))
    assert service_selects(found, {"app": "web", "tier": "front"}) is selected


LEAF = "spec.template.spec.terminationGracePeriodSeconds"
STATE = ObjectState(uid="uid-web", leaves={LEAF: Held("graceful-shutdown", set=45, was=30)})
OURS = Claim("resilience-operator", "Apply", leaves=frozenset({LEAF}), state=True)


def annotated(text: str, *claims: Claim) -> Deployment:
    bare = deployment()
    return Deployment(
        Meta("web", "shop", "uid-web", "1", annotations={ANNOTATION: text}), bare.spec, bare.status, claims
    )


@pytest.mark.parametrize(
    ("found", "state", "distrust"),
    [
        pytest.param(deployment(), ObjectState(), "", id="no annotation"),
        pytest.param(annotated(encode(STATE), OURS), STATE, "", id="ours"),
        pytest.param(
            annotated("{", OURS),
            ObjectState(),
            "The annotation resilience.dev/state is not believed: not readable as state of this operator: "
            "JSONDecodeError('Expecting property name enclosed in double quotes: line 1 column 2 (char 1)').",
            id="unreadable",
        ),
        pytest.param(
            annotated(encode(STATE).replace(LEAF, "spec..replicas"), OURS),
            ObjectState(),
            "The annotation resilience.dev/state is not believed: not readable as state of this operator: "
            "ValueError(\"not a path to a field: 'spec..replicas' (at character 5)\").",
            id="no path",
        ),
        pytest.param(
            annotated(encode(STATE).replace(LEAF, "spec.template.spec.hostNetwork"), OURS),
            ObjectState(),
            "The annotation resilience.dev/state is not believed: "
            "this operator never writes spec.template.spec.hostNetwork.",
            id="no leaf of ours",
        ),
        pytest.param(
            annotated(encode(STATE).replace("uid-web", "uid-old"), OURS),
            ObjectState(),
            "The annotation resilience.dev/state is not believed: it was written for another object (uid uid-old) "
            "and copied here, for instance from a backup.",
            id="a copy",
        ),
        pytest.param(
            annotated(encode(STATE), Claim("kubectl", "Update", state=True)),
            ObjectState(),
            "The annotation resilience.dev/state is not believed: kubectl owns it, where nobody should; an older "
            "copy was brought back, for instance by kubectl rollout undo.",
            id="brought back",
        ),
    ],
)
def test_our_annotation_is_believed_only_as_we_wrote_it_on_this_object(
    found: Deployment, state: ObjectState, distrust: str
) -> None:
    store = store_of_workloads()
    store.put(DEPLOYMENT, found)
    view = store.look(("shop", "web"), NOW)
    assert view is not None
    assert (view.state, view.distrust) == (state, distrust)


Event = tuple[Kind, Object]
NAMES = ("web", "api")
KEYS: tuple[Key, ...] = (
    *(("shop", name) for name in (*NAMES, "cpa")),
    *(("shop", name, kind.kind) for name in NAMES for kind in (HPA, SCALED_OBJECT)),
    *(("shop", name, "ConfigMap") for name in ("params", "others")),
)
small = st.integers(0, 1)
names = st.sampled_from(NAMES)
targets = st.sampled_from([*NAMES, "web,deployment/api", "api,deployment/web"])


def events() -> st.SearchStrategy[Event]:
    """Any object of a cluster with two Deployments; versions are given by the order in which they happen."""
    return st.one_of(
        st.builds(
            lambda n, u, a, c: (DEPLOYMENT, deployment(n, 0, f"uid-{n}{u or ''}", a, c)),
            names,
            small,
            names,
            names,
        ),
        st.builds(lambda n, i, r: (REPLICA_SET, replica_set(f"{n}-{i}", 0, n, r)), names, small, small),
        st.builds(
            lambda n, i, p, r: (POD, pod(f"{n}-{i}-{p}", 0, f"{n}-{i}", ready=bool(r))),
            names,
            small,
            small,
            small,
        ),
        st.builds(
            lambda n, a, p: (SERVICE, service(n, 0, {"app": a} if a else {}, p)),
            names,
            st.sampled_from(["", *NAMES]),
            small,
        ),
        st.builds(lambda n, r, c: (NODE, node(n, 0, bool(r), bool(c))), names, small, small),
        st.builds(lambda i: (NAMESPACE, namespace("shop", 0, str(i))), small),
        st.builds(lambda n, m: (VOLUME_CLAIM, claim(n, 0, "RWX" if m else "RWO")), names, small),
        st.builds(lambda n, t, m: (HPA, hpa(n, t, m)), names, names, small),
        st.builds(lambda n, t, m: (SCALED_OBJECT, scaled_object(n, t, m)), names, names, small),
        st.builds(
            lambda t, m: (DEPLOYMENT, autoscaler(t, m)), targets, st.sampled_from(["params", "others"])
        ),
        st.builds(lambda n, m: (CONFIG_MAP, parameters(n, m)), st.sampled_from(["params", "others"]), small),
        st.builds(lambda n, a, m: (BUDGET, budget(n, a, m)), names, names, small),
        st.builds(lambda n, a: (DEPLOYMENT, tracked(deployment(n, 0), a)), names, st.sampled_from(GIT)),
        st.builds(lambda n, a, s: (APPLICATION, application(n, a, s)), names, st.sampled_from(GIT), small),
    )


GIT = ("shop", "teams_shop")
"""Two Applications of one name, as objects name them."""


def tracked(found: Deployment, by: str) -> Deployment:
    """The same, as Argo CD applied it."""
    annotations = {"argocd.argoproj.io/tracking-id": f"{by}:apps/Deployment:shop/{found.metadata.name}"}
    return msgspec.structs.replace(
        found, metadata=msgspec.structs.replace(found.metadata, annotations=annotations)
    )


def application(copy: str, named: str, heals: int) -> Application:
    """An Application; of those in Argo CD's own namespace `copy` is put beside the others of its name."""
    namespace, _, name = named.rpartition("_")
    place = namespace or f"argocd-{copy}"
    spec = ApplicationSpec(SyncPolicy(Automated(self_heal=bool(heals))))
    return Application(meta(name, 0, place, f"uid-{place}-{name}"), spec)


def hpa(name: str, target: str, minimum: int) -> HorizontalPodAutoscaler:
    return HorizontalPodAutoscaler(
        meta(name, 0, uid=f"uid-hpa-{name}"), HPASpec(ScaleTarget(name=target), minimum, 9)
    )


def scaled_object(name: str, target: str, minimum: int) -> ScaledObject:
    spec = ScaledObjectSpec(ScaleTarget(name=target), minimum)
    return ScaledObject(meta(name, 0, uid=f"uid-scaled-{name}"), spec)


def autoscaler(target: str, config_map: str) -> Deployment:
    """A cluster-proportional-autoscaler."""
    command = (f"--target=deployment/{target}", f"--configmap={config_map}")
    template = PodTemplate(TemplateMeta({"app": "cpa"}), PodSpec((Container("cpa", command=command),)))
    return Deployment(meta("cpa", 0), DeploymentSpec(replicas=1, template=template))


def parameters(name: str, minimum: int) -> ConfigMap:
    return ConfigMap(meta(name, 0, uid=f"uid-map-{name}"), {"linear": str(minimum)})


def budget(name: str, app: str, most: int) -> PodDisruptionBudget:
    spec = BudgetSpec(None, most, Selector({"app": app}))
    return PodDisruptionBudget(meta(name, 0, uid=f"uid-budget-{name}"), spec)


class Cluster:
    """What is really there, beside a store that hears of it."""

    def __init__(self) -> None:
        self.objects: dict[tuple[Kind, str], Object] = {}
        self.deaths: Counter[tuple[Kind, str]] = Counter()
        self.version = 0

    def change(self, store: Store, event: Event, how: str) -> None:
        """Let an object be made, changed or deleted, and the store hear of it by the watch or by a new list."""
        kind, found = event
        self.version += 1
        key = (kind, found.metadata.name)
        if how == "delete":
            gone = self.objects.pop(key, None)
            if gone is not None:
                self.deaths[key] += 1
                store.delete(kind, gone.metadata.namespace, gone.metadata.name, gone.metadata.uid)
            return
        self.objects[key] = self.stamped(found, self.deaths[key])
        if how == "put":
            store.put(kind, self.objects[key])
        else:
            store.replace(kind, list(self.of(kind)), str(self.version))

    def stamped(self, found: Object, deaths: int) -> Object:
        """The object with the next version, and with a new uid where one of its name has died."""
        was = found.metadata
        uid = was.uid + "-again" * deaths
        now = Meta(
            was.name,
            was.namespace,
            uid,
            str(self.version),
            labels=was.labels,
            annotations=was.annotations,
            owner_references=was.owner_references,
        )
        return type(found)(now, *(getattr(found, name) for name in found.__struct_fields__[1:]))

    def of(self, kind: Kind) -> Iterator[Object]:
        """All objects of a kind."""
        return (found for (its, _), found in self.objects.items() if its == kind)


def judged(store: Store, key: Key) -> object:
    """Everything that a rule may read of a view: all but versions, and a node's heartbeat."""
    view = store.look(key, NOW)
    if isinstance(view, ScalerView):
        target = view.target
        assert not isinstance(target, Addon)
        said = target.data if isinstance(target, ConfigMap) else target.spec
        # Of what scales nothing that is known nothing is asked.
        return (view.ref, said, scaled(view)) if view.scaled is not None else None
    return None if view is None else (of_deployment(view), scaled(view))


def scaled(view: View) -> list[object]:
    """What is read of all that the object scales."""
    return [of_deployment(one) for one in (view.scaled, *view.scaled_too) if one is not None]


def of_deployment(view: DeploymentView) -> object:
    """What is read of a Deployment's view."""
    return (
        [(found.ref, found.spec) for found in view.scalers],
        [found.spec for found in view.autoscalers],
        [(found.ref, found.data) for found in view.config_maps],
        [(found.ref, found.spec) for found in view.budgets],
        view.sharing,
        view.deployment,
        (view.application.ref, view.application.spec) if view.application else None,
        view.namespace.metadata.labels if view.namespace else None,
        [(found.metadata.uid, found.spec) for found in view.replica_sets],
        [(found.metadata.uid, found.spec, found.status) for found in view.pods],
        [(found.metadata.uid, found.spec) for found in view.services],
        [(found.metadata.name, found.spec) for found in view.volume_claims],
        [(found.metadata.name, found.ready, found.spec) for found in view.nodes],
    )


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(events(), st.sampled_from(["put", "put", "put", "delete", "replace"])), max_size=40),
    st.integers(1, 5),
)
def test_to_judge_again_what_was_touched_is_the_same_as_to_judge_everything(
    history: list[tuple[Event, str]], batch: int
) -> None:
    store, cluster = store_of_workloads(), Cluster()
    known: dict[Key, object] = dict.fromkeys(KEYS)
    for number, (event, how) in enumerate(history):
        cluster.change(store, event, how)
        if number % batch:
            continue
        for key in store.take_dirty():
            known[key] = judged(store, key)
        assert known == {key: judged(store, key) for key in known}


@settings(max_examples=100, deadline=None)
@given(st.lists(events(), max_size=30), st.randoms(use_true_random=False))
def test_versions_that_arrive_in_any_order_end_as_if_they_had_come_in_theirs(
    history: list[Event], random: Random
) -> None:
    cluster, straight, shuffled = Cluster(), store_of_workloads(), store_of_workloads()
    versions: list[Event] = []
    for kind, found in history:
        cluster.change(straight, (kind, found), "put")
        versions.append((kind, cluster.objects[(kind, found.metadata.name)]))
    random.shuffle(versions)
    for kind, found in versions:
        shuffled.put(kind, found)
    assert [judged(shuffled, key) for key in KEYS] == [judged(straight, key) for key in KEYS]


def test_a_budget_of_pods_of_an_earlier_template_counts_and_a_new_version_of_it_marks_nothing(
    store: Store,
) -> None:
    bare = pod(version=20)
    old = msgspec.structs.replace(bare.metadata, labels={"app": "web", "release": "old"})
    store.put(POD, msgspec.structs.replace(bare, metadata=old))
    rolling = DeploymentStatus(replicas=4, updated_replicas=3)
    store.put(DEPLOYMENT, msgspec.structs.replace(deployment(version=21, claim="data"), status=rolling))
    store.take_dirty()
    theirs = msgspec.structs.replace(
        budget("theirs", "web", 1), spec=BudgetSpec(None, 1, Selector({"release": "old"}))
    )
    store.put(BUDGET, theirs)
    assert WEB in store.take_dirty()
    view = store.look(("shop", "web"), NOW)
    assert view is not None
    assert [one.metadata.name for one in view.budgets] == ["theirs"]
    newer = msgspec.structs.replace(theirs.metadata, resource_version="99")
    store.put(BUDGET, msgspec.structs.replace(theirs, metadata=newer))
    assert store.take_dirty() == set()


def test_a_budget_of_ours_and_one_that_bears_its_name_are_seen_whatever_they_select(store: Store) -> None:
    def seen(name: str, **metadata: object) -> list[str]:
        found = budget(name, "nobody", 1)
        store.put(
            BUDGET,
            msgspec.structs.replace(found, metadata=msgspec.structs.replace(found.metadata, **metadata)),
        )
        view = store.look(("shop", "web"), NOW)
        store.delete(BUDGET, "shop", name, "")
        return [one.metadata.name for one in view.budgets] if view is not None else []

    labels = {"app.kubernetes.io/managed-by": "resilience-operator", "resilience.dev/policy": "p-1"}
    owner = OwnerReference("Deployment", "web", "uid-web", "apps/v1")
    assert seen("other") == []
    assert seen("other", labels=labels, owner_references=(owner,)) == ["other"]
    assert seen("web-resilience") == ["web-resilience"]


def test_the_first_pod_of_a_job_that_is_selected_and_the_last_one_touch_the_deployment(store: Store) -> None:
    def of_job(name: str, version: int, phase: str = "Running") -> Pod:
        found = meta(name, version, owner=OwnerReference("Job", name, name, "batch/v1", controller=True))
        labels = {"app": "web", "job-name": name}
        return Pod(msgspec.structs.replace(found, labels=labels), status=PodStatus(phase))

    store.put(POD, of_job("night-1", 20))
    assert store.take_dirty() == {WEB}
    view = store.look(("shop", "web"), NOW)
    assert view is not None
    assert [str(one) for one in view.strangers] == ["a Job"]
    store.put(POD, of_job("night-1", 21, "Succeeded"))
    store.put(POD, of_job("night-2", 22))
    store.delete(POD, "shop", "night-1", "uid-night-1")
    assert store.take_dirty() == set()
    store.delete(POD, "shop", "night-2", "uid-night-2")
    assert store.take_dirty() == {WEB}
    view = store.look(("shop", "web"), NOW)
    assert view is not None
    assert view.strangers == ()


def test_a_deployment_whose_pods_another_selects_makes_that_one_be_judged_again(store: Store) -> None:
    store.take_dirty()
    green = msgspec.structs.replace(deployment("green", 30), spec=deployment("web").spec)
    store.put(DEPLOYMENT, green)
    assert store.take_dirty() >= {WEB, ("shop", "green")}
    view = store.look(("shop", "web"), NOW)
    assert view is not None
    assert view.sharing == ("green",)
    store.delete(DEPLOYMENT, "shop", "green", "uid-green")
    assert WEB in store.take_dirty()
    store.put(DEPLOYMENT, deployment(version=31, replicas=5))
    assert store.take_dirty() == {WEB}
