"""Changes that are not repeated: after a failed rollout, and after a person undid ours with `kubectl rollout undo`.

A quarantine ends when the policy's spec or the object's template changes. Used by engine.decide.
"""

from collections.abc import Mapping
from dataclasses import replace

from resilience_operator.cluster.objects.workloads import ReplicaSet
from resilience_operator.core.paths import Path
from resilience_operator.core.state import ANNOTATION, ObjectState, Quarantine, UnreadableStateError, decode
from resilience_operator.engine.view import View, newest_replica_set
from resilience_operator.policy.policy import Policy

ROLLOUT_FAILED = "RolloutFailed"
UNDONE = "Undone"


def in_force(view: View, quarantine: Quarantine, policy: Policy) -> bool:
    """True where this policy's change is still in quarantine on this object."""
    newest = newest_replica_set(view)
    unchanged = newest is None or newest.revision <= quarantine.revision
    return unchanged and quarantine.policies.get(policy.uid) == policy.digest


def recorded(view: View) -> tuple[Quarantine, ...]:
    """The quarantines on the object; where all annotations were taken from it, those in its ReplicaSet's copy.

    Whoever replaces the whole object (kubectl replace, Argo CD with Replace=true) leaves the ReplicaSet as it is.
    """
    newest = newest_replica_set(view)
    if view.state or view.distrust or newest is None:
        return view.state.quarantines
    copy = _ours(view, newest)
    return copy.quarantines if copy is not None else ()


def remembered(
    view: View, directory: Mapping[str, Policy], inferred: Quarantine | None, revision: int
) -> tuple[Quarantine, ...]:
    """The quarantines that a write of ours keeps, for a template that becomes `revision` (0: it stays as it is).

    What failed counts against its policy until the policy's spec changes, also where the template lifted it; and a
    spec that changed may be changed back (suspend: true, then false). What is still in force stays so: our own change
    of the template does not lift it.
    """
    every = [*recorded(view), *([inferred] if inferred is not None else [])]
    newest, kept = newest_replica_set(view), []
    for one in every:
        if not any(uid in directory for uid in one.policies):
            continue
        unlifted = newest is None or newest.revision <= one.revision
        kept.append(replace(one, revision=revision) if revision and unlifted else one)
    return tuple(kept)


def undone(view: View, policies: tuple[Policy, ...]) -> Quarantine | None:
    """The quarantine that a person's undo of our change amounts to, or None.

    `kubectl rollout undo` takes an old ReplicaSet back into use and replaces all annotations: our state is gone from
    the Deployment, but the ReplicaSet of our change still bears its copy, and a newer revision runs on an older one.
    """
    newest = newest_replica_set(view)
    if newest is None or _holds_template(view.state) or _ours(view, newest) is not None:
        return None
    by_age = sorted(
        view.workload.replica_sets if view.workload is not None else (), key=lambda one: -one.revision
    )
    known = ((one, copy) for one in by_age if (copy := _ours(view, one)) is not None)
    ours, copy = next(known, (newest, ObjectState()))
    refused = {one.uid: one.digest for one in policies if copy.policies.get(one.uid) == one.generation}
    if not copy.leaves or not refused or not _superseded_by_older(ours, newest):
        return None
    message = (
        f"revision {ours.revision} with our change was rolled back to an earlier template (kubectl rollout undo, "
        f"or a replace of the whole object); it is not repeated until the policy or the template changes"
    )
    return Quarantine(UNDONE, message, view.now, refused, newest.revision, tuple(sorted(copy.rules())))


def _holds_template(state: ObjectState) -> bool:
    return any(Path.parse(text).in_template for text in state.leaves)


def _ours(view: View, replica_set: ReplicaSet) -> ObjectState | None:
    """The copy of our state on a ReplicaSet whose revision a write of ours made, also one that gave values back."""
    text = replica_set.metadata.annotations.get(ANNOTATION, "")
    if not text:
        return None
    try:
        state = decode(text)
    except UnreadableStateError:
        return None
    last = state.applies[-1].revision if state.applies else 0
    return state if (state.uid, last) == (view.target.metadata.uid, replica_set.revision) else None


def _superseded_by_older(ours: ReplicaSet, newest: ReplicaSet) -> bool:
    created, running = ours.metadata.creation_timestamp, newest.metadata.creation_timestamp
    return (
        newest.revision > ours.revision and created is not None and running is not None and running <= created
    )
