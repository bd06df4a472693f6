"""Argo CD Applications: which one an object belongs to, and those settings that decide what becomes of our values.

Filled by the store, read by planning (owners, gitops). An object names its Application in the annotation
`argocd.argoproj.io/tracking-id` (APP:GROUP/KIND:NAMESPACE/NAME); one outside of Argo CD's own namespace is written
NAMESPACE_APP there (Argo CD, "Resource tracking" and "Applications in any namespace").
"""

from collections import defaultdict
from fnmatch import fnmatchcase

from resilience_operator.core.kinds import APPLICATION
from resilience_operator.core.paths import Path
from resilience_operator.core.refs import ObjectRef
from resilience_operator.core.state import FIELD_MANAGER
from resilience_operator.observed.base import Meta, Observed

TRACKING = "argocd.argoproj.io/tracking-id"
SYNC_OPTIONS = "argocd.argoproj.io/sync-options"
REFRESH = "argocd.argoproj.io/refresh"
ARGO_CD = "argocd-controller"
"""Argo CD's field manager: Update where it syncs as kubectl apply does, Apply with ServerSideApply=true."""

RESPECT = "RespectIgnoreDifferences=true"


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
    managed_fields_managers: tuple[str, ...] | None = None

    def covers(self, ref: ObjectRef, path: Path) -> bool:
        """True where it hides what we set at that path; jq expressions are not read, nor pointers into lists."""
        group = ref.api_version.rpartition("/")[0]
        if not fnmatchcase(group, self.group) or not fnmatchcase(ref.kind, self.kind):
            return False
        if self.name not in ("", ref.name) or self.namespace not in ("", ref.namespace):
            return False
        if FIELD_MANAGER in (self.managed_fields_managers or ()):
            return True
        pointer = "".join(f"/{step.field}" for step in path.steps)
        plain = not any(step.keys for step in path.steps)
        return plain and any(
            pointer == each or pointer.startswith(f"{each}/") for each in self.json_pointers or ()
        )


class ApplicationSpec(Observed, frozen=True):
    """Of an Application's spec how it syncs."""

    sync_policy: SyncPolicy | None = None
    ignore_differences: tuple[IgnoredDifference, ...] | None = None


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

    def ignores(self, ref: ObjectRef, path: Path) -> bool:
        """True where it is told to see no difference in what we set at that path."""
        return any(one.covers(ref, path) for one in self.spec.ignore_differences or ())

    def copies(self, ref: ObjectRef, path: Path) -> bool:
        """True where its server-side sync repeats our value, so that its claim to the field is nobody's wish."""
        return bool(self.has_option(RESPECT)) and self.ignores(ref, path)


def named_by(meta: Meta) -> tuple[str, str] | None:
    """(namespace, name) of the Application that an object belongs to by its own words; namespace "": Argo CD's own."""
    tracked, found, _ = meta.annotations.get(TRACKING, "").partition(":")
    if not found or not tracked:
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

    def of(self, meta: Meta) -> Application | None:
        """The Application that an object belongs to; None where it is not known, or not which of two namesakes."""
        named = named_by(meta)
        namesakes = self._by_name.get(named[1], {}) if named is not None else {}
        if named is None or not namesakes:
            return None
        if named[0]:
            return namesakes.get(named[0])
        return next(iter(namesakes.values())) if len(namesakes) == 1 else namesakes.get("argocd")
