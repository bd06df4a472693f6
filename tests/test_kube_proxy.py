"""What kube-proxy writes at its start, as a table: configuration, version and cores, then the sysctls."""

from typing import Any

import pytest

from resilience_operator.core.kube_proxy import LEFT_ALONE, UnreadableConfigError, writes

P = "net.netfilter.nf_conntrack_"
DEFAULT = {P + "tcp_timeout_established": 86400, P + "tcp_timeout_close_wait": 3600}
ALL_SET = {"udpTimeout": "15s", "udpStreamTimeout": "1m0s", "tcpBeLiberal": True}


def limit(value: int) -> dict[str, int]:
    return {P + "max": value, P + "buckets": value // 4}


@pytest.mark.parametrize(
    ("conntrack", "version", "cores", "expected"),
    [
        pytest.param({}, (1, 32), 2, limit(131072) | DEFAULT, id="default, few cores: the minimum"),
        pytest.param({}, (1, 32), 16, limit(524288) | DEFAULT, id="default, 16 cores"),
        pytest.param(
            {"maxPerCore": None, "min": None}, (1, 32), 4, limit(131072) | DEFAULT, id="null is the default"
        ),
        pytest.param(
            {"maxPerCore": 0}, (1, 32), 16, DEFAULT, id="no limit per core: the minimum is not written either"
        ),
        pytest.param(
            {"maxPerCore": 65536, "min": 0}, (1, 32), 1, limit(65536) | DEFAULT, id="it can lower a limit"
        ),
        pytest.param(dict(LEFT_ALONE), (1, 20), 16, {}, id="left alone, old"),
        pytest.param(dict(LEFT_ALONE), (1, 36), 16, {}, id="left alone, new"),
        pytest.param(dict(LEFT_ALONE) | ALL_SET, (1, 28), 4, {}, id="fields that 1.28 does not know"),
        pytest.param(
            dict(LEFT_ALONE) | ALL_SET,
            (1, 29),
            4,
            {P + "udp_timeout": 15, P + "udp_timeout_stream": 60, P + "tcp_be_liberal": 1},
            id="and 1.29 does",
        ),
        pytest.param(
            dict(LEFT_ALONE) | {"tcpBeLiberal": False}, (1, 32), 4, {}, id="it never sets liberal to 0"
        ),
        pytest.param(
            dict(LEFT_ALONE) | {"tcpEstablishedTimeout": "2h30m0s"},
            (1, 32),
            4,
            {P + "tcp_timeout_established": 9000},
            id="a duration",
        ),
    ],
)
def test_kube_proxy_writes(
    conntrack: dict[str, Any], version: tuple[int, int], cores: int, expected: dict[str, int]
) -> None:
    assert writes(conntrack, version, cores) == expected


@pytest.mark.parametrize(
    ("conntrack", "says"),
    [
        ({"maxPerCore": "many"}, "conntrack.maxPerCore is no number from 0 to 2147483647"),
        ({"min": True}, "conntrack.min is no number from 0 to 2147483647"),
        ({"tcpCloseWaitTimeout": 3600}, 'conntrack.tcpCloseWaitTimeout is no duration such as "24h0m0s"'),
        ({"tcpCloseWaitTimeout": "1d"}, 'conntrack.tcpCloseWaitTimeout is no duration such as "24h0m0s"'),
        ({"udpTimeout": "9" * 100 + "s"}, 'conntrack.udpTimeout is no duration such as "24h0m0s"'),
    ],
)
def test_what_kube_proxy_would_not_take_is_named(conntrack: dict[str, Any], says: str) -> None:
    with pytest.raises(UnreadableConfigError, match=says):
        writes(conntrack, (1, 36), 4)
