"""Whether the addresses that NodeLocal DNSCache binds are ones that queries reach. A part of coredns/node_local_cache.

What fits follows from who leads queries to the address of the Service kube-dns (the task "Using NodeLocal DNSCache" of
kubernetes.io, and the source of kubernetes/dns, cmd/node-cache):
- kube-proxy in iptables mode: the cache binds that address as well, and its NOTRACK rules keep the packets out of NAT.
- ipvs: the device kube-ipvs0 holds the address already; the cache binds a local one alone, which kubelet's clusterDNS
  must name. The API does not show that setting of a node.
- nftables: the page speaks of iptables and IPVS alone, and kubernetes/dns issue 682, which asks whether nftables mode
  is supported, is open. kube-proxy 1.36 binds nothing and lets untracked packets pass (pkg/proxy/nftables: its chains
  are of type nat or begin with `ct state new`); in network namespaces with such rules the cache was reached, with
  iptables-nft and iptables-legacy (measured, kernel 6.18). Measured is not supported: it is reported as unknown.
- Cilium in kube-proxy's place: it takes the queries before they reach a bound address. Its documentation (Local
  Redirect Policy) has the cache bind none (-setupinterface=false) and a CiliumLocalRedirectPolicy lead them there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from resilience_operator.cluster.objects.workloads import DaemonSet
from resilience_operator.targets.coredns.cluster_dns import REDIRECTS, DNSNeighbours, served
from resilience_operator.targets.workloads.view import DeploymentView

_FALSE = {"false", "f", "0"}


@dataclass(frozen=True, slots=True)
class Answer:
    """The sentence what is wrong, or why that cannot be said; neither: it fits."""

    wrong: str = ""
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the cache listens: `service` are the Service's own that it binds, `local` the others."""

    service: tuple[str, ...]
    local: tuple[str, ...]


def judge(cache: DaemonSet, found: DNSNeighbours, view: DeploymentView) -> Answer:
    """Whether the cache of the nodes is reached, by what stands beside it."""
    argv = _argv(cache)
    if flag(argv, "setupinterface").lower() in _FALSE:
        return _behind_a_policy(found)
    if not found.cilium and found.proxy_mode not in {"iptables", "ipvs"}:
        return Answer(unknown=_unknown_mode(found.proxy_mode))
    bound = _addresses(argv, view)
    if isinstance(bound, Answer):
        return bound
    if not bound.service:
        why = (
            f"NodeLocal DNSCache binds {_and(bound.local)} and not the Service's address: pods ask it only where"
            " kubelet's clusterDNS names that, which the API does not show"
        )
        return Answer(unknown=why)
    if found.cilium:
        return Answer(
            f"Cilium replaces kube-proxy, and takes the queries to {_and(bound.service)} before they reach the address"
            " that NodeLocal DNSCache binds: it answers none of them; run it without hostNetwork and with"
            " -setupinterface=false and -setupiptables=false, behind a CiliumLocalRedirectPolicy"
        )
    return _under_ipvs(bound) if found.proxy_mode == "ipvs" else Answer()


def _behind_a_policy(found: DNSNeighbours) -> Answer:
    if not found.cilium:
        why = (
            "NodeLocal DNSCache binds no address (-setupinterface=false): who leads queries to it is unknown"
        )
        return Answer(unknown=why)
    if not found.redirects:
        return Answer(
            "Cilium replaces kube-proxy, and NodeLocal DNSCache waits for a CiliumLocalRedirectPolicy"
            f' (-setupinterface=false), but cilium-config does not say {REDIRECTS}: "true": it gets no query; switch'
            " such policies on"
        )
    why = (
        "CiliumLocalRedirectPolicies are not read: whether one leads queries to NodeLocal DNSCache is unknown"
    )
    return Answer(unknown=why)


def _unknown_mode(mode: str) -> str:
    if mode == "nftables":
        return (
            "kube-proxy runs in nftables mode, of which NodeLocal DNSCache's documentation says nothing: whether that"
            " is supported is unknown (kubernetes/dns issue 682)"
        )
    if mode:
        return f"kube-proxy's mode {mode} is none that is known here: whether NodeLocal DNSCache fits it is unknown"
    return (
        "neither ConfigMap kube-proxy nor kube-proxy-config of kube-system says kube-proxy's mode: whether NodeLocal"
        " DNSCache fits it is unknown"
    )


def _under_ipvs(bound: Addresses) -> Answer:
    local = _and(bound.local) or "a link-local address, such as 169.254.20.10,"
    return Answer(
        f"kube-proxy runs in ipvs mode, whose kube-ipvs0 holds {_and(bound.service)}: NodeLocal DNSCache cannot bind"
        f" it; give it -localip with {local} alone, and name that as clusterDNS of every kubelet"
    )


def _argv(cache: DaemonSet) -> tuple[str, ...]:
    """The command line of the container that says -localip."""
    for container in cache.spec.template.spec.containers:
        if flag(container.argv, "localip"):
            return container.argv
    return ()


def _addresses(argv: Sequence[str], view: DeploymentView) -> Addresses | Answer:
    text = flag(argv, "localip")
    try:
        bound = [str(ip_address(each.strip())) for each in text.split(",")]
    except ValueError:
        said = f"-localip {text} is no list of addresses" if text else "it has no -localip"
        return Answer(unknown=f"what NodeLocal DNSCache binds is unknown: {said}")
    service = {each for one in view.services if served((one,)) for each in one.spec.addresses}
    if not service:
        why = "the address of the Service kube-system/kube-dns is unknown: whether NodeLocal DNSCache binds it as well"
        return Answer(unknown=why)
    mine = tuple(each for each in bound if each in service)
    return Addresses(mine, tuple(each for each in bound if each not in service))


def flag(argv: Sequence[str], name: str) -> str:
    """The value of a flag, as Go reads it: `-name value`, `-name=value` or with two dashes; "" where it has none."""
    for token, following in zip(argv, [*argv[1:], ""], strict=False):
        key, sign, value = token.partition("=")
        if token.startswith("-") and key.lstrip("-") == name:
            return value if sign else following
    return ""


def _and(addresses: Sequence[str]) -> str:
    return " and ".join(addresses)
