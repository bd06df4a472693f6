"""The incidents on real nodes, told in lost requests: the twin without a policy loses some, with it none are lost."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from tests.e2e.conftest import install_crd, make_scene
from tests.e2e.real import Load, StaleEntry, roll, serve, stale_dns_entry, wait_no_old_pods
from tests.e2e.scene import Body, Scene, settle
from tests.lab import Lab
from tests.lab.real import addresses

pytestmark = [pytest.mark.real, pytest.mark.slow]

PRE_STOP: Body = {"gracefulShutdown": {"preStopSleepSeconds": 5, "minTerminationGracePeriodSeconds": 45}}
# As short as the pods' tolerations are here, so that an eviction after a power-off does not take five minutes.
TOLERATED_SECONDS = 5
IMPATIENT: Body = {
    "tolerations": [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute"}
        | {"tolerationSeconds": TOLERATED_SECONDS}
        for key in ("not-ready", "unreachable")
    ]
}


@pytest.fixture
def scene(real_lab: Lab, tmp_path: Path) -> Iterator[Scene]:
    install_crd(real_lab)
    made = make_scene(real_lab, tmp_path)
    yield made
    real_lab.kubectl("delete", "namespace", made.namespace, "--wait=false")


@pytest.mark.parametrize("proxy", ["iptables", "nftables"])
def test_a_rollout_loses_no_request_once_the_operator_has_brought_the_pre_stop_sleep(
    scene: Scene, proxy: Literal["iptables", "nftables"]
) -> None:
    for node in scene.lab.real.names():
        scene.lab.real.set_proxy(node, mode=proxy)
    address = serve(scene, "web")

    without = roll(scene, "web", address)
    assert without.new.lost > 0, f"the server exits at once, and a rollout loses requests: {without}"
    with scene.operator():
        with Load(scene.lab, "real-1", address) as last:
            scene.policy(deployments=PRE_STOP)
            scene.wait_compliant()
            wait_no_old_pods(scene, "web")
        after = [roll(scene, "web", address) for _ in range(3)]
        scene.delete_policy()
    print(f"{proxy}: without {without}; the operator's own {last.seen}; then {', '.join(map(str, after))}")
    assert sum(last.seen.counts) > 0, "the old pods of the operator's own rollout have no preStop yet"
    # A kept connection outlives the endpoint: a server that exits at once cuts the request on it, preStop or not.
    assert [each.new.lost for each in after] == [0] * 3, [str(each) for each in after]


def test_drains_lose_no_request_and_none_blocks(scene: Scene) -> None:
    address = serve(scene, "web")
    with scene.operator():
        scene.policy(deployments={**PRE_STOP, "disruptionBudget": {"maxUnavailable": 1}, "spread": {}})
        scene.wait_compliant()
        wait_no_old_pods(scene, "web")
        scene.lab.real.forget_connections()
        for node, client in (("real-1", "real-2"), ("real-2", "real-1")):
            with Load(scene.lab, client, address) as load:
                scene.lab.kubectl("drain", node, "--ignore-daemonsets", "--timeout=60s")
                scene.wait_rolled_out("web")
                wait_no_old_pods(scene, "web")
            scene.lab.kubectl("uncordon", node)
            assert load.seen.new.lost == 0, f"{node} drained: {load.seen}"
        scene.delete_policy()


def test_a_stale_entry_of_dns_holds_one_client_until_it_is_deleted(real_lab: Lab) -> None:
    with stale_dns_entry(real_lab) as stale:
        held, others = stale.ask(real_lab), stale.ask(real_lab, port=0)
        assert held.lost == held.sent > 3, f"the client with the fixed port is dead: {held}"
        assert others.lost == 0, f"clients with new ports are not: {others}"
        assert len(stale.entries(real_lab)) == 1
        end_by_hand(real_lab, stale)
        assert stale.entries(real_lab) == []
        assert stale.ask(real_lab).lost == 0


def end_by_hand(lab: Lab, stale: StaleEntry) -> None:
    """What a person does, with the tool conntrack."""
    entry = ("-p", "udp", "--orig-dst", addresses.DNS, "--reply-src", stale.dead)
    lab.real.run(stale.node, "conntrack", "-D", *entry)


def test_a_node_without_power_takes_all_replicas_or_the_share_of_one_node(scene: Scene) -> None:
    lab = scene.lab
    addresses_of = {name: serve(scene, name, replicas=4, pod=IMPATIENT) for name in ("web", "twin")}
    with scene.operator():
        scene.policy(deployments={"spread": {}, "selector": {"matchLabels": {"app": "web"}}})
        scene.wait_compliant()
        wait_no_old_pods(scene, "web")
        piled = scene.nodes_of("twin")
        assert (len(piled), sorted(scene.nodes_of("web").values())) == (1, [2, 2]), "piled up, and spread"
        lost = next(iter(piled))
        client = next(node for node in lab.real.names() if node != lost)
        with Load(lab, client, addresses_of["web"]) as web, Load(lab, client, addresses_of["twin"]) as twin:
            off = time.time()
            lab.real.power_off(lost)
            settle(TOLERATED_SECONDS + 20)
        lab.real.power_on(lost)
        lab.real.wait_ready(lost)
        scene.delete_policy()
    dark = [second for second, (sent, gone) in twin.seen.new.seconds.items() if second > off and sent == gone]
    assert len(dark) >= TOLERATED_SECONDS, f"without a policy the service is gone: {twin.seen}"
    shares = [
        gone / sent for second, (sent, gone) in web.seen.new.seconds.items() if second > off and sent > 50
    ]
    print(f"dark for {len(dark)} s without; with {web.seen}, at most {max(shares):.0%} of a second")
    assert max(shares) < 0.75, (
        f"with it, the share of one node of two, 50 %, as random choice has it: {shares}"
    )
    assert web.seen.new.lost < twin.seen.new.lost / 2
