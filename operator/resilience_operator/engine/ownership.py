"""Whether a demanded leaf may be written: who owns it now, and whether somebody chose its value.

Ownership is not intent: whoever creates an object without server-side apply "owns" even what the API server filled
in. A value was chosen where its manager applies server-side, where it stands in last-applied-configuration, or where
it differs from the API's default. Measured on kube-apiserver 1.36.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from resilience_operator.cluster.leaves import API_DEFAULTS, observed_value
from resilience_operator.cluster.objects.workloads import Claim, Target
from resilience_operator.cluster.ownership import in_force, others
from resilience_operator.core.findings import Demand
from resilience_operator.core.paths import ABSENT, JSON, Path
from resilience_operator.core.state import FIELD_MANAGER
from resilience_operator.engine.owners import NOBODY, Owner, owner
from resilience_operator.engine.view import View
from resilience_operator.policy.common import Conflicts


class Standing(StrEnum):
    """SATISFIED: nothing to write, not ours. HELD: ours and as we set it. FREE: may be written. CHOSEN: somebody's."""

    SATISFIED = "Satisfied"
    HELD = "Held"
    FREE = "Free"
    CHOSEN = "Chosen"


@dataclass(frozen=True, slots=True)
class Judgement:
    """How one demanded leaf stands.

    `owner` is the other manager, NOBODY where there is none. `chosen`: the path whose present value stands against
    the demand, where that is not the demanded one.
    """

    demand: Demand
    observed: JSON
    standing: Standing
    owner: Owner = NOBODY
    chosen: Path | None = None


def judge(demand: Demand, view: View, conflicts: Conflicts) -> Judgement:
    """Decide from the observed object how a demanded leaf stands."""
    observed = observed_value(view.target, demand.path)
    held = view.held(str(demand.path))
    as_we_left_it = held is not None and in_force(view.target, demand.path, held, view.application)
    if observed == demand.value:
        standing = Standing.HELD if as_we_left_it else Standing.SATISFIED
        return Judgement(demand, observed, standing)
    rival = next((path for path in demand.rivals if _stands_against(view, path)), None)
    if rival is not None:
        return Judgement(demand, observed, Standing.CHOSEN, owner=owner_of(view, rival), chosen=rival)
    if observed is ABSENT or as_we_left_it:
        return Judgement(demand, observed, Standing.FREE)
    rightful = owner_of(view, demand.path)
    if not is_chosen(view.target, demand.path, observed):
        return Judgement(demand, observed, Standing.FREE, owner=rightful)
    if conflicts is Conflicts.TAKE_OVER and not demand.never_take:
        return Judgement(demand, observed, Standing.FREE, owner=rightful)
    return Judgement(demand, observed, Standing.CHOSEN, owner=rightful)


def is_chosen(target: Target, path: Path, observed: JSON) -> bool:
    """True where somebody chose the present value: see the module's opening."""
    if any(claim.operation == "Apply" for claim in others(target, path)):
        return True
    return str(path) in target.chosen or observed != API_DEFAULTS.get(path, ABSENT)


def owner_of(view: View, path: Path) -> Owner:
    """Who stands behind the present value: of several managers one that applies, and the latest of those."""
    owners = others(view.target, path)
    latest = max(owners, key=lambda one: (one.operation == "Apply", one.time), default=None)
    return owner(view, latest, path)


def last_writer(target: Target, since: datetime) -> Claim | None:
    """The other manager that wrote last, and not before `since`: who removed a leaf that has no owner any more."""
    first = f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    foreign = [
        claim
        for claim in target.claims
        if claim.manager != FIELD_MANAGER and not claim.subresource and claim.time >= first
    ]
    return max(foreign, key=lambda one: one.time, default=None)


def _stands_against(view: View, path: Path) -> bool:
    held = view.held(str(path))
    if held is not None and in_force(view.target, path, held, view.application):
        return False
    return observed_value(view.target, path) is not ABSENT
