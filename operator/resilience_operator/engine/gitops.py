"""Settings of Argo CD that take our values away: findings, never enforced.

Used by engine.decide. Argo CD leaves what Git does not set alone, and reverts what Git sets within a second; both
are decided leaf by leaf elsewhere. Here is what holds for an Application as a whole (Argo CD 3.5, measured: a sync
without RespectIgnoreDifferences writes what it was told to ignore; Replace=true writes the whole object anew).
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from resilience_operator.cluster.argocd import ARGO_CD, RESPECT, SYNC_OPTIONS, named_by
from resilience_operator.cluster.leaves import api_default
from resilience_operator.core.findings import Finding, State
from resilience_operator.core.paths import ABSENT, JSON, Path
from resilience_operator.engine.change import Judged
from resilience_operator.engine.resolve import Resolution
from resilience_operator.engine.view import View
from resilience_operator.policy.policy import Policy

OVERRIDE_NOT_RESPECTED = "OverrideNotRespected"
REPLACED_AT_SYNC = "ReplacedAtSync"

REASONS: Mapping[str, str] = {
    OVERRIDE_NOT_RESPECTED: (
        "The Argo CD Application ignores our differences (spec.ignoreDifferences) without the syncOption "
        "RespectIgnoreDifferences=true: our value stands until the next sync, which writes Git's."
    ),
    REPLACED_AT_SYNC: (
        "The Argo CD Application, or the object's own sync-options, say Replace=true: each sync writes the whole "
        "object anew, without what we hold, and the pods restart twice."
    ),
}
"""Reason -> what it means, for docs/rules.md; every rule that is enforced may give them."""

_WHOLE = "Replace=true"


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A leaf that we hold or are about to write, and what was there before; `uids` of the policies behind it."""

    path: Path
    rule: str
    was: JSON
    uids: frozenset[str]


def settings_that_bite(
    view: View, resolution: Resolution, policies: Sequence[tuple[Policy, Collection[str]]]
) -> list[Judged]:
    """Findings about what the Application does to our values, one per policy, rule and reason.

    `policies`: each with the rules from which the object is opted out.
    """
    leaves = [*_held(view), *_about_to_be_written(resolution)]
    if not leaves:
        return []
    checks: tuple[Callable[[View, _Leaf], str], ...] = (_replaced, _not_respected)
    found: dict[tuple[str, str, str], list[_Leaf]] = defaultdict(list)
    for leaf in leaves:
        reason = next((said for check in checks if (said := check(view, leaf))), "")
        for policy, opted_out in policies if reason else ():
            if policy.uid in leaf.uids and leaf.rule not in opted_out:
                found[policy.name, leaf.rule, reason].append(leaf)
    return [
        _judged(view, policy, rule, reason, list(dict.fromkeys(str(leaf.path) for leaf in of)))
        for (policy, rule, reason), of in sorted(found.items())
    ]


def _held(view: View) -> Iterator[_Leaf]:
    for text, held in view.state.leaves.items():
        yield _Leaf(Path.parse(text), held.rule, held.was, frozenset(held.policies))


def _about_to_be_written(resolution: Resolution) -> Iterator[_Leaf]:
    for one in resolution.writes:
        uids = frozenset(policy.uid for policy in resolution.winners[one.demand.path].policies)
        yield _Leaf(one.demand.path, one.demand.rule, one.observed, uids)


def _replaced(view: View, leaf: _Leaf) -> str:
    """Not where the sync puts our value into the place of Git's before it replaces the object."""
    copied = view.application is not None and view.application.copies(view.ref, leaf.path)
    if copied and _may_be_in_git(view, leaf):
        return ""
    return REPLACED_AT_SYNC if _whole_option(view) else ""


def _whole_option(view: View) -> str:
    """The option that makes a sync write the whole object, and where it stands; "" where none does.

    The annotation counts where Argo CD syncs the object itself: controllers copy it to what they make of theirs.
    """
    meta = view.target.metadata
    own = [part.strip() for part in meta.annotations.get(SYNC_OPTIONS, "").split(",")]
    if _WHOLE in own and named_by(view.ref, meta) is not None:
        return f"annotation {SYNC_OPTIONS}: {_WHOLE}"
    option = view.application.has_option(_WHOLE) if view.application is not None else ""
    return f"syncOption {option}" if option else ""


def _not_respected(view: View, leaf: _Leaf) -> str:
    application = view.application
    if application is None or application.has_option(RESPECT) or not _may_be_in_git(view, leaf):
        return ""
    return OVERRIDE_NOT_RESPECTED if application.ignores(view.ref, leaf.path) else ""


def _may_be_in_git(view: View, leaf: _Leaf) -> bool:
    """False where nothing was there before us, or only what the server fills in: a sync leaves that alone."""
    if leaf.was is ABSENT:
        return False
    applies = any(one.manager == ARGO_CD and one.operation == "Apply" for one in view.target.claims)
    defaulted = leaf.was == api_default(view.target, leaf.path)
    return not defaulted or applies or str(leaf.path) in view.target.chosen


def _judged(view: View, policy: str, rule: str, reason: str, paths: list[str]) -> Judged:
    name = (
        f"Argo CD application {view.application.metadata.name}" if view.application is not None else "Argo CD"
    )
    what = ", ".join(paths)
    message, way_out = {
        OVERRIDE_NOT_RESPECTED: (
            f"{name} ignores differences of {what}, but its next sync writes what Git sets there",
            f"add {RESPECT} to its syncOptions, or commit the value",
        ),
        REPLACED_AT_SYNC: (
            f"every sync of {name} writes the whole object anew, without {what} ({_whole_option(view)})",
            "take the option away, or commit the value",
        ),
    }[reason]
    finding = Finding(rule, reason, view.ref, message, report_only=way_out)
    return Judged(policy, finding, State.REPORT_ONLY, way_out)
