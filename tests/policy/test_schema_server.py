"""The API server's verdict on the table of tests.support.policies: the offline one, and for the same reason."""

from collections.abc import Callable
from typing import Any

import pykube
import pytest
from requests import Response

from tests.lab import Lab
from tests.support.policies import BAD, GOOD, Bad, document

pytestmark = pytest.mark.lab

Send = Callable[[dict[str, Any]], Response]


@pytest.fixture(scope="module")
def send(lab: Lab) -> Send:
    """Creates a policy in a dry run with strict field validation."""
    lab.kubectl("apply", "--server-side", "-f", "crds/resiliencepolicies.yaml")
    lab.wait_established("resiliencepolicies.resilience.dev")
    api = pykube.HTTPClient(pykube.KubeConfig.from_file(str(lab.kubeconfig())))

    def post(policy: dict[str, Any]) -> Response:
        strictly = {"dryRun": "All", "fieldValidation": "Strict"}
        answer: Response = api.post(
            version="resilience.dev/v1alpha1", url="resiliencepolicies", params=strictly, json=policy
        )
        return answer

    # the kind is served a moment after it is established
    lab.wait(lambda: post(document("served", {})).ok, what="ResiliencePolicy to be served")
    return post


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_the_server_refuses_what_the_offline_verdict_refuses(send: Send, bad: Bad) -> None:
    answer = send(bad.document)
    assert answer.status_code in (400, 422)
    message = answer.json()["message"]
    assert bad.path in message
    assert bad.server_says in message


@pytest.mark.parametrize("name", GOOD)
def test_the_server_accepts_what_the_offline_verdict_accepts(send: Send, name: str) -> None:
    answer = send(document(name, GOOD[name]))
    assert (answer.status_code, answer.json()["spec"]["mode"]) == (201, GOOD[name].get("mode") or "Audit")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"metadata": {"name": "Shop"}}, "metadata.name"),
        ({"metadata": {"name": "shop", "label": {}}}, 'unknown field "metadata.label"'),
        ({"mode": "Enforce"}, 'unknown field "mode"'),
        ({"spec": None}, "spec"),
    ],
)
def test_what_surrounds_spec_is_refused_as_well(send: Send, change: dict[str, Any], says: str) -> None:
    answer = send(document("shop", {}) | change)
    assert answer.status_code in (400, 422)
    assert says in answer.json()["message"]
