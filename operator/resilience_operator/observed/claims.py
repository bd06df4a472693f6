"""Who owns a leaf, and whether its owner has made our value their own. Used by rules (floors) and planning."""

from resilience_operator.core.paths import Path
from resilience_operator.core.state import FIELD_MANAGER, Held
from resilience_operator.observed.objects import Claim, Target


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


def committed(target: Target, path: Path, held: Held) -> bool:
    """True where the value that we set is the owner's as well: in their manifest, or applied by them."""
    if f"{path}={held.set}" in target.chosen:
        return True
    return any(claim.operation == "Apply" for claim in others(target, path))
