"""Who owns a leaf, and whether its owner has made our value their own. Used by rules (floors) and planning."""

from resilience_operator.cluster.argocd import ARGO_CD
from resilience_operator.cluster.leaves import whole
from resilience_operator.cluster.objects.workloads import Application, Claim, Target
from resilience_operator.core.paths import Path
from resilience_operator.core.state import FIELD_MANAGER, Held


def owned_by_us(target: Target, path: Path) -> bool:
    """True where our field manager owns the leaf."""
    return any(
        claim.manager == FIELD_MANAGER and claim.operation == "Apply" and str(path) in claim.leaves
        for claim in target.claims
    )


def others(target: Target, path: Path) -> list[Claim]:
    """The other managers' entries that own the leaf."""
    return [
        claim
        for claim in target.claims
        if str(path) in claim.leaves and not (claim.manager == FIELD_MANAGER and claim.operation == "Apply")
    ]


def appliers(target: Target, path: Path, application: Application | None) -> list[Claim]:
    """The other managers that apply all of the leaf because they want it so.

    Not Argo CD where it is told to repeat ours, and not who was overruled in one field and still owns the others.
    """
    copied = application is not None and application.copies(target.ref, path)
    return _applied(target, path, besides=ARGO_CD if copied else "")


def adopters(target: Target, path: Path, application: Application | None) -> list[Claim]:
    """The other managers that go on applying all of the leaf when we let go of it.

    Argo CD is one of them also where it repeats our value: it does so only where Git sets the leaf, and applies Git's
    value once we own it no more; what was there before us may be older, and lower. Not where it ignores the leaf
    by its path: then it repeats what it finds, for ever.
    """
    given_up = application is not None and application.gives_up(target.ref, path)
    return _applied(target, path, besides=ARGO_CD if given_up else "")


def _applied(target: Target, path: Path, besides: str) -> list[Claim]:
    found = (claim for claim in others(target, path) if claim.operation == "Apply")
    return [claim for claim in found if claim.leaves >= whole(path) and claim.manager != besides]


def committed(target: Target, path: Path, held: Held, application: Application | None) -> bool:
    """True where the value that we set is the owner's as well: in their manifest, or applied by them."""
    return f"{path}={held.set}" in target.chosen or bool(appliers(target, path, application))
