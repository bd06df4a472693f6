"""Whom the resolver of a Deployment's pods asks, and whether its queries race. Used by deployments/dns_config."""

from resilience_operator.cluster.objects.workloads import MatchExpression
from resilience_operator.targets.workloads.placement import only_on
from resilience_operator.targets.workloads.view import DeploymentView

ENDS_RACE = frozenset({"single-request-reopen", "single-request", "use-vc"})
"""Each keeps two queries from racing over one UDP socket: another socket, one after the other, TCP (resolv.conf(5))."""
_OS_LABELS = ("kubernetes.io/os", "beta.kubernetes.io/os")
_BUILD_LABEL = "node.kubernetes.io/windows-build"
"""Nodes of Windows alone have it."""
_WINDOWS = "windows"

Option = dict[str, str]
"""An entry of dnsConfig.options: its name, and its value where it has one."""


def races(options: list[Option], view: DeploymentView) -> bool:
    """True where the pods ask the DNS Service two questions at once over UDP.

    With dnsPolicy Default they ask the node's resolver, with None their own nameservers, and so do pods of
    hostNetwork, whose ClusterFirst counts as Default (kubelet, network/dns).
    """
    pod = view.deployment.spec.template.spec
    policy = pod.dns_policy or "ClusterFirst"
    elsewhere = policy in {"Default", "None"} or (pod.host_network and policy == "ClusterFirst")
    return not elsewhere and not any(option["name"] in {"use-vc", "single-request"} for option in options)


def windows(view: DeploymentView) -> str:
    """Why no option is of use there: Windows takes servers and search domains alone (kubernetes/kubernetes#63905)."""
    pod = view.deployment.spec.template.spec
    if pod.os is not None and pod.os.name == _WINDOWS:
        return f"os.name is {_WINDOWS}: Windows ignores the option"
    for label in _OS_LABELS:
        if pod.node_selector.get(label) == _WINDOWS:
            return f"nodeSelector {label} is {_WINDOWS}: Windows ignores the option"
    if _BUILD_LABEL in pod.node_selector:
        return f"nodeSelector has {_BUILD_LABEL}: Windows ignores the option"
    if only_on(pod.affinity, _is_windows):
        return f"nodeAffinity requires {_WINDOWS}: Windows ignores the option"
    return ""


def _is_windows(item: MatchExpression) -> bool:
    """True where nodes of Windows alone meet an expression."""
    if item.key == _BUILD_LABEL:
        return item.operator in {"In", "Exists", "Gt", "Lt"}
    if item.key not in _OS_LABELS:
        return False
    values = set(item.values)
    return (item.operator, values) in (("In", {_WINDOWS}), ("NotIn", {"linux"}))
