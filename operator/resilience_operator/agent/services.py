"""A protected Service and its EndpointSlices, decoded into what the purge compares with. No I/O but `read`.

Called by the agent for each change of a slice, and by the purge before it deletes. In doubt an endpoint is live.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from resilience_operator.agent.api import Api, ApiError
from resilience_operator.agent.stale import Backend, Name, Protected

Body = Mapping[str, Any]
SERVICE_LABEL = "kubernetes.io/service-name"
_PAGE, _MOST = 20, 500


def read(api: Api, name: Name) -> Protected | None:
    """A Service and its endpoints as the API server has them now, past its cache. None where it has no such Service.

    Raises ApiError, OSError.
    """
    slices: list[Body] = []
    params = {"labelSelector": f"{SERVICE_LABEL}={name.name}", "limit": str(_PAGE)}
    while True:
        body = api.get(slices_path(name.namespace), params)
        slices += [one for one in body.get("items") or [] if isinstance(one, dict)]
        if len(slices) > _MOST:
            raise ApiError(0, f"{name} has more than {_MOST} EndpointSlices")
        follows = (body.get("metadata") or {}).get("continue")
        if not follows:
            break
        params["continue"] = str(follows)
    try:
        service = api.get(f"/api/v1/namespaces/{name.namespace}/services/{name.name}")
    except ApiError as error:
        if error.status == 404:
            return None
        raise
    return protected(name, service, slices)


def slices_path(namespace: str) -> str:
    """Where the EndpointSlices of a namespace are."""
    return f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"


def protected(name: Name, service: Body, slices: Iterable[Body]) -> Protected:
    """What the purge compares with. A Service without UDP ports or addresses protects nothing."""
    spec = _mapping(service.get("spec"))
    status = _mapping(_mapping(service.get("status")).get("loadBalancer"))
    texts = [*_list(spec.get("clusterIPs")), spec.get("clusterIP"), *_list(spec.get("externalIPs"))]
    texts += [_mapping(one).get("ip") for one in _list(status.get("ingress"))]
    ports = [_mapping(one) for one in _list(spec.get("ports"))]
    front = Protected(
        name,
        str(_mapping(service.get("metadata")).get("uid", ""))[:64],
        frozenset(packed for text in texts if (packed := address(text))),
        frozenset(_number(one) for one in ports if one.get("protocol") == "UDP" and _number(one)),
    )
    backends, any_port = set[Backend](), set[bytes]()
    for one in slices:
        listed, everywhere = endpoints(one)
        backends |= listed
        any_port |= everywhere
    return replace(front, backends=frozenset(backends), any_port=frozenset(any_port))


def endpoints(body: Body) -> tuple[set[Backend], set[bytes]]:
    """The endpoints that a slice lists, with its UDP ports, and those that are live on each port.

    Conditions are not looked at: an endpoint that is not ready, or terminates, may still answer.
    """
    found = {
        packed
        for one in _list(body.get("endpoints"))
        for text in _list(_mapping(one).get("addresses"))
        if (packed := address(text))
    }
    ports = [_mapping(one) for one in _list(body.get("ports"))]
    udp = [one for one in ports if one.get("protocol", "TCP") == "UDP"]
    if not ports or any(not _number(one) for one in udp):
        return set(), found
    return {(one, _number(port)) for one in found for port in udp}, set()


def address(text: Any) -> bytes | None:
    """The bytes of an address; None for what is none ("None" of a headless Service, a name)."""
    if not isinstance(text, str) or len(text) > 45:
        return None
    try:
        return ipaddress.ip_address(text).packed
    except ValueError:
        return None


def _number(port: Body) -> int:
    value = port.get("port")
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536 else 0


def _mapping(value: Any) -> Body:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value[:1000] if isinstance(value, list) else []
