"""Argo CD Applications: which one an object belongs to, and those settings that decide what becomes of our values.

Filled by the store, read by planning (owners, gitops). An object names its Application in the annotation
`argocd.argoproj.io/tracking-id` (APP:GROUP/KIND:NAMESPACE/NAME); one outside of Argo CD's own namespace is written
NAMESPACE_APP there (Argo CD, "Resource tracking" and "Applications in any namespace").
"""

from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatchcase

from resilience_operator.cluster.objects.meta import Meta, Observed
from resilience_operator.core.kinds import APPLICATION
from resilience_operator.core.paths import Path
from resilience_operator.core.refs import ObjectRef

TRACKING = "argocd.argoproj.io/tracking-id"
SYNC_OPTIONS = "argocd.argoproj.io/sync-options"
REFRESH = "argocd.argoproj.io/refresh"
ARGO_CD = "argocd-controller"
"""Argo CD's field manager: Update where it syncs as kubectl apply does, Apply with ServerSideApply=true."""

RESPECT = "RespectIgnoreDifferences=true"
INSTALLATION = "argocd.argoproj.io/installation-id"
"""Of several Argo CD the one that syncs the object: which of them has the Applications that we see, nobody says."""

IN_CLUSTER = "https://kubernetes.default.svc"


class Automated(Observed, frozen=True):
    """syncPolicy.automated; `enabled` false switches it off, None is on."""

    self_heal: bool = False
    enabled: bool | None = None


class SyncPolicy(Observed, frozen=True):
    """spec.syncPolicy; `sync_options` such as ServerSideApply=true."""

    automated: Automated | None = None
    sync_options: tuple[str, ...] | None = None


class IgnoredDifference(Observed, frozen=True):
    """One entry of spec.ignoreDifferences; name and namespace "" match all, group and kind may be globs."""

    group: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    json_pointers: tuple[str, ...] | None = None

    def means(self, ref: ObjectRef) -> bool:
        """True where it is about that object."""
        group = _group(ref)
        if not fnmatchcase(group, self.group) or not fnmatchcase(ref.kind, self.kind):
            return False
        return self.name in ("", ref.name) and self.namespace in ("", ref.namespace)

    def hides(self, path: Path) -> bool:
        """True where it hides that path, whoever owns it; jq expressions are not read, nor pointers into lists."""
        pointer = _up_to_a_list(path)
        return any(
            each and (pointer == each or pointer.startswith(f"{each}/")) for each in self.json_pointers or ()
        )


def _up_to_a_list(path: Path) -> str:
    """The path as a JSON pointer; one that leads through a list with keys ends at that list."""
    pointer = ""
    for step in path.steps:
        pointer += f"/{step.field}"
        if step.keys:
            break
    return pointer


def _group(ref: ObjectRef) -> str:
    return ref.api_version.rpartition("/")[0]


class Destination(Observed, frozen=True):
    """spec.destination: the cluster, by address or by name."""

    server: str = ""
    name: str = ""


class ApplicationSpec(Observed, frozen=True):
    """Of an Application's spec how it syncs, and where to."""

    sync_policy: SyncPolicy | None = None
    ignore_differences: tuple[IgnoredDifference, ...] | None = None
    destination: Destination = Destination()


class Application(Observed, frozen=True):
    """argoproj.io/v1alpha1 Application, projected."""

    metadata: Meta
    spec: ApplicationSpec = ApplicationSpec()

    @property
    def ref(self) -> ObjectRef:
        """The Application as a reference."""
        meta = self.metadata
        return ObjectRef(APPLICATION.api_version, APPLICATION.kind, meta.namespace, meta.name, meta.uid)

    @property
    def sync(self) -> str:
        """How it syncs, for a person."""
        policy = self.spec.sync_policy
        automated = policy.automated if policy is not None else None
        if automated is None or automated.enabled is False:
            return "manual sync"
        return "sync with selfHeal" if automated.self_heal else "automated sync without selfHeal"

    def has_option(self, *options: str) -> str:
        """The first of its syncOptions that is one of these, "" where none is."""
        policy = self.spec.sync_policy
        stated = (policy.sync_options or ()) if policy is not None else ()
        return next((one for one in stated if one in options), "")

    @property
    def is_here(self) -> bool:
        """True where it syncs to the cluster that it lies in itself, by one of the names that Argo CD gives that."""
        to = self.spec.destination
        return to.server == IN_CLUSTER or (not to.server and to.name == "in-cluster")

    def ignores(self, ref: ObjectRef, path: Path) -> bool:
        """True where it is told to see no difference at that path; by manager it finds nothing of ours."""
        return any(one.hides(path) for one in self._about(ref))

    def copies(self, ref: ObjectRef, path: Path) -> bool:
        """True where its sync repeats whatever value is there: Git's never comes back by itself."""
        return self._respects and self.ignores(ref, path)

    @property
    def _respects(self) -> bool:
        return self.is_here and bool(self.has_option(RESPECT))

    def _about(self, ref: ObjectRef) -> Iterator[IgnoredDifference]:
        return (one for one in self.spec.ignore_differences or () if one.means(ref))


def named_by(ref: ObjectRef, meta: Meta) -> tuple[str, str] | None:
    """(namespace, name) of the Application that an object belongs to by its own words; namespace "": Argo CD's own.

    None where the words are about another object: controllers copy annotations to what they make of it, and people to
    what they make after it. Argo CD compares them alike.
    """
    tracked, _, what = meta.annotations.get(TRACKING, "").partition(":")
    if not tracked or what != f"{_group(ref)}/{ref.kind}:{ref.namespace}/{ref.name}":
        return None
    namespace, _, name = tracked.rpartition("_")
    return namespace, name


class Applications:
    """Every known Application by name. Objects belong to one by name alone, where its namespace is Argo CD's own."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[str, Application]] = defaultdict(dict)

    def add(self, one: Application) -> None:
        """It is there, or changed."""
        self._by_name[one.metadata.name][one.metadata.namespace] = one

    def remove(self, one: Application) -> None:
        """It is gone."""
        namesakes = self._by_name.get(one.metadata.name, {})
        namesakes.pop(one.metadata.namespace, None)
        if not namesakes:
            self._by_name.pop(one.metadata.name, None)

    def of(self, ref: ObjectRef, meta: Meta) -> Application | None:
        """The Application that an object belongs to; None where it is not known, or not which of two namesakes."""
        named = named_by(ref, meta)
        if named is None or INSTALLATION in meta.annotations:
            return None
        namespace, name = named
        namesakes = self._by_name.get(name, {})
        if namespace:
            return namesakes.get(namespace)
        return next(iter(namesakes.values())) if len(namesakes) == 1 else None
