"""A Service goes the whole way of a decision, as in the operator and in `report`: found, never to be changed."""

from tests.support.clusters import cluster, policy
from tests.support.clusters import workload as deployment
from tests.support.views import NOW
from tests.targets.services.situations import endpoints, service


def test_a_service_that_leads_nowhere_is_reported_and_nothing_is_to_be_done() -> None:
    objects = [
        service(),
        endpoints(),
        deployment("web", 0),
        service("api", {"app": "api"}),
        endpoints(1, of="api"),
    ]
    (api, web) = cluster([policy("p", services={"empty": {}})], objects).decisions()
    assert [(str(one.state), one.finding.reason) for one in web.judged] == [("ReportOnly", "ScaledToZero")]
    assert (api.judged, web.changes, api.changes, web.target) == ((), (), (), False)
    assert web.wake_at is None or web.wake_at > NOW


def test_an_opt_out_of_a_service_is_honoured() -> None:
    opted_out = service(meta={"labels": {"resilience.dev/ignore": "empty-service"}})
    objects = [opted_out, endpoints(), deployment("web", 0)]
    (web,) = cluster([policy("p", services={"empty": {}})], objects).decisions()
    assert (web.judged, web.ignored) == ((), ("p",))
