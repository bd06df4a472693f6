"""From documents to the objects that rules look at. Used by cli/files/files, in its worker processes as well.

An object that the API server would refuse is a fault with its line and hides nothing else. Kinds that the rules do
not know are left out; workloads that people may expect to be judged are remembered, so that they are never passed.
A Deployment that lacks what the API server requires is no fault but most likely a patch, which kustomize merges into
the whole one: it is remembered in the same way, and is no Deployment beside others.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import yaml

from resilience_operator.cli.files.documents import (
    TEMPLATE,
    Document,
    Fault,
    Unwanted,
    documents,
    template_line,
)
from resilience_operator.cli.files.positions import child, landmarks, line_of_message
from resilience_operator.cli.launch import KINDS as LAUNCH_KINDS
from resilience_operator.cli.launch import LaunchSubject, read_manifest
from resilience_operator.cluster.objects.workloads import DaemonSet, Deployment, DeploymentSpec, Object
from resilience_operator.core.errors import UnreadableObjectError
from resilience_operator.core.kinds import (
    BUDGET,
    CONFIG_MAP,
    DAEMON_SET,
    DEPLOYMENT,
    HPA,
    MUTATING_WEBHOOKS,
    NAMESPACE,
    NODE,
    SCALERS,
    SERVICE,
    VALIDATING_WEBHOOKS,
    VOLUME_CLAIM,
    Kind,
)
from resilience_operator.core.refs import Key, ObjectRef
from resilience_operator.targets import project, project_dict
from resilience_operator.targets.coredns.cluster_dns import runs_cache
from resilience_operator.targets.services.files import Maker, is_custom, maker_of
from resilience_operator.targets.workloads.autoscalers import MODES, may_be_parameters
from resilience_operator.targets.workloads.foreign_pods import Stranger, stranger

WEBHOOKS = (VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS)
READ = {
    (kind.api_version, kind.kind): kind
    for kind in (DEPLOYMENT, SERVICE, NAMESPACE, NODE, VOLUME_CLAIM, *SCALERS, BUDGET, *WEBHOOKS)
}
READ["autoscaling/v1", HPA.kind] = HPA
"""(API version, kind) of what is read; of the older HPA the same fields."""
RETIRED = {
    ("apps", DEPLOYMENT.kind): DEPLOYMENT,
    ("extensions", DEPLOYMENT.kind): DEPLOYMENT,
    (HPA.group, HPA.kind): HPA,
    (BUDGET.group, BUDGET.kind): BUDGET,
}
"""(API group, kind) -> what is served of it instead of any other version."""
ROLLOUT = ("argoproj.io", "Rollout")
NOT_COVERED = "the operator judges Deployments"
RENDER_IT = "render it first: helm template ... | kubectl resilience check -"
MADE_ELSEWHERE = "what it makes is not in the files"
UNCOVERED = {
    ("apps", "StatefulSet"): NOT_COVERED,
    ("apps", "DaemonSet"): NOT_COVERED,
    ROLLOUT: NOT_COVERED,
    ("", "Pod"): NOT_COVERED,
    ("", "ReplicationController"): NOT_COVERED,
    ("apps", "ReplicaSet"): NOT_COVERED,
    ("apps.openshift.io", "DeploymentConfig"): NOT_COVERED,
    ("apps.kruise.io", "CloneSet"): NOT_COVERED,
    ("apps.kruise.io", "StatefulSet"): NOT_COVERED,
    ("apps.kruise.io", "DaemonSet"): NOT_COVERED,
    ("serving.knative.dev", "Service"): NOT_COVERED,
    ("helm.toolkit.fluxcd.io", "HelmRelease"): RENDER_IT,
    ("helm.cattle.io", "HelmChart"): RENDER_IT,
    ("argoproj.io", "Application"): MADE_ELSEWHERE,
    ("argoproj.io", "ApplicationSet"): MADE_ELSEWHERE,
}
"""(API group, kind) of workloads that the operator does not cover, and of what makes some; and why it says nothing.

Of DaemonSets it looks at the DNS cache of nodes. Pods and ReplicaSets that a controller owns are that one's.
"""
GROUPED = frozenset(UNCOVERED.values())
"""Reasons that are said once for a kind, with the number of objects."""
_PODS_OF = {
    ("apps", "StatefulSet"): ("StatefulSet", ("spec", "template")),
    ("apps", "DaemonSet"): ("DaemonSet", ("spec", "template")),
    ("batch", "Job"): ("Job", ("spec", "template")),
    ("batch", "CronJob"): ("Job", ("spec", "jobTemplate", "spec", "template")),
}
"""(API group, kind) -> what controls its pods, and where their template stands."""
_OWNED = frozenset({"Pod", "ReplicaSet"})
_SCALES_DOWN = frozenset({"onsuccess", "progressively"})
"""workloadRef.scaleDown of a Rollout that scales the Deployment; by default it never does (rollout/sync.go)."""
RENDER = "a patch? render it first: kustomize build DIR | kubectl resilience check -"
_KUSTOMIZE = "kustomize.config.k8s.io"
"""The API group of what kustomize alone reads: no object of Kubernetes."""
_KUSTOMIZATIONS = frozenset({"kustomization.yaml", "kustomization.yml"})
_PARAMETERS = ("autoscaler", *MODES)
"""Without one of these words a ConfigMap is none that a rule may read."""
_KINDS = frozenset(kind for table in (READ, RETIRED, UNCOVERED, _PODS_OF, LAUNCH_KINDS) for _, kind in table)
_JUDGED = frozenset({DEPLOYMENT, *SCALERS})
DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class Manifest:
    """An object of a file; `lines` says where the fields of what is judged stand (see positions.landmarks)."""

    kind: Kind
    object: Object
    file: str
    line: int
    lines: dict[str, int] = field(default_factory=dict)
    placed: bool = True
    """Its namespace is written; else whoever renders or applies it says which that is."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in the input that could not be read, at a file's line (0: the file as a whole)."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        """`file:line: message`, as compilers write it."""
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


@dataclass(frozen=True, slots=True)
class Place:
    """An object that is not judged, where it stands, and why."""

    ref: ObjectRef
    file: str
    line: int
    why: str = NOT_COVERED


@dataclass(frozen=True, slots=True)
class Takeover:
    """A Deployment that a Rollout of Argo Rollouts scales down in favour of its own pods, and the Rollout's name."""

    deployment: Key
    rollout: str


@dataclass(slots=True)
class Loaded:
    """What files gave: `objects` counts all that are objects of Kubernetes, `strangers` documents that are none.

    `beside`: namespace and pods of controllers that are not judged, but whose pods a Deployment may select as well.
    `incomplete`: Deployments that lack what the API server requires; they do not count as objects.
    `launch`: user data of nodes, and what Karpenter starts them by.
    `foreign`: what cannot be read, and nobody would apply: templates, and files of other programs.
    `kustomizations`: directories with one, and the directories that each takes in.
    """

    manifests: list[Manifest] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    uncovered: list[Place] = field(default_factory=list)
    incomplete: list[Place] = field(default_factory=list)
    takeovers: list[Takeover] = field(default_factory=list)
    objects: int = 0
    strangers: list[Problem] = field(default_factory=list)
    foreign: list[Problem] = field(default_factory=list)
    kustomizations: dict[str, tuple[str, ...]] = field(default_factory=dict)
    beside: list[tuple[str, Stranger]] = field(default_factory=list)
    launch: list[LaunchSubject] = field(default_factory=list)
    makers: list[Maker] = field(default_factory=list)
    """What makes pods that a Service may select, or may make them, beside the Deployments."""

    def add(self, other: "Loaded") -> None:
        """Take over what another part gave."""
        self.manifests += other.manifests
        self.problems += other.problems
        self.uncovered += other.uncovered
        self.incomplete += other.incomplete
        self.takeovers += other.takeovers
        self.objects += other.objects
        self.strangers += other.strangers
        self.foreign += other.foreign
        self.kustomizations |= other.kustomizations
        self.beside += other.beside
        self.launch += other.launch
        self.makers += other.makers


def read(text: str, file: str, *, is_json: bool = False) -> Loaded:
    """All objects of a text; never raises on what stands in it."""
    loaded = Loaded()
    kustomization = os.path.basename(file) in _KUSTOMIZATIONS
    for found in documents(text, is_json=is_json, wanted=_wanted):
        if isinstance(found, Fault):
            into = loaded.foreign if found.foreign else loaded.problems
            into.append(Problem(file, found.line, found.message))
        elif isinstance(found, Unwanted):
            loaded.objects += _group(found.version) != _KUSTOMIZE
        else:
            if kustomization:
                loaded.kustomizations |= _taken_in(file, found)
            _Reader(loaded, file, found.offset).take(found.value, found.node)
    return loaded


def _wanted(version: str, kind: str, text: str) -> bool:
    """True where an object has to be read to be known: as a rule may look at it, or as others may stand in it."""
    if kind == CONFIG_MAP.kind:
        return any(word in text for word in _PARAMETERS)
    group = _group(version)
    return kind in _KINDS or kind.endswith("List") or group == _KUSTOMIZE or is_custom(group)


def _taken_in(file: str, found: Document) -> dict[str, tuple[str, ...]]:
    """The directory of a kustomization, with the directories that it is made of."""
    directory, value = os.path.dirname(file), found.value
    named = (
        [value.get(key) for key in ("resources", "bases", "components")] if isinstance(value, dict) else []
    )
    paths = (one for each in named if isinstance(each, list) for one in each if isinstance(one, str))
    return {directory: tuple(os.path.normpath(os.path.join(directory, one)) for one in paths)}


@dataclass(frozen=True, slots=True)
class _Reader:
    """Takes the objects of one document, with the items of its lists."""

    loaded: Loaded
    file: str
    offset: int

    def take(self, value: Any, node: yaml.Node | None, listed: tuple[str, str] = ("", "")) -> None:
        """An object or a list of them; `listed`: API version and kind that a typed list gives its items."""
        line = self._line(node)
        if not isinstance(value, dict):
            self.loaded.strangers.append(
                Problem(self.file, line, "is not an object with apiVersion and kind")
            )
            return
        version, kind = value.get("apiVersion", listed[0]), value.get("kind", listed[1])
        if not (isinstance(version, str) and isinstance(kind, str) and version and kind):
            self.loaded.strangers.append(Problem(self.file, line, "has no apiVersion and kind: no manifest"))
        elif kind.endswith("List") and isinstance(value.get("items"), list):
            typed = ("", "") if kind == "List" else (version, kind.removesuffix("List"))
            self._take_items(value["items"], node, typed)
        else:
            self.loaded.objects += _group(version) != _KUSTOMIZE
            self._take_object(value, node, version, kind)

    def _take_items(self, items: list[Any], node: yaml.Node | None, listed: tuple[str, str]) -> None:
        _, sequence = child(node, "items")
        nodes = sequence.value if isinstance(sequence, yaml.SequenceNode) else [None] * len(items)
        for item, at in zip(items, nodes, strict=True):
            self.take(item, at, listed)

    def _take_object(self, value: dict[str, Any], node: yaml.Node | None, version: str, kind: str) -> None:
        group = _group(version)
        if (group, kind) in _PODS_OF:
            self.loaded.beside.append(_beside(value, *_PODS_OF[group, kind]))
        read = READ.get((version, kind))
        if read is None and (maker := maker_of(value, group, kind, *_names(value))) is not None:
            self.loaded.makers.append(maker)
        if (group, kind) in UNCOVERED:
            self.loaded.takeovers += _takeovers(value) if (group, kind) == ROLLOUT else ()
            self._take_uncovered(value, node, ObjectRef(version, kind, *_names(value)))
        elif (group, kind) in LAUNCH_KINDS:
            subject = read_manifest(value, node, (group, kind), (self.file, self.offset))
            self.loaded.launch.append(subject)
        elif read is not None:
            if read is not CONFIG_MAP or may_be_parameters(*_parameters(value)):
                self._project(read, value, node)
        elif served := RETIRED.get((group, kind)):
            message = f"{version} {kind} is no longer served by any API server; write {served.api_version}"
            self._refuse(node, message)

    def _take_uncovered(self, value: dict[str, Any], node: yaml.Node | None, ref: ObjectRef) -> None:
        if ref.kind in _OWNED and _owned(value):
            return
        beside_dns = (ref.api_version, ref.kind) == (DAEMON_SET.api_version, DAEMON_SET.kind)
        found = None
        if beside_dns and ref.namespace == DAEMON_SET.only_in:
            found = self._project(DAEMON_SET, value, node)
        if not (isinstance(found, DaemonSet) and runs_cache(found)):
            why = UNCOVERED[_group(ref.api_version), ref.kind]
            self.loaded.uncovered.append(Place(ref, self.file, self._line(node), why))

    def _project(self, kind: Kind, value: dict[str, Any], node: yaml.Node | None) -> Object | None:
        placed = True
        if kind.namespaced and isinstance(meta := value.get("metadata"), dict) and not meta.get("namespace"):
            value, placed = value | {"metadata": meta | {"namespace": DEFAULT_NAMESPACE}}, False
        try:
            found: Object = _projected(kind, value)
        except UnreadableObjectError as error:
            line = line_of_message(node, str(error)) + self.offset + 1
            self.loaded.problems.append(Problem(self.file, line, str(error)))
            return None
        names = found.metadata.name + found.metadata.namespace
        if not found.metadata.name:
            self._refuse(node, f"{kind} without metadata.name; write one")
        elif template_line(names) is not None:
            self.loaded.foreign.append(Problem(self.file, self._line(node), TEMPLATE))
        elif isinstance(found, Deployment) and (lacking := _lacking(found.spec)):
            why = f"is incomplete ({lacking}): {RENDER}"
            self.loaded.incomplete.append(Place(found.ref, self.file, self._line(node), why))
            self.loaded.objects -= 1
            self.loaded.makers.append(Maker(found.metadata.namespace, f"Deployment {found.metadata.name}"))
        else:
            lines = landmarks(node, self.offset) if kind in _JUDGED else {}
            self.loaded.manifests.append(Manifest(kind, found, self.file, self._line(node), lines, placed))
        return found

    def _refuse(self, node: yaml.Node | None, message: str) -> None:
        self.loaded.problems.append(Problem(self.file, self._line(node), message))

    def _line(self, node: yaml.Node | None) -> int:
        return (node.start_mark.line if node is not None else 0) + self.offset + 1


def _beside(value: dict[str, Any], controller: str, template: tuple[str, ...]) -> tuple[str, Stranger]:
    """The namespace and the pods of a workload, with what labels can be read."""
    namespace, name = _names(value)
    found: Any = value
    for step in (*template, "metadata", "labels"):
        found = found.get(step) if isinstance(found, dict) else None
    labels = found if isinstance(found, dict) else {}
    return namespace, stranger(controller, name, {key: str(text) for key, text in labels.items()})


def _projected(kind: Kind, value: dict[str, Any]) -> Any:
    """The object, by way of JSON: twice as fast as from dictionaries, whose errors name the field."""
    try:
        return project(kind, msgspec.json.encode(value))
    except (UnreadableObjectError, ValueError, OverflowError):
        return project_dict(kind, value)


def _lacking(spec: DeploymentSpec) -> str:
    """What the API server requires of a Deployment and is not there; "" where it is whole (its validation.go)."""
    pod = spec.template.spec
    if not (spec.selector.match_labels or spec.selector.match_expressions):
        return "spec.selector is missing"
    if not pod.containers:
        return "spec.template.spec.containers is missing"
    bare = (one for one in (*pod.containers, *pod.init_containers) if not one.image)
    return next((f"container {one.name} has no image" for one in bare), "")


def _parameters(value: dict[str, Any]) -> tuple[str, Any]:
    """(name, data) of a ConfigMap."""
    meta, data = value.get("metadata"), value.get("data")
    name = meta.get("name") if isinstance(meta, dict) else ""
    return name if isinstance(name, str) else "", data if isinstance(data, dict) else {}


def _owned(value: dict[str, Any]) -> bool:
    meta = value.get("metadata")
    return isinstance(meta, dict) and bool(meta.get("ownerReferences"))


def _takeovers(rollout: dict[str, Any]) -> Iterator[Takeover]:
    """The Deployment that a Rollout names by workloadRef, where it scales that down."""
    namespace, name = _names(rollout)
    spec = rollout.get("spec")
    workload = spec.get("workloadRef") if isinstance(spec, dict) else None
    if isinstance(workload, dict) and workload.get("scaleDown") in _SCALES_DOWN:
        group = _group(str(workload.get("apiVersion")))
        if (group, workload.get("kind")) == (DEPLOYMENT.group, DEPLOYMENT.kind):
            yield Takeover((namespace, str(workload.get("name"))), name)


def _group(version: str) -> str:
    return version.rpartition("/")[0]


def _names(value: dict[str, Any]) -> Iterator[str]:
    meta = value.get("metadata")
    meta = meta if isinstance(meta, dict) else {}
    yield str(meta.get("namespace") or DEFAULT_NAMESPACE)
    yield str(meta.get("name") or "")
