"""Services and EndpointSlices as the purge compares with them: in doubt an endpoint is live."""

from ipaddress import ip_address
from typing import Any

import pytest

from resilience_operator.agent import services
from resilience_operator.agent.endpoints import Endpoints
from resilience_operator.agent.stale import Name, Protected

DNS = Name("kube-system", "kube-dns")


def packed(address: str) -> bytes:
    return ip_address(address).packed


def slice_of(
    *addresses: str, name: str = "one", ports: Any = ({"port": 53, "protocol": "UDP"},)
) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": "kube-dns"}
    return {
        "metadata": {"name": name, "labels": labels},
        "ports": list(ports),
        "endpoints": [{"addresses": [one], "conditions": {"ready": False}} for one in addresses],
    }


SERVICE: dict[str, Any] = {
    "metadata": {"uid": "u1"},
    "spec": {
        "clusterIP": "10.96.0.10",
        "clusterIPs": ["10.96.0.10", "fd00::a"],
        "externalIPs": ["192.0.2.1"],
        "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}, {"port": 9153}],
    },
    "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.2"}, {"hostname": "x"}]}},
}


def test_a_service_is_protected_at_all_its_addresses_and_udp_ports() -> None:
    assert services.protected(
        DNS, SERVICE, [slice_of("10.244.2.2"), slice_of("fd00:1::2", name="two")]
    ) == Protected(
        DNS,
        "u1",
        addresses=frozenset(map(packed, ("10.96.0.10", "fd00::a", "192.0.2.1", "192.0.2.2"))),
        ports=frozenset({53}),
        backends=frozenset({(packed("10.244.2.2"), 53), (packed("fd00:1::2"), 53)}),
    )


@pytest.mark.parametrize("ports", [(), ({"protocol": "UDP"},), ({"protocol": "UDP", "port": None},)])
def test_without_a_port_number_an_endpoint_is_live_on_each(ports: Any) -> None:
    assert services.endpoints(slice_of("10.244.2.2", ports=ports)) == (set(), {packed("10.244.2.2")})


@pytest.mark.parametrize(
    "service",
    [
        {},
        {"spec": []},
        {"spec": {"clusterIP": "None", "ports": [{"port": 53, "protocol": "UDP"}]}},
        {"spec": {"ports": "x"}},
    ],
)
def test_a_service_without_an_address_protects_nothing(service: dict[str, Any]) -> None:
    assert services.protected(DNS, service, []).addresses == frozenset()


def test_a_loss_is_told_and_a_gain_is_not() -> None:
    lost: list[None] = []
    known = Endpoints("kube-system", lambda: lost.append(None))
    known.replace([slice_of("10.244.2.2", "10.244.2.3")])
    assert len(lost) == 1, "whatever went while nobody watched"
    known.change("MODIFIED", slice_of("10.244.2.2", "10.244.2.3", "10.244.2.4"))
    assert len(lost) == 1
    known.change("MODIFIED", slice_of("10.244.2.2", "10.244.2.4"))
    assert len(lost) == 2
    known.change("ADDED", slice_of("10.244.2.4", name="two"))
    known.change("DELETED", slice_of("10.244.2.2", "10.244.2.4"))
    assert len(lost) == 3
    assert known.of(Protected(DNS, "u1")).backends == {(packed("10.244.2.4"), 53)}
    known.replace([])
    assert len(lost) == 4


@pytest.mark.parametrize(
    "body", [{}, {"metadata": None}, {"metadata": {"name": "x"}}, {"metadata": {"labels": {}}}]
)
def test_a_slice_of_no_service_is_left_out(body: dict[str, Any]) -> None:
    known = Endpoints("kube-system", lambda: None)
    known.change("ADDED", body)
    known.replace([body])
    assert known.of(Protected(DNS, "u1")).backends == frozenset()
