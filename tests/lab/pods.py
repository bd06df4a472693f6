"""New pods of a namespace that never start, while the old ones stay well; mixed into `cluster.Lab`.

A label on the namespace and an admission policy of the lab do it, so that no template changes: for the
control plane and for whoever watches it, these are pods that simply do not come up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Literal

import yaml

from tests.lab.api import Api
from tests.lab.waiting import wait

PREFIX = "lab.resilience.dev"
_POLICIES = "/apis/admissionregistration.k8s.io/v1"
_FILE = Path(__file__).with_name("files") / "breaking.yaml"
_EFFECT = {"never": f"{PREFIX}/ready", "crash": f"{PREFIX}/crash"}


class Pods(ABC):
    """Breaking and mending the start of new pods."""

    @property
    @abstractmethod
    def api(self) -> Api:
        """The lab's own client."""

    def break_new_pods(self, namespace: str, how: Literal["never", "crash"] = "never") -> None:
        """From now on, new pods of this namespace never become ready, or crash."""
        self._label(namespace, how)
        what = f"new pods in {namespace} are broken ({how})"
        wait(lambda: _EFFECT[how] in self._probe(namespace), what=what)

    def mend_new_pods(self, namespace: str) -> None:
        """From now on, new pods of this namespace start; those that are broken stay so."""
        self._label(namespace, None)
        what = f"new pods in {namespace} are well again"
        wait(lambda: not self._probe(namespace) & set(_EFFECT.values()), what=what)

    def _label(self, namespace: str, how: str | None) -> None:
        labels = {f"{PREFIX}/break": how}
        self.api.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": labels}})

    def _probe(self, namespace: str) -> set[str]:
        # The server's view of labels and policies lags behind a write; a dry run shows when it has caught up.
        path = f"/api/v1/namespaces/{namespace}/pods?dryRun=All"
        created = self.api.create(path, _restricted_pod())
        return set(created["metadata"].get("annotations") or ())


def install_policy(api: Api) -> None:
    """Create the admission policy that `break_new_pods` switches on by a label."""
    collections = {
        "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
        "MutatingAdmissionPolicyBinding": "mutatingadmissionpolicybindings",
    }
    for body in yaml.safe_load_all(_FILE.read_text()):
        api.create(f"{_POLICIES}/{collections[body['kind']]}", body)


def _restricted_pod() -> dict[str, Any]:
    # The strictest Pod Security Standard accepts it, so that it can be asked about in any namespace.
    context = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {"name": "probe", "image": "probe", "securityContext": context}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "lab-probe-"},
        "spec": {"containers": [container]},
    }
