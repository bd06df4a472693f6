"""A control plane under manifests/enforce whose operator has every right: what it is refused, the guard refuses.

Used by the tests of the guard. The operator's ServiceAccount is made administrator of the whole cluster.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pykube
from requests import Response

from tests.lab import Lab, start

ACCOUNT = "resilience-system/resilience-operator"
IGNORE, UNTIL = "resilience.dev/ignore", "resilience.dev/ignore-until"
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
NOT_ITS_OWN = (
    "the operator may not create or delete Deployments, ConfigMaps and autoscalers, nor write the scale or status of"
    " anything"
)
DRY: dict[str, str] = {"dryRun": "All", "fieldManager": "resilience-operator"}
Object = dict[str, Any]


class Api(NamedTuple):
    """One user's requests for objects of a kind in a namespace; "" for a kind that lies in none."""

    client: pykube.HTTPClient
    namespace: str
    version: str = "apps/v1"
    plural: str = "deployments"

    def patch(
        self, body: Any, kind: str = STRATEGIC, params: Object | None = None, name: str = "web"
    ) -> Response:
        """Patch an object; a dry run unless `params` are given."""
        return self._patch(f"{self.plural}/{name}", body, kind, DRY if params is None else params)

    def subresource(self, subresource: str, body: Any, name: str = "web") -> Response:
        """Patch a subresource in a dry run."""
        return self._patch(f"{self.plural}/{name}/{subresource}", body, MERGE, DRY)

    def _patch(self, url: str, body: Any, kind: str, params: Object) -> Response:
        answer: Response = self.client.patch(
            version=self.version,
            namespace=self.namespace or None,
            url=url,
            data=json.dumps(body),
            headers={"Content-Type": kind},
            params=params,
        )
        return answer

    def create(self, body: Object) -> Response:
        """Make an object, in a dry run."""
        return self._call("post", self.plural, data=json.dumps(body))

    def delete(self, name: str = "web") -> Response:
        """Delete an object, in a dry run; "" for all there are."""
        return self._call("delete", f"{self.plural}/{name}".rstrip("/"))

    def read(self, name: str = "web") -> Object:
        """An object as it is."""
        found: Object = self._call("get", f"{self.plural}/{name}").json()
        return found

    def _call(self, method: str, url: str, **request: Any) -> Response:
        where = {"version": self.version, "namespace": self.namespace or None, "url": url, "params": DRY}
        answer: Response = getattr(self.client, method)(**where, **request)
        return answer

    def of(self, version: str, plural: str) -> "Api":
        """The same user's requests for another kind."""
        return self._replace(version=version, plural=plural)


def client(lab: Lab, **user: str) -> pykube.HTTPClient:
    """The administrator, or the user that is named."""
    return pykube.HTTPClient(pykube.KubeConfig.from_file(str(lab.kubeconfig(**user))))


def denial(answer: Response, policy: str) -> str:
    """The sentence with which a policy of the guard refused; what was answered instead where it did not."""
    words = f"ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request: "
    _, found, sentence = str(answer.json().get("message", "")).partition(words)
    return sentence if found and answer.status_code == 422 else f"{answer.status_code} {answer.text}"


def accepted(answer: Response) -> bool:
    """True where the request passed; otherwise a test fails with what was answered."""
    assert answer.ok, answer.text
    return True


@contextmanager
def guarding() -> Iterator[Lab]:
    """A control plane of its own, with the guard in force."""
    with start(nodes=0) as lab:
        lab.needs("users")
        for folder in ("setup", "enforce"):
            lab.kubectl("apply", "-k", f"manifests/{folder}")
        lab.kubectl(
            *("create", "clusterrolebinding", "stolen", "--clusterrole=cluster-admin"),
            f"--serviceaccount={ACCOUNT.replace('/', ':')}",
        )
        lab.kubectl("create", "deployment", "probe", "--image=probe", "--replicas=0")
        lab.kubectl("create", "configmap", "probe")
        operator = Api(client(lab, service_account=ACCOUNT), "default")
        touch = {"metadata": {"labels": {"probe": "x"}}}
        budget = {"metadata": {"name": "probe"}, "spec": {"maxUnavailable": 0, "selector": {}}}

        def in_force() -> bool:
            answers = (
                operator.patch(touch, name="probe"),
                operator.of("v1", "configmaps").patch(touch, name="probe"),
                operator.of("policy/v1", "poddisruptionbudgets").create(budget),
                operator.delete("probe"),
            )
            return all(answer.status_code == 422 for answer in answers)

        lab.wait(in_force, what="the guard to be in force")
        yield lab
