"""What we last wrote on objects that others replace as a whole: who takes our annotation as well as our values.

Used by reconcile. Every pass decides from what is observed, and the count of reverts is on the object; but a client
that replaces it (kubectl replace, Argo CD with Replace=true) takes the count along, and the contest would never end.
"""

from collections import OrderedDict
from dataclasses import replace
from datetime import timedelta

from resilience_operator.cluster.ownership import in_force
from resilience_operator.core.paths import Path
from resilience_operator.core.state import ObjectState
from resilience_operator.engine.change import Verb
from resilience_operator.run.apply import Done, Report
from resilience_operator.targets.workloads.view import View

REMEMBERED = timedelta(days=1)
"""After our last write; as long as the longest back-off of a contest."""

MOST = 10_000
"""Objects; of more the oldest are forgotten, and may be contested anew."""


class Reminders:
    """State by uid, of writes outside of pod templates: whoever takes a template back is told from its ReplicaSets."""

    def __init__(self) -> None:
        self._written: OrderedDict[str, ObjectState] = OrderedDict()

    def learn(self, report: Report) -> None:
        """Remember the state that a write of ours left on the object."""
        change = report.change
        if report.done is not Done.DONE or change.owner is not None:
            return
        uid, withdrawn = change.object.uid, change.verb is Verb.WITHDRAW
        state = change.state if withdrawn else change.stamped(report.at)
        self._written.pop(uid, None)
        outside = {text: held for text, held in state.leaves.items() if not Path.parse(text).in_template}
        if not outside or not state.applies:
            return
        self._written[uid] = replace(state, leaves=outside, quarantines=())
        if len(self._written) > MOST:
            self._written.popitem(last=False)

    def remind(self, view: View) -> View:
        """The view with the state that was taken from it together with our values; else as it is.

        Where only the annotation is gone our values stand, and nothing is contested.
        """
        state = self._written.get(view.ref.uid)
        if state is None or view.state or view.distrust:
            return view
        if view.now - state.applies[-1].at > REMEMBERED:
            del self._written[view.ref.uid]
            return view
        taken = any(
            not in_force(view.target, Path.parse(text), held, view.application)
            for text, held in state.leaves.items()
        )
        return replace(view, state=state) if taken else view
