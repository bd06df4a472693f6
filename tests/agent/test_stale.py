"""Which entries are stale: of protected Services, UDP, with destination NAT, to no endpoint; and nothing else."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from resilience_operator.agent import conntrack, returns, stale
from resilience_operator.agent.stale import Hold, Name, Protected
from tests.agent import ctnetlink

DNS = Name("kube-system", "kube-dns")


def packed(address: str) -> bytes:
    return ip_address(address).packed


SERVICE = Protected(
    DNS,
    "u1",
    addresses=frozenset({packed("10.96.0.10"), packed("fd00::a")}),
    ports=frozenset({53}),
    backends=frozenset({(packed("10.244.2.2"), 53), (packed("fd00:1::2"), 53)}),
)
FD: dict[str, Any] = {"client": "fd00:1::7", "front": "fd00::a"}


def judged(payload: bytes, *services: Protected) -> stale.Stale | None:
    entry = conntrack.entry(payload)
    assert entry
    return stale.judge(entry, stale.plan(services or (SERVICE,), payload[0]))


@pytest.mark.parametrize(
    ("payload", "backend"),
    [
        pytest.param(ctnetlink.entry(), ("10.244.2.3", 53), id="a pod that is gone"),
        pytest.param(
            ctnetlink.entry(backend="10.244.2.2", backend_port=5353), ("10.244.2.2", 5353), id="an old port"
        ),
        pytest.param(ctnetlink.entry(**FD, backend="fd00:1::3"), ("fd00:1::3", 53), id="IPv6"),
    ],
)
def test_an_entry_to_no_endpoint_is_stale(payload: bytes, backend: tuple[str, int]) -> None:
    entry = conntrack.entry(payload)
    assert entry
    front = (entry.original.destination, 53)
    assert judged(payload) == stale.Stale(DNS, front, (packed(backend[0]), backend[1]))


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(ctnetlink.entry(backend="10.244.2.2"), id="a live endpoint"),
        pytest.param(ctnetlink.entry(**FD, backend="fd00:1::2"), id="a live endpoint of IPv6"),
        pytest.param(ctnetlink.entry(protocol=6), id="TCP"),
        pytest.param(ctnetlink.entry(status=0x18E), id="no destination NAT"),
        pytest.param(ctnetlink.entry(front="10.96.0.11"), id="another Service"),
        pytest.param(ctnetlink.entry(front_port=9153), id="another port of the Service"),
        pytest.param(
            ctnetlink.entry(backend="10.96.0.10"), id="the address itself answers (NodeLocal DNSCache)"
        ),
        pytest.param(ctnetlink.entry(extra=ctnetlink.attr(18, b"\x00\x05")), id="a zone of somebody"),
    ],
)
def test_everything_else_is_left_alone(payload: bytes) -> None:
    assert judged(payload) is None


def test_an_address_in_a_slice_without_a_port_is_live_on_each_port() -> None:
    service = replace(SERVICE, any_port=frozenset({packed("10.244.2.3")}))
    assert judged(ctnetlink.entry(), service) is None


def test_what_two_services_claim_is_looked_for_in_neither() -> None:
    assert judged(ctnetlink.entry(), SERVICE, replace(SERVICE, name=Name("shop", "dns"))) is None


@pytest.mark.parametrize(
    ("fresh", "expected"),
    [
        pytest.param(SERVICE, True, id="nothing changed"),
        pytest.param(
            replace(SERVICE, backends=frozenset({(packed("10.244.2.3"), 53)})), False, id="it came back"
        ),
        pytest.param(
            replace(SERVICE, addresses=frozenset({packed("10.96.0.77")})), False, id="another address"
        ),
        pytest.param(replace(SERVICE, ports=frozenset({5353})), False, id="another port"),
    ],
)
def test_it_is_judged_again_by_what_was_read_after_the_scan(fresh: Protected, expected: bool) -> None:
    found = judged(ctnetlink.entry())
    assert found
    assert stale.still_stale(found, fresh) is expected


def test_what_cannot_be_confirmed_is_held() -> None:
    assert stale.held(None, DNS, purge_at_zero=True) == Hold(
        DNS,
        "Unconfirmed",
        "kube-system/kube-dns and its endpoints cannot be read; nothing is deleted until they can",
    )


def test_a_service_without_endpoints_is_held_unless_the_policy_says_purge() -> None:
    empty = replace(SERVICE, backends=frozenset())
    assert stale.held(empty, DNS, purge_at_zero=False) == Hold(
        DNS,
        "NoEndpoints",
        "kube-system/kube-dns lists no endpoint: doubt, so its entries stay; onZeroEndpoints: Purge deletes them",
    )
    assert stale.held(empty, DNS, purge_at_zero=True) is None


def test_entries_that_come_back_are_left_alone_for_a_growing_time_and_named() -> None:
    dead = (DNS, (packed("10.244.2.3"), 53))
    memory = returns.after_delete({}, [dead], 0.0)
    assert not returns.stale_rules(memory)
    waited = []
    now = 1.0
    for _ in range(9):
        memory = returns.after_scan(memory, [dead], now)
        assert returns.stale_rules(memory) == (dead,)
        assert returns.waits(memory, dead, now)
        again = returns.next_try(memory)
        assert again
        waited.append(again - now)
        memory = returns.after_delete(memory, [dead], again)
        now = again + 1
    assert waited == [2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert returns.after_scan(memory, [], now) == {}


def test_the_memory_of_deletes_is_bounded() -> None:
    dead = [(DNS, (packed("10.0.0.1"), port)) for port in range(1, 3000)]
    assert len(returns.after_delete({}, dead, 0.0)) == returns.MOST
