"""Entries as the kernel writes them, made independently of the codec under test."""

import struct
from ipaddress import ip_address


def attr(kind: int, payload: bytes, nested: bool = False) -> bytes:
    head = struct.pack("=HH", 4 + len(payload), kind | (0x8000 if nested else 0))
    return head + payload + bytes(-len(payload) % 4)


def flow(kind: int, source: str, destination: str, ports: tuple[int, int], protocol: int = 17) -> bytes:
    addresses = [ip_address(one) for one in (source, destination)]
    first = 1 if addresses[0].version == 4 else 3
    ips = attr(first, addresses[0].packed) + attr(first + 1, addresses[1].packed)
    proto = attr(1, bytes([protocol])) + b"".join(
        attr(2 + step, struct.pack(">H", p)) for step, p in enumerate(ports)
    )
    return attr(kind, attr(1, ips, nested=True) + attr(2, proto, nested=True), nested=True)


def entry(
    client: str = "10.244.1.7",
    front: str = "10.96.0.10",
    backend: str = "10.244.2.3",
    *,
    client_port: int = 40000,
    front_port: int = 53,
    backend_port: int = 53,
    protocol: int = 17,
    status: int = 0x1AE,
    identity: int = 7,
    extra: bytes = b"",
) -> bytes:
    """The payload of one entry: by default a UDP flow from a pod over a Service to a backend, with destination NAT."""
    family = 2 if ip_address(client).version == 4 else 10
    body = struct.pack("=BBH", family, 0, 0)
    body += flow(1, client, front, (client_port, front_port), protocol)
    body += flow(2, backend, client, (backend_port, client_port), protocol)
    body += attr(3, struct.pack(">I", status)) + attr(7, struct.pack(">I", 119)) + attr(8, bytes(4))
    return body + extra + attr(12, struct.pack(">I", identity)) + attr(11, struct.pack(">I", 1))


def msg(payload: bytes, *, kind: int = 0x100, flags: int = 2, sequence: int = 5) -> bytes:
    whole = struct.pack("=IHHII", 16 + len(payload), kind, flags, sequence, 99) + payload
    return whole + bytes(-len(whole) % 4)


def done(sequence: int = 5, error: int = 0, flags: int = 2) -> bytes:
    return msg(struct.pack("=i", -error), kind=3, flags=flags, sequence=sequence)
