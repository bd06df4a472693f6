"""What a policy holds in a cluster, and in which order it is given back. Pure; used by cli/revert.

Deployment by Deployment: its own leaves first, then our budget of it, then the floor in what scales it, so that no
capacity is taken away while its pods restart. Those of which no pod restarts come first: they need no waiting.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from resilience_operator.cli.cluster import Cluster
from resilience_operator.cluster.leaves import REPLICAS
from resilience_operator.cluster.objects.workloads import Addon, Application
from resilience_operator.core.kinds import BUDGET, DEPLOYMENT
from resilience_operator.core.paths import Path
from resilience_operator.core.refs import Key, ObjectRef, key_of
from resilience_operator.core.state import Held, ObjectState
from resilience_operator.targets.coredns import addon_state as addons
from resilience_operator.targets.coredns.addon_configuration import command
from resilience_operator.targets.coredns.texts import COREDNS_BUDGET, COREDNS_FLOOR
from resilience_operator.targets.nodes.kinds import NODE_STATE
from resilience_operator.targets.workloads.budgets import POLICY_LABEL, ours
from resilience_operator.targets.workloads.scaling import By, who_scales
from resilience_operator.targets.workloads.scope import asked_of
from resilience_operator.targets.workloads.texts import DISRUPTION_BUDGET
from resilience_operator.targets.workloads.view import DeploymentView, ScalerView, View

FLOOR_OF_DNS = frozenset({COREDNS_FLOOR})
"""The rules that change an autoscaler's Deployment for the sake of what it scales."""


@dataclass(frozen=True, slots=True)
class Step:
    """One object to give back; `uids` of the policy.

    `whole`: it is ours altogether, and removed. `rules`: only what they wrote, None: everything. `pods`: how many
    restart at most. `opt_out`: the rules from which it is to be opted out. `kept`: written path -> who decides about
    it by now, so that it stays as it is. `gone`: uids of policies that are there no more. `application`: the Argo CD
    Application that the object belongs to.
    """

    ref: ObjectRef
    uids: frozenset[str]
    rules: frozenset[str] | None = None
    pods: int = 0
    opt_out: tuple[str, ...] = ()
    kept: Mapping[str, str] = field(default_factory=dict)
    whole: bool = False
    gone: frozenset[str] = frozenset()
    application: Application | None = None
    ruled: Mapping[str, str] = field(default_factory=dict)
    """Written path -> the rule that wrote it; "" stands for an object that is ours altogether."""

    @property
    def gives_back(self) -> bool:
        """False where it only opts the object out."""
        return self.whole or self.rules != frozenset()


def uids_of(cluster: Cluster, policy: str) -> frozenset[str]:
    """The uids of every policy of that name that left a trace, also of those that are gone; a uid stands for itself."""
    views = (cluster.look(key) for key in cluster.store.subjects())
    names = [view.state.names for view in views if view is not None and view.state.names]
    known = {uid for one in names for uid, name in one.items() if name == policy}
    return frozenset(known | {cluster.uids.get(policy, policy)})


def orphans(cluster: Cluster) -> Counter[str]:
    """uid -> how many objects of our own are of that policy, where it is gone: they alone do not know its name."""
    views = (cluster.look(key_of(one.ref)) for one in cluster.store.objects(DEPLOYMENT))
    mine = (budget for view in views if isinstance(view, DeploymentView) for budget in ours(view))
    uids = Counter(budget.metadata.labels[POLICY_LABEL] for budget in mine)
    uids += Counter(one.policy for one in cluster.store.objects(NODE_STATE) if one.policy)
    return Counter({uid: count for uid, count in uids.items() if uid not in cluster.uids.values()})


def held_by(
    state: ObjectState,
    uids: frozenset[str],
    rules: frozenset[str] | None = None,
    gone: frozenset[str] = frozenset(),
) -> dict[str, Held]:
    """Written path -> what the policy holds there by these rules (None: by any), and no other policy does.

    `gone`: uids of policies that are there no more; what one of them held as well is nobody else's.
    """
    return {
        text: one
        for text, one in state.leaves.items()
        if uids.intersection(one.policies)
        and (uids | gone).issuperset(one.policies)
        and (rules is None or one.rule in rules)
    }


def gone_from(cluster: Cluster) -> frozenset[str]:
    """Uids of policies that hold something and are there no more."""
    views = (cluster.look(key) for key in cluster.store.subjects())
    leaves = [one for view in views if view is not None for one in view.state.leaves.values()]
    return frozenset(uid for one in leaves for uid in one.policies) - set(cluster.uids.values())


def everything(cluster: Cluster, uids: frozenset[str]) -> list[Step]:
    """All that the policy holds, in the order in which it is given back."""
    groups: dict[Key, list[Step]] = {}
    gone = gone_from(cluster)
    for key in cluster.store.subjects():
        view = cluster.look(key)
        if view is not None:
            steps = [*_step(view, uids, gone), *_removals(cluster, view, uids)]
            scaled = view.scaled if isinstance(view, ScalerView) else None
            groups.setdefault(key_of(scaled.ref) if scaled is not None else key, []).extend(steps)
    ordered = sorted(groups.items(), key=lambda one: (any(step.pods for step in one[1]), one[0]))
    return [replace(step, opt_out=()) for _, steps in ordered for step in sorted(steps, key=_rank)]


def _rank(step: Step) -> tuple[int, ObjectRef]:
    return (0 if step.ref.kind == DEPLOYMENT.kind else 1 if step.whole else 2, step.ref)


def around(cluster: Cluster, uids: frozenset[str], key: Key) -> list[Step]:
    """What the policy holds on one object and, for a Deployment, beside it; opted out, so that nothing is repeated."""
    if key[2:] == (BUDGET.kind,):
        return _one_budget(cluster, uids, key)
    view = cluster.look(key)
    if view is None:
        return []
    own = [*_step(view, uids, gone_from(cluster))]
    if not isinstance(view, DeploymentView):
        return own
    return _opted_out(view, uids, [*own, *_removals(cluster, view, uids), *_scaling(cluster, view, uids)])


def _scaling(cluster: Cluster, view: DeploymentView, uids: frozenset[str]) -> Iterator[Step]:
    """The floor in what scales a Deployment; an autoscaler's Deployment has settings of its own as well."""
    for each in (*view.scalers, *view.config_maps):
        yield from _step(cluster.look(key_of(each.ref)), uids, gone_from(cluster))
    for autoscaler in view.autoscalers:
        yield from _step(cluster.look(key_of(autoscaler.ref)), uids, gone_from(cluster), FLOOR_OF_DNS)


def _opted_out(view: DeploymentView, uids: frozenset[str], steps: list[Step]) -> list[Step]:
    """The same steps with every opt-out on the Deployment, and that first: it holds for all that is beside it."""
    if not steps:
        return []
    own = next((step for step in steps if step.ref == view.ref), Step(view.ref, uids, rules=frozenset()))
    rules = tuple(sorted({rule for step in steps for rule in step.opt_out}))
    beside = [replace(step, opt_out=()) for step in steps if step.ref != view.ref]
    return [replace(own, opt_out=rules), *beside]


def _one_budget(cluster: Cluster, uids: frozenset[str], key: Key) -> list[Step]:
    """A budget of ours alone: its Deployment is opted out, for nobody asks a budget that is not there."""
    for deployment in cluster.store.objects(DEPLOYMENT):
        view = cluster.look(key_of(deployment.ref)) if deployment.metadata.namespace == key[0] else None
        found = [one for one in _removals(cluster, view, uids) if one.ref.name == key[1]]
        if isinstance(view, DeploymentView) and found:
            return _opted_out(view, uids, found)
    return []


def _step(
    view: View | None, uids: frozenset[str], gone: frozenset[str], rules: frozenset[str] | None = None
) -> Iterator[Step]:
    """What is given back on one object, with an opt-out from its rules; nothing where nothing is held."""
    held = held_by(view.state, uids, rules, gone) if view is not None else {}
    if view is not None and held and not isinstance(view.target, Addon):
        restarts = any(Path.parse(text).in_template for text in held)
        pods = view.workload.pods_replaced if restarts and view.workload is not None else 0
        opt_out = tuple(sorted({one.rule for one in held.values()}))
        kept = dict(_kept(view, held))
        ruled = {text: one.rule for text, one in held.items()}
        yield Step(view.ref, uids, rules, pods, opt_out, kept, False, gone, view.application, ruled)


def at_aws(cluster: Cluster, uids: frozenset[str]) -> str:
    """What a person types to give back what the policy holds at AWS, which no command here asks; "" where nothing."""
    view = cluster.look(addons.KEY)
    held = held_by(view.state, uids).get(addons.LEAF) if view is not None else None
    if held is None:
        return ""
    before = command("", addons.given_back(str(held.was)))
    return f"the EKS add-on coredns is not given back here, for AWS is not asked: {before}"


def _kept(view: View, held: Mapping[str, Held]) -> Iterator[tuple[str, str]]:
    """A number of replicas that somebody scales by now: the old one would take away what is needed today."""
    if isinstance(view, DeploymentView) and str(REPLICAS) in held:
        scaling = who_scales(view)
        if scaling.by is not By.NOBODY:
            yield str(REPLICAS), scaling.who


def _removals(cluster: Cluster, view: View | None, uids: frozenset[str]) -> Iterator[Step]:
    """Our budgets of a Deployment, with an opt-out from the rule that asks for them."""
    if not isinstance(view, DeploymentView):
        return
    for budget in ours(view):
        if budget.metadata.labels[POLICY_LABEL] in uids:
            asked = {rule for policy in cluster.policies.values() for rule in asked_of(policy, view)}
            rule = COREDNS_BUDGET if COREDNS_BUDGET in asked else DISRUPTION_BUDGET
            yield Step(budget.ref, uids, opt_out=(rule,), whole=True, ruled={"": rule})
