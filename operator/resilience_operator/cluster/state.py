"""Whether our annotation on an object may be believed: it is data on an object that others write, too.

Asked by the store for every view. `kubectl rollout undo` brings old copies back, backups and `kubectl create` copy
it to other objects, people edit it: acting on such a state would give back values that were never there.
"""

from datetime import datetime

from resilience_operator.cluster.leaves import is_published
from resilience_operator.cluster.objects.workloads import Target
from resilience_operator.cluster.plausible import strange
from resilience_operator.core.paths import Path
from resilience_operator.core.plain import QUOTED, plain
from resilience_operator.core.state import (
    ANNOTATION,
    FIELD_MANAGER,
    ObjectState,
    UnreadableStateError,
    decode,
)

NOTHING = ObjectState()


def believe(target: Target, now: datetime | None = None) -> tuple[ObjectState, str]:
    """(the state, "") where the annotation is ours, for this object and as we wrote it; else (nothing, why not).

    `now`: times after it are not believed; None where it is not known.
    """
    text = target.metadata.annotations.get(ANNOTATION)
    if text is None:
        return NOTHING, ""
    try:
        state = decode(text)
    except UnreadableStateError as error:
        return NOTHING, f"The annotation {ANNOTATION} is not believed: {error}."
    other = next((text for text in state.leaves if not is_published(Path.parse(text), target)), None)
    if other is not None:
        return NOTHING, (
            f"The annotation {ANNOTATION} is not believed: this operator never writes {plain(other, QUOTED)}."
        )
    if why := strange(state, now):
        return NOTHING, f"The annotation {ANNOTATION} is not believed: {plain(why, QUOTED)}."
    if state.uid != target.metadata.uid:
        return NOTHING, (
            f"The annotation {ANNOTATION} is not believed: it was written for another object "
            f"(uid {plain(state.uid, QUOTED)}) and copied here, for instance from a backup."
        )
    owners = sorted({claim.manager for claim in target.claims if claim.state} - {FIELD_MANAGER})
    if owners:
        return NOTHING, (
            f"The annotation {ANNOTATION} is not believed: {', '.join(owners)} owns it, where nobody should; an older "
            "copy was brought back, for instance by kubectl rollout undo."
        )
    return state, ""
