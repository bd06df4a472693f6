"""The codec of ctnetlink: what the kernel says is read, and everything else is refused without a guess."""

import os
import random
import struct
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from resilience_operator.agent import conntrack, netlink, stale
from resilience_operator.agent.conntrack import Flow, Key
from resilience_operator.agent.netlink import MalformedError
from tests.agent import ctnetlink

FUZZED = int(os.environ.get("RESILIENCE_FUZZED", "20000"))
"""Messages; a million takes 20 s."""


def packed(address: str) -> bytes:
    return ip_address(address).packed


SERVICE = stale.Protected(
    stale.Name("kube-system", "kube-dns"),
    "u1",
    addresses=frozenset({packed("10.96.0.10"), packed("fd00::a")}),
    ports=frozenset({53}),
    backends=frozenset({(packed("10.244.2.2"), 53), (packed("fd00:1::2"), 53)}),
)


def test_an_entry_is_read_as_the_kernel_wrote_it() -> None:
    found = conntrack.entry(ctnetlink.entry())
    assert found == conntrack.Entry(
        key=Key(
            Flow(packed("10.244.2.3"), packed("10.244.1.7"), 17, 53, 40000), identity=struct.pack(">I", 7)
        ),
        original=Flow(packed("10.244.1.7"), packed("10.96.0.10"), 17, 40000, 53),
        status=0x1AE,
        zoned=False,
    )


@pytest.mark.parametrize(
    ("client", "front", "backend"),
    [("10.244.1.7", "10.96.0.10", "10.244.2.3"), ("fd00:1::7", "fd00::a", "fd00:1::3")],
)
def test_the_shortcut_sees_the_same_backend_as_the_decoder(client: str, front: str, backend: str) -> None:
    payload = ctnetlink.entry(client, front, backend, backend_port=5353)
    assert conntrack.leads_to(b"xx" + payload, 2, 2 + len(payload)) == packed(backend) + struct.pack(
        ">H", 5353
    )


def test_the_shortcut_says_nothing_of_an_entry_in_another_order() -> None:
    payload = ctnetlink.entry()
    moved = payload[:4] + payload[56:108] + payload[4:56] + payload[108:]
    assert conntrack.leads_to(moved, 0, len(moved)) == b""
    assert conntrack.entry(moved) == conntrack.entry(payload), "the decoder reads it all the same"


def test_the_shortcut_reads_no_further_than_the_entry() -> None:
    payload = ctnetlink.entry()
    assert [conntrack.leads_to(payload, 0, stop) for stop in range(108)] == [b""] * 108


def test_a_dump_is_read_to_its_end_and_only_hits_are_pointed_at() -> None:
    other = ctnetlink.entry(front="10.96.0.99")
    data = ctnetlink.msg(other) + ctnetlink.msg(ctnetlink.entry()) + ctnetlink.done()
    part = netlink.scan(data, len(data), 5, conntrack.ENTRY, [conntrack.needle(packed("10.96.0.10"))])
    start = len(ctnetlink.msg(other)) + 16
    assert part == netlink.Scan(hits=((start, start + len(ctnetlink.entry())),), seen=2, done=True)


def test_answers_to_somebody_else_are_counted_and_ignored() -> None:
    data = ctnetlink.msg(ctnetlink.entry(), sequence=6) + ctnetlink.done(sequence=6)
    part = netlink.scan(data, len(data), 5, conntrack.ENTRY, [conntrack.needle(packed("10.96.0.10"))])
    assert part == netlink.Scan(strange=2)


@pytest.mark.parametrize("where", ["entry", "end"])
def test_a_dump_that_the_table_changed_under_says_so(where: str) -> None:
    flags = {"entry": (2 | 0x10, 2), "end": (2, 2 | 0x10)}[where]
    data = ctnetlink.msg(ctnetlink.entry(), flags=flags[0]) + ctnetlink.done(flags=flags[1])
    assert netlink.scan(data, len(data), 5, conntrack.ENTRY, []).interrupted


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(struct.pack("=IHHII", 0, 0x100, 2, 5, 0), id="zero length"),
        pytest.param(struct.pack("=IHHII", 15, 0x100, 2, 5, 0), id="shorter than its header"),
        pytest.param(struct.pack("=IHHII", 0xFFFFFFFF, 0x100, 2, 5, 0), id="huge length"),
        pytest.param(ctnetlink.msg(ctnetlink.entry())[:-20], id="cut off"),
        pytest.param(ctnetlink.msg(b"") + b"\x01\x02\x03", id="bytes behind the end"),
        pytest.param(ctnetlink.msg(b"\x00", kind=2), id="an error without an errno"),
    ],
)
def test_a_datagram_with_a_wrong_length_is_refused_whole(data: bytes) -> None:
    with pytest.raises(MalformedError):
        netlink.scan(data, len(data), 5, conntrack.ENTRY, [])


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(ctnetlink.entry() + bytes(8192), id="huge"),
        pytest.param(b"\x02\x00\x00\x00" + struct.pack("=HH", 3, 1), id="attribute shorter than its header"),
        pytest.param(
            b"\x02\x00\x00\x00" + struct.pack("=HH", 60000, 1), id="attribute longer than what is there"
        ),
        pytest.param(ctnetlink.entry(extra=ctnetlink.attr(12, bytes(4))), id="two ids"),
        pytest.param(
            ctnetlink.entry().replace(ctnetlink.attr(1, b"\x11"), ctnetlink.attr(1, b"\x11\x06\x06\x06")),
            id="protocol",
        ),
    ],
)
def test_an_entry_that_is_none_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedError):
        conntrack.entry(payload)


def test_an_entry_without_ports_or_id_is_no_entry_to_decide_on() -> None:
    assert conntrack.entry(b"\x02\x00\x00\x00" + ctnetlink.flow(1, "10.0.0.1", "10.0.0.2", (1, 2))) is None
    assert conntrack.entry(b"\x07\x00\x00\x00") is None


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(Key(Flow(b"", b"", 17, 1, 53), b"1234"), id="no addresses"),
        pytest.param(Key(Flow(b"1234", b"", 17, 1, 53), b"1234"), id="one address"),
        pytest.param(Key(Flow(b"1234", b"1234", 6, 1, 53), b"1234"), id="TCP"),
        pytest.param(Key(Flow(b"1234", b"1234", 17, 0, 53), b"1234"), id="no source port"),
        pytest.param(Key(Flow(b"1234", b"1234", 17, 1, 53), b""), id="no id"),
    ],
)
def test_a_delete_that_names_less_than_one_entry_is_never_made(key: Key) -> None:
    """The kernel takes a DELETE without a complete tuple for a flush of the whole table."""
    with pytest.raises(ValueError, match="a DELETE"):
        conntrack.deletion(key)


def test_a_delete_names_the_entry_in_the_kernels_own_words() -> None:
    read = conntrack.entry(ctnetlink.entry())
    assert read
    expected = struct.pack("=BBH", 2, 0, 0) + ctnetlink.flow(2, "10.244.2.3", "10.244.1.7", (53, 40000))
    expected += ctnetlink.attr(12, struct.pack(">I", 7))
    assert conntrack.delete(4, [conntrack.deletion(read.key)] * 2) == b"".join(
        struct.pack("=IHHII", 16 + len(expected), 0x102, flags, sequence, 0) + expected
        for flags, sequence in ((1, 4), (5, 5))
    )


def test_no_fuzzed_message_crashes_hangs_or_is_judged_stale() -> None:
    """Each is an entry of a live endpoint, of TCP or of another Service with bytes changed, cut or repeated."""
    read, refused = 0, 0
    looked_for = stale.plan([SERVICE], conntrack.IPV4)
    for data in fuzzed(FUZZED):
        try:
            part = netlink.scan(data, len(data), 5, conntrack.ENTRY, looked_for.needles)
            for start, stop in part.hits:
                conntrack.leads_to(data, start, stop)
                entry = conntrack.entry(data[start:stop])
                read += 1
                judged = stale.judge(entry, looked_for) if entry else None
                # A changed byte can make a real stale entry: what is judged so must be one by its own bytes.
                assert judged is None or wholly_stale(data[start:stop])
        except MalformedError:
            refused += 1
    assert read > FUZZED // 10
    assert refused > FUZZED // 10


def wholly_stale(payload: bytes) -> bool:
    """Read at fixed places, without the codec: UDP to the Service, with destination NAT, to no endpoint."""
    to_service = payload[24:28] == packed("10.96.0.10") and payload[52:54] == b"\x00\x35"
    udp = payload[36] == payload[88] == 17
    to_nowhere = payload[68:72] + payload[96:98] != packed("10.244.2.2") + b"\x00\x35"
    return to_service and udp and to_nowhere and bool(payload[115] & 0x20)


def fuzzed(number: int) -> Iterator[bytes]:
    chance = random.Random(11)  # noqa: S311  - the same messages each time
    seeds = [
        ctnetlink.msg(ctnetlink.entry(backend="10.244.2.2")),
        ctnetlink.msg(ctnetlink.entry(backend="10.244.2.2")) + ctnetlink.done(),
        ctnetlink.msg(ctnetlink.entry(protocol=6)),
        ctnetlink.msg(ctnetlink.entry(status=0x18E)),
        ctnetlink.msg(ctnetlink.entry(front="10.96.0.11")),
        ctnetlink.msg(ctnetlink.entry(extra=ctnetlink.attr(18, b"\x00\x05"))),
        ctnetlink.done(error=105),
    ]
    for _ in range(number):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(4)):
            data[chance.randrange(len(data))] = chance.choice((0, 1, 0xFF, chance.randrange(256)))
        kind = chance.randrange(5)
        if kind == 0:
            data = data[: chance.randrange(len(data) + 1)]
        elif kind == 1:
            data += chance.randbytes(chance.randrange(40))
        elif kind == 2:
            at = chance.randrange(0, len(data) - 3, 4)
            data[at : at + 2] = struct.pack("=H", chance.choice((0, 3, 4, 5, 0xFFFF, chance.randrange(300))))
        yield bytes(data)
