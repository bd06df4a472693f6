"""Which policies caused the rollout that runs on an object. Used by engine/decide and engine/changes."""

from resilience_operator.engine.view import View


def causing(view: View) -> tuple[str, ...]:
    """Uids of the policies whose leaves our last change of the template wrote; of one that gave back, all of them."""
    revisions = [apply.revision for apply in view.state.applies if apply.revision]
    held = [one for one in view.state.leaves.values() if revisions and one.revision == revisions[-1]]
    return tuple(dict.fromkeys(uid for one in held for uid in one.policies)) or tuple(view.state.policies)
