"""The purge on the real kernel, in namespaces of its own; what is left is listed by the `conntrack` tool."""

import random
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest

from resilience_operator.agent import purge, returns, table
from resilience_operator.agent.purge import Limits, Outcome, Purge
from resilience_operator.agent.stale import Hold, Name, Protected
from tests.agent.namespaces import Namespace, namespace, needs_kernel, tcp, udp

pytestmark = needs_kernel("conntrack", "nft")

DNS = Name("kube-system", "kube-dns")


def packed(address: str) -> bytes:
    return ip_address(address).packed


def service(*backends: str) -> Protected:
    return Protected(
        DNS,
        "u1",
        addresses=frozenset({packed("10.96.0.10"), packed("fd00::a")}),
        ports=frozenset({53}),
        backends=frozenset((packed(one), 53) for one in backends),
    )


def never() -> bool:
    return False


@pytest.fixture
def ns() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


def purged(ns: Namespace, protected: Protected, limits: Limits = Limits()) -> Outcome:  # noqa: B008
    with ns.entered():
        return Purge(lambda _: protected).run([protected], limits, never)


OTHERS = [
    udp("10.244.1.7", 40001, "10.96.0.10", "10.244.2.2"),
    udp("10.244.1.7", 40002, "10.96.0.11", "10.244.2.3"),
    udp("10.244.1.7", 40003, "10.96.0.10", "10.244.2.3", front_port=9153, backend_port=9153),
    tcp("10.244.1.7", 40004, "10.96.0.10", "10.244.2.3"),
    "-I -p udp -s 10.244.1.7 -d 10.96.0.10 --sport 40005 --dport 53 -t 300 -u ASSURED,SEEN_REPLY",
    udp("fd00:1::7", 40006, "fd00::a", "fd00:1::2"),
]
"""A live endpoint, another Service, another port, TCP, an entry without NAT, a live endpoint of IPv6."""


def test_stale_entries_go_and_nothing_else_does(ns: Namespace) -> None:
    ns.load(OTHERS)
    before = _all(ns)
    assert len(before) == len(OTHERS)
    ns.load(
        [
            udp("10.244.1.7", 40000, "10.96.0.10", "10.244.2.3"),
            udp("fd00:1::7", 40000, "fd00::a", "fd00:1::3"),
        ]
    )
    assert len(_all(ns)) == len(OTHERS) + 2
    outcome = purged(ns, service("10.244.2.2", "fd00:1::2"))
    assert (outcome.deleted, outcome.left, outcome.holds) == ({DNS: 2}, {DNS: 0}, ())
    assert _all(ns) == before


def _all(ns: Namespace) -> list[str]:
    """The entries of both families in the tool's words, without their running timers."""
    lines = ns.conntrack("-f", "ipv4") + ns.conntrack("-f", "ipv6")
    return sorted(" ".join(word for word in line.split() if not word.isdigit()) for line in lines)


def test_a_service_without_endpoints_is_held_until_the_policy_says_purge(ns: Namespace) -> None:
    ns.load([udp("10.244.1.7", 40000, "10.96.0.10", "10.244.2.3")])
    outcome = purged(ns, service())
    assert (outcome.deleted, outcome.left) == ({}, {DNS: 1})
    assert [hold.reason for hold in outcome.holds] == ["NoEndpoints"]
    assert len(_all(ns)) == 1
    assert purged(ns, service(), Limits(purge_at_zero=True)).deleted == {DNS: 1}
    assert _all(ns) == []


def test_nothing_is_deleted_that_the_api_server_does_not_confirm(ns: Namespace) -> None:
    ns.load([udp("10.244.1.7", 40000, "10.96.0.10", "10.244.2.3")])
    watched = service("10.244.2.2")
    with ns.entered():
        unread = Purge(lambda _: None).run([watched], Limits(), never)
        back = Purge(lambda _: service("10.244.2.3")).run([watched], Limits(), never)
        elsewhere = Purge(lambda one: replace(service("10.244.2.2"), addresses=frozenset())).run(
            [watched], Limits(), never
        )
    assert [(hold.service, hold.reason) for hold in unread.holds] == [(DNS, "Unconfirmed")]
    assert (unread.deleted, back.deleted, elsewhere.deleted) == ({}, {}, {})
    assert isinstance(unread.holds[0], Hold)
    assert len(_all(ns)) == 1


def test_deletes_keep_to_their_pace_and_end_at_a_stop(ns: Namespace) -> None:
    ns.load([udp("10.244.1.7", port, "10.96.0.10", "10.244.2.3") for port in range(20000, 21000)])
    protected = service("10.244.2.2")
    stop = time.monotonic() + 0.5
    with ns.entered():
        run = Purge(lambda _: protected)
        outcome = run.run([protected], Limits(per_second=100), lambda: time.monotonic() > stop)
    assert 25 <= outcome.deleted[DNS] <= 75, "a burst of 25, then 25 each quarter of a second"


def test_a_late_delete_never_hits_the_flow_that_was_made_anew_to_a_live_endpoint(ns: Namespace) -> None:
    """The kernel makes the id of the object's place and the original tuple, so a flow made anew can have the old id."""
    for _ in range(50):
        ns.load([udp("10.244.1.7", 40000, "10.96.0.10", "10.244.2.3")])
        with ns.entered():
            (found,) = purge.scan([service("10.244.2.2")], 100, table.Dump())
            (keys,) = found.values()
            assert table.delete(keys) == (1, 0)
            assert table.delete(keys) == (0, 1)
            ns.load([udp("10.244.1.7", 40000, "10.96.0.10", "10.244.2.2")])
            assert table.delete(keys) == (0, 1)
        assert len(_all(ns)) == 1
        ns.run("conntrack", "-F")


RULES = """
flush ruleset
table ip nat {{
  chain output {{
    type nat hook output priority -100;
    ip daddr 10.96.0.10 udp dport 53 dnat to {backend}:53
  }}
}}
"""


def _traffic(ns: Namespace, *backends: str) -> None:
    for address in ("10.244.1.7", *backends):
        ns.run("ip", "address", "add", f"{address}/32", "dev", "lo")
    ns.run("ip", "route", "add", "10.96.0.10/32", "dev", "lo", "src", "10.244.1.7")


def _rule(ns: Namespace, backend: str) -> None:
    ns.run("nft", "-f", "-", stdin=RULES.format(backend=backend))


def _socket(address: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, port))
    made.settimeout(0.2)
    return made


def _asked(client: socket.socket, server: socket.socket) -> bool:
    """Whether a query of the client, which keeps its port, reaches the server."""
    client.sendto(b"query", ("10.96.0.10", 53))
    try:
        return server.recv(64) == b"query"
    except TimeoutError:
        return False


def test_a_client_with_a_fixed_port_is_dead_until_the_purge(ns: Namespace) -> None:
    _traffic(ns, "10.244.2.2", "10.244.2.3")
    protected = service("10.244.2.2")
    with ns.entered(), _socket("10.244.1.7", 5555) as client, _socket("10.244.2.2", 53) as live:
        with _socket("10.244.2.3", 53) as old:
            _rule(ns, "10.244.2.3")
            assert _asked(client, old)
        _rule(ns, "10.244.2.2")
        assert [_asked(client, live) for _ in range(5)] == [False] * 5, "the entry still leads to the old pod"
        assert Purge(lambda _: protected).run([protected], Limits(), never).deleted == {DNS: 1}
        assert _asked(client, live)


def test_entries_that_come_back_are_named_as_stale_rules_and_not_deleted_for_ever(ns: Namespace) -> None:
    _traffic(ns, "10.244.2.2", "10.244.2.3")
    protected = service("10.244.2.2")
    dead = (DNS, (packed("10.244.2.3"), 53))
    with ns.entered(), _socket("10.244.1.7", 5555) as client, _socket("10.244.2.2", 53) as live:
        _rule(ns, "10.244.2.3")
        run = Purge(lambda _: protected)
        outcomes = []
        for _ in range(3):
            _asked(client, live)
            outcomes.append(run.run([protected], Limits(), never))
        assert [one.deleted.get(DNS, 0) for one in outcomes] == [1, 0, 0]
        assert outcomes[-1].left == {DNS: 1}
        assert returns.stale_rules(run.memory) == (dead,)
        _rule(ns, "10.244.2.2")
        wait = returns.next_try(run.memory)
        assert wait
        time.sleep(max(0.0, wait - time.monotonic()))
        assert run.run([protected], Limits(), never).deleted == {DNS: 1}
        assert _asked(client, live)
        run.run([protected], Limits(), never)
        assert returns.stale_rules(run.memory) == ()


def test_over_random_histories_of_endpoints_no_live_flow_is_ever_cut(ns: Namespace) -> None:
    """20 histories of 6 steps: pods come and go, clients make flows to any of them, the purge runs after each step."""
    chance = random.Random(5)  # noqa: S311  - the same histories each time
    pods = [f"10.244.2.{number}" for number in range(2, 12)]
    for history in range(20):
        flows: dict[int, str] = {}
        for step in range(6):
            live = set(chance.sample(pods, chance.randrange(1, len(pods))))
            made = {40000 + step * 50 + n: chance.choice(pods) for n in range(50)}
            ns.load([udp("10.244.1.7", port, "10.96.0.10", pod) for port, pod in made.items()])
            flows |= made
            outcome = purged(ns, service(*live))
            gone = {port for port, pod in flows.items() if pod not in live}
            assert outcome.deleted.get(DNS, 0) == len(gone)
            flows = {port: pod for port, pod in flows.items() if port not in gone}
            assert _ports(ns) == set(flows), f"history {history}, step {step}"
        ns.run("conntrack", "-F")


def _ports(ns: Namespace) -> set[int]:
    found = set()
    for line in ns.conntrack("-f", "ipv4"):
        first = next(word for word in line.split() if word.startswith("sport="))
        found.add(int(first.removeprefix("sport=")))
    return found
