"""Who stands behind a value, in words: the manager, its operation, and Git, the release or the person behind it.

managedFields name programs; people know Applications, releases and each other. Used by planning (ownership, contest,
scale, companions), whose sentences end in status, Events and the command line.
Names of field managers: those of kubectl 1.36, Helm 3 and 4, Argo CD 3.5 and Flux 2.
"""

import json
from dataclasses import dataclass

from resilience_operator.cluster.argocd import named_by
from resilience_operator.cluster.leaves import observed_value
from resilience_operator.cluster.objects.workloads import Claim, Meta
from resilience_operator.core.paths import ABSENT, JSON, Path
from resilience_operator.engine.view import View

_LONGEST = 200
"""Characters of a value in a sentence."""

_TOOLS = {
    ("kubectl-client-side-apply", "Update"): "kubectl apply",
    ("kubectl-last-applied", "Apply"): "kubectl apply",
    ("kubectl", "Apply"): "kubectl apply --server-side",
    ("kubectl", "Update"): "kubectl",
}
_PREFIX = "kubectl-"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whoever set a value: `who` for the sentence, `verb` what they do, `details` in brackets behind it."""

    who: str
    verb: str
    details: str

    def __str__(self) -> str:
        return f"{self.who} ({self.details})" if self.details else self.who

    def sets(self, path: Path, value: JSON) -> str:
        """Such as: Git sets spec.replicas: 1 (Argo CD application shop; argocd-controller, Update)."""
        behind = f" ({self.details})" if self.details else ""
        if value is ABSENT:
            return f"{self.who} {self.verb} {path}{behind}"
        text = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
        short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
        return f"{self.who} {self.verb} {path}: {short}{behind}"


NOBODY = Owner("", "", "")
UNKNOWN = Owner("a manager that left no trace", "set", "")


def owner(view: View, claim: Claim | None, path: Path) -> Owner:
    """The owner of a leaf behind one entry of managedFields; None: nobody is named there."""
    if claim is None:
        return UNKNOWN
    program = f"{claim.manager}, {claim.operation}"
    meta = view.target.metadata
    application, release = _application(view), _release(meta)
    match claim.manager:
        case "argocd-controller":
            return Owner(*_argo_cd(view, claim, path), f"{application or 'Argo CD'}; {program}")
        case "kustomize-controller":
            return Owner("Git", "sets", f"{_flux(meta, 'kustomize', 'Kustomization') or 'Flux'}; {program}")
        case "helm-controller":
            return Owner("Git", "sets", f"{_flux(meta, 'helm', 'HelmRelease') or 'Flux'}; {program}")
        case "helm":
            return Owner("Helm", "set", f"{release}; {program}" if release else program)
    tool = _tool(claim)
    home = application or release
    of = f"; the object belongs to {home}" if home else ""
    if tool:
        return Owner(f"somebody with {tool}", "set", f"{program}{of}")
    return Owner(claim.manager, "sets", f"{claim.operation}{of}")


def _argo_cd(view: View, claim: Claim, path: Path) -> tuple[str, str]:
    """Who, and what they do: managedFields show that Argo CD wrote the leaf, and not that Git has it so.

    In a client-side sync it owns what the API server filled in, too; what it ignores it applies as it found it.
    """
    held = view.held(str(path))
    if held is not None and observed_value(view.target, path) == held.set:
        return "Argo CD", "applies, as the operator has set it,"
    filled_in = claim.operation != "Apply" and str(path) not in view.target.chosen
    return (claim.manager, "sets") if filled_in else ("Git", "sets")


def _tool(claim: Claim) -> str:
    """The command of kubectl behind a claim, "" where it is none."""
    known = _TOOLS.get((claim.manager, claim.operation), "")
    prefixed = claim.manager.startswith(_PREFIX)
    return known or (f"kubectl {claim.manager.removeprefix(_PREFIX)}" if prefixed else "")


def _application(view: View) -> str:
    named = named_by(view.ref, view.target.metadata)
    if named is None:
        return ""
    namespace, name = named
    full = f"Argo CD application {namespace}/{name}" if namespace else f"Argo CD application {name}"
    return f"{full}, {view.application.sync}" if view.application is not None else full


def _release(meta: Meta) -> str:
    name = meta.annotations.get("meta.helm.sh/release-name", "")
    return f"Helm release {name}" if name else ""


def _flux(meta: Meta, toolkit: str, kind: str) -> str:
    """From the labels that Flux puts on what it applies (fluxcd.io: Kustomization and HelmRelease, "Owner labels")."""
    name, namespace = (
        meta.labels.get(f"{toolkit}.toolkit.fluxcd.io/{key}", "") for key in ("name", "namespace")
    )
    return f"Flux {kind} {namespace}/{name}" if name else ""
