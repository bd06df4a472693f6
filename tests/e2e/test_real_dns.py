"""Incident dns-scale-down on real nodes: the agent, as it is installed, ends what leads to a DNS pod that is gone.

kube-proxy of today leaves no such entry by itself, so it is put back after it has cleaned up: injected.
"""

import json
import re
import signal
import time
from collections.abc import Iterator

import pytest

from tests.agent.namespaces import tcp, udp
from tests.e2e import installed
from tests.e2e.installed import states
from tests.e2e.real import (
    NAME,
    dns_endpoints,
    fewer_dns_pods,
    inject,
    load_entries,
    scale_dns,
    stale_dns_entry,
)
from tests.e2e.scene import Body, settle
from tests.lab import Lab
from tests.lab.real import addresses

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(600)]

NODE, PORT = "real-1", 40053
ENTRY = re.compile(r"^(udp|tcp) .*? sport=(\d+) .*? src=(\S+) ")


@pytest.fixture
def protected(cluster: Lab) -> Iterator[Lab]:
    """The lab with a policy that looks after cluster DNS, carried out on both nodes."""
    protect(cluster)
    yield cluster
    cluster.kubectl("delete", "rp", "dns", "--timeout=60s")


def protect(lab: Lab) -> None:
    installed.policy(lab, "dns", conntrack={"staleEntries": {}})
    installed.wait_compliant(lab, "dns")


def purged(lab: Lab, node: str = NODE) -> Body:
    """What the agent of a node says of cluster DNS."""
    told: list[Body] = states(lab)[node].get("status", {}).get("staleEntries") or [{}]
    return told[0]


def entries(lab: Lab, node: str = NODE) -> dict[tuple[str, int], str]:
    """Protocol and source port of each entry over cluster DNS's address -> where it leads, as the tool has it."""
    listed = lab.real.run(node, "conntrack", "-L", "--orig-dst", addresses.DNS)
    found = (ENTRY.match(line) for line in listed.splitlines())
    return {(one[1], int(one[2])): one[3] for one in found if one}


def test_without_a_policy_the_client_stays_dead_and_with_it_the_outage_of_the_moment_ends(
    cluster: Lab,
) -> None:
    with stale_dns_entry(cluster, NODE, PORT) as stale:
        dead = stale.ask(cluster, "8s")
        assert dead.lost == dead.sent > 10, f"the client with the fixed port is dead: {dead}"
        installed.policy(cluster, "dns", conntrack={"staleEntries": {}})
        cluster.wait(lambda: not stale.entries(cluster), 60, "the agent has ended it")
        after = stale.ask(cluster)
        assert after.lost == 0, after
    cluster.kubectl("delete", "rp", "dns", "--timeout=60s")


def test_the_entry_of_a_pod_that_went_is_ended_within_five_seconds_and_nothing_else_is_touched(
    protected: Lab,
) -> None:
    lab = protected
    before, pods = purged(lab).get("deleted", 0), sorted(dns_endpoints(lab)) * 10
    spared = [tcp("10.245.1.200", 50000 + n, addresses.DNS, pod) for n, pod in enumerate(pods)]
    spared += [udp("10.245.1.200", 51000 + n, addresses.DNS, pod) for n, pod in enumerate(pods)]
    load_entries(lab, NODE, spared)
    with stale_dns_entry(lab, NODE, PORT) as stale:
        client = lab.real.traffic(NODE, "dns", "-port", str(PORT), f"{addresses.DNS}:53", NAME)
        with client:
            assert entries(lab)["udp", PORT] == stale.dead, "it is there, after kube-proxy has cleaned up"
            lab.wait(lambda: entries(lab).get(("udp", PORT)) != stale.dead, 30, "it is gone", every=0.05)
            ended = time.time()
            settle(3)
            seen = client.stop()
        left = entries(lab)
    took = ended - stale.changed
    outage = {second: counts for second, counts in seen.seconds.items() if second < int(ended)}
    print(f"ended {took:.1f} s after the EndpointSlice changed; {seen.lost} of {seen.sent} questions lost")
    assert all(sent == lost for sent, lost in outage.values()), f"dead until then: {seen}"
    assert seen.lost_between(ended + 1, ended + 10) == 0 < seen.lost, seen
    assert took < 5
    assert [left.get(("tcp", 50000 + n)) for n in range(len(pods))] == pods, "TCP is never touched"
    alive = [None if pod == stale.dead else pod for pod in pods]
    assert [left.get(("udp", 51000 + n)) for n in range(len(pods))] == alive, "nor is a live endpoint"
    lab.wait(
        lambda: purged(lab).get("deleted", 0) - before == 1, 30, "the NodeState tells of one deleted entry"
    )


def test_entries_that_come_back_are_rules_that_are_stale_and_are_not_deleted_for_ever(protected: Lab) -> None:
    lab = protected
    lab.real.signal(NODE, "kube-proxy", signal.SIGSTOP)
    try:
        with fewer_dns_pods(lab) as (dead, _):
            clients = ("dns", "-every", "50ms", "-timeout", "50ms", f"{addresses.DNS}:53", NAME)
            with lab.real.traffic(NODE, *clients):
                lab.wait(
                    lambda: stale_rules(lab)["status"] == "True", 60, "the node says that its rules are stale"
                )
                assert dead in stale_rules(lab)["message"]
                lab.wait(lambda: ("KubeProxyRulesStale", NODE) in findings(lab), 30, "and so does the policy")
                before = turns(lab)
                settle(30)
                assert turns(lab) - before <= 4, "2, 4, 8, 16 s: less and less often"
                lab.real.signal(NODE, "kube-proxy", signal.SIGCONT)
                lab.wait(lambda: stale_rules(lab)["status"] == "False", 240, "its rules are good again")
    finally:
        lab.real.signal(NODE, "kube-proxy", signal.SIGCONT)


def stale_rules(lab: Lab) -> Body:
    conditions: list[Body] = states(lab)[NODE]["status"]["conditions"]
    return next(one for one in conditions if one["type"] == "KubeProxyRulesStale")


def findings(lab: Lab) -> set[tuple[str, str]]:
    """Reason and node of what the policy says."""
    status = json.loads(lab.kubectl("get", "rp", "dns", "-o", "json"))["status"]
    return {(one["reason"], one["object"]["name"]) for one in status.get("findings", ())}


def turns(lab: Lab) -> int:
    """How often the agent of the node has deleted entries, by its log."""
    pod = next(
        one["metadata"]["name"]
        for one in installed.pods(lab, installed.AGENT)
        if one["spec"]["nodeName"] == NODE
    )
    return lab.kubectl("-n", installed.AGENT, "logs", pod).count("stale entries of kube-system/kube-dns")


def test_of_a_service_without_endpoints_nothing_is_deleted_until_it_has_some(protected: Lab) -> None:
    lab = protected
    before = dns_endpoints(lab)
    with fewer_dns_pods(lab, by=len(before)) as (dead, _):
        settle(1)
        inject(lab, NODE, PORT, dead)
        lab.wait(lambda: purged(lab).get("held") == "NoEndpoints", 90, "the agent holds, and says why")
        assert entries(lab).get(("udp", PORT)) == dead
        scale_dns(lab, len(before))
        lab.wait(lambda: len(dns_endpoints(lab)) == len(before), 60, "DNS pods are back")
        # By kube-proxy or by the agent: both look at all entries once the endpoints changed.
        lab.wait(lambda: entries(lab).get(("udp", PORT)) != dead, 60, "the entry is gone")
        lab.wait(lambda: not purged(lab).get("held"), 90, "nothing is held any more")
