"""Who owns a leaf, and whether its owner has made our value their own. Used by rules (floors) and planning."""

from resilience_operator.core.paths import Path
from resilience_operator.core.state import FIELD_MANAGER, Held
from resilience_operator.observed.applications import ARGO_CD
from resilience_operator.observed.leaves import whole
from resilience_operator.observed.objects import Application, Claim, Target


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
    return [
        claim
        for claim in others(target, path)
        if claim.operation == "Apply"
        and claim.leaves >= whole(path)
        and not (copied and claim.manager == ARGO_CD)
    ]


def committed(target: Target, path: Path, held: Held, application: Application | None) -> bool:
    """True where the value that we set is the owner's as well: in their manifest, or applied by them."""
    return f"{path}={held.set}" in target.chosen or bool(appliers(target, path, application))
