"""Sends the requests of the table to a real API server, as dry runs: whether a webhook refused each of them."""

import base64
from functools import partial
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from resilience_operator.targets.webhooks.requests import CREATE, DELETE, Request
from tests.lab import Lab
from tests.lab.api import PATCHES, ApiError

Body = dict[str, Any]

SELECTOR = {"matchLabels": {"app": "probe"}}
POD = {"containers": [{"name": "probe", "image": "probe"}]}
TEMPLATE: Body = {
    "metadata": {"labels": {"app": "probe"}},
    "spec": POD,
}
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "probes.example.dev"},
    "spec": {
        "group": "example.dev",
        "scope": "Cluster",
        "names": {"plural": "probes", "singular": "probe", "kind": "Probe"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object"}},
            }
        ],
    },
}
EXISTING = {
    "nodes": "probe",
    "certificatesigningrequests": "probe",
    "apiservices": "v1.apps",
    "customresourcedefinitions": "probes.example.dev",
    "clusterroles": "view",
    "clusterrolebindings": "system:basic-user",
    "flowschemas": "catch-all",
    "prioritylevelconfigurations": "catch-all",
}
"""The cluster-scoped object that is updated."""


def prepare(lab: Lab, namespaces: tuple[str, ...]) -> None:
    """Make what the requests are about."""
    lab.api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", CRD)
    lab.wait_established("probes.example.dev")
    lab.api.create("/api/v1/nodes", {"metadata": {"name": "probe"}})
    lab.api.create(
        "/apis/certificates.k8s.io/v1/certificatesigningrequests", _body("certificatesigningrequests")
    )
    leader = {"metadata": {"name": "kube-controller-manager"}}
    lab.api.create("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases", leader)
    for namespace in namespaces:
        account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
        lab.wait(partial(lab.api.get, account), what="its default ServiceAccount")
        for group, resource in (
            ("", "pods"),
            ("", "configmaps"),
            ("coordination.k8s.io", "leases"),
            ("discovery.k8s.io", "endpointslices"),
            ("apps", "replicasets"),
            ("apps", "deployments"),
            ("apps", "daemonsets"),
        ):
            lab.api.create(f"{_root(group)}/namespaces/{namespace}/{resource}", _body(resource, namespace))


def refused(lab: Lab, request: Request) -> bool:
    """True where a webhook refused the request; any other failure is an error of the test."""
    try:
        _send(lab, request)
    except ApiError as error:
        if "failed calling webhook" in str(error):
            return True
        raise AssertionError(f"{request}: {error}") from error
    return False


def _send(lab: Lab, request: Request) -> None:
    root = _root(request.group)
    namespaced = request.namespace and request.resource != "namespaces"
    collection = (
        f"{root}/namespaces/{request.namespace}/{request.resource}"
        if namespaced
        else f"{root}/{request.resource}"
    )
    name = request.name or EXISTING.get(request.resource, "probe")
    body = _body(request.resource, request.namespace, request.group, request.subresource)
    below = f"/{request.subresource}" if request.subresource else ""
    if request.operation == CREATE and below:
        name = "default" if request.resource == "serviceaccounts" else name
        lab.api.create(f"{collection}/{name}{below}?dryRun=All", body)
    elif request.operation == CREATE:
        body["metadata"]["name"] = "probe-new"
        lab.api.create(f"{collection}?dryRun=All", body)
    elif request.operation == DELETE:
        lab.api.delete(f"{collection}/{name}?dryRun=All")
    else:
        lab.api.request("PATCH", f"{collection}/{name}{below}?dryRun=All", {}, PATCHES["merge"])


def _root(group: str) -> str:
    versions = {"": "/api/v1", "example.dev": "/apis/example.dev/v1"}
    return versions.get(group, f"/apis/{group}/v1")


def _body(resource: str, namespace: str = "", group: str = "", subresource: str = "") -> Body:
    meta: Body = {"metadata": {"name": "probe"}}
    named = {"kind": "Pod", "namespace": namespace, "name": "probe"}
    rest: dict[str, Body] = {
        "pods/": {"spec": {**POD, "schedulerName": "nobody"}},
        "pods/binding": {"target": {"kind": "Node", "name": "probe"}},
        "serviceaccounts/token": {"metadata": {}, "spec": {"audiences": ["probe"]}},
        "replicasets/": {"spec": {"replicas": 0, "selector": SELECTOR, "template": TEMPLATE}},
        "deployments/": {"spec": {"replicas": 0, "selector": SELECTOR, "template": TEMPLATE}},
        "daemonsets/": {
            "spec": {
                "selector": SELECTOR,
                "template": {**TEMPLATE, "spec": {**POD, "nodeSelector": {"no": "node"}}},
            }
        },
        "endpointslices/": {"addressType": "IPv4", "endpoints": []},
        "controllerrevisions/": {"revision": 1, "data": {"a": 1}},
        "priorityclasses/": {"value": 1},
        "certificatesigningrequests/": {
            "spec": {"request": _request(), "signerName": "example.dev/probe", "usages": ["client auth"]}
        },
        "events/": {"involvedObject": named, "reason": "Probe"},
        "events/events.k8s.io": {
            "eventTime": "2026-01-01T00:00:00.000000Z",
            "reportingController": "example.dev/probe",
            "reportingInstance": "probe",
            "action": "Probe",
            "reason": "Probe",
            "type": "Normal",
            "regarding": named,
        },
    }
    key = f"{resource}/{group if group == 'events.k8s.io' else subresource}"
    return {**meta, **rest.get(key, {})}


def _request() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "probe")])
    key = ec.generate_private_key(ec.SECP256R1())
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()
