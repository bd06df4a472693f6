"""Who owns a leaf, and whether what we set there is still ours. Used by rules (floors) and the engine.

We leave no ownership behind: what we hold says our state annotation alone. A leaf is ours that it records, that has
the value that we set, and that no other manager owns.
"""

from resilience_operator.cluster.argocd import ARGO_CD
from resilience_operator.cluster.leaves import home_exists, observed_value, whole
from resilience_operator.cluster.objects.workloads import Application, Claim, Target
from resilience_operator.core.paths import Path
from resilience_operator.core.state import FIELD_MANAGER, Held


def others(target: Target, path: Path) -> list[Claim]:
    """The other managers' entries that own the leaf."""
    return [one for one in target.claims if str(path) in one.leaves and one.manager != FIELD_MANAGER]


def adopters(target: Target, path: Path, application: Application | None) -> list[Claim]:
    """The other managers that own all of the leaf: they have made the value their own.

    Not Argo CD where it is told to repeat whatever it finds there, and not who was overruled in one field of a list
    entry and still owns the others.
    """
    repeated = copied(target, path, application)
    return [
        claim
        for claim in others(target, path)
        if claim.leaves >= whole(path) and not (repeated and claim.manager == ARGO_CD)
    ]


def in_force(target: Target, path: Path, held: Held, application: Application | None) -> bool:
    """True where the leaf is as we set it, and nobody else owns it."""
    if not home_exists(target, path) or observed_value(target, path) != held.set:
        return False
    return not adopters(target, path, application)


def committed(target: Target, path: Path, held: Held, application: Application | None) -> bool:
    """True where the value that we set stands in the owner's manifest as well, by what was last applied."""
    return f"{path}={held.set}" in target.chosen and not copied(target, path, application)


def copied(target: Target, path: Path, application: Application | None) -> bool:
    """True where Argo CD applies whatever it finds there: then neither managedFields nor last-applied speak for Git."""
    return application is not None and application.copies(target.ref, path)


def has_entry(target: Target) -> bool:
    """True where managedFields still have an entry of ours: between our two patches, or of an earlier version."""
    return any(one.manager == FIELD_MANAGER and not one.subresource for one in target.claims)
