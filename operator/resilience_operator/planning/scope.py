"""Which objects a policy speaks of. Used by planning.decide; the opt-outs are judged in planning.optout."""

from resilience_operator.core.policy import Deployments, Policy
from resilience_operator.observed.view import DeploymentView


def covers(policy: Policy, view: DeploymentView, own_namespace: str = "") -> bool:
    """True where the policy's section speaks of this Deployment.

    A namespaceSelector does not match a Namespace that was not observed: doubt leaves the object alone.
    """
    section = policy.deployments
    return (
        section is not None
        and not view.deployment.metadata.deletion_timestamp
        and _in_scope(section, view, own_namespace)
    )


def _in_scope(section: Deployments, view: DeploymentView, own_namespace: str) -> bool:
    meta = view.deployment.metadata
    if not section.namespaces.covers(meta.namespace, own_namespace):
        return False
    if not section.selector.matches(meta.labels):
        return False
    selector = section.namespace_selector
    if not selector.match_labels and not selector.match_expressions:
        return True
    return view.namespace is not None and selector.matches(view.namespace.metadata.labels)
