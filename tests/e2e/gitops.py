"""A shop in Git that Argo CD syncs, with a policy over it: what the tests of the real loop commit, and what they see.

Whether an Application was Synced, who wrote what and what every revision said is read from the audit log: nothing is
sampled, and the operator never verifies itself.
"""

import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import pykube

from tests.e2e.history import AGENT, deployment_writes, is_ours
from tests.e2e.scene import Body, Scene, service, workload
from tests.lab.argocd import NAMESPACE, ArgoCD
from tests.lab.audit import Write
from tests.lab.repository import Repository

FILE = "shop/shop.yaml"
RESPECT = "RespectIgnoreDifferences=true"
OURS: Body = {"group": "apps", "kind": "Deployment", "managedFieldsManagers": [AGENT]}
"""An entry of ignoreDifferences: the fields that the operator owns."""


@dataclass(frozen=True)
class Mode:
    """How an Application is synced and compared."""

    server_side_sync: bool
    server_side_diff: bool

    @property
    def options(self) -> tuple[str, ...]:
        """Its sync options."""
        return ("ServerSideApply=true",) if self.server_side_sync else ()

    def __str__(self) -> str:
        sync, diff = (
            "server" if side else "client" for side in (self.server_side_sync, self.server_side_diff)
        )
        return f"{sync}-side-sync-{diff}-side-diff"


MODES = [Mode(sync, diff) for sync in (False, True) for diff in (False, True)]


class Shop(Scene):
    """One namespace of a shop, its repository and its Application; policies have the scene's label."""

    def __init__(self, argocd: ArgoCD, home: Scene, mode: Mode) -> None:
        name = f"shop-{uuid4().hex[:8]}"
        super().__init__(home.lab, name, home.name, home.logs)
        self.lab.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
        self.argocd = argocd
        self.mode = mode
        self.app = self.namespace
        self.repository: Repository = argocd.repository(self.app)
        self.revision = ""

    @cached_property
    def client(self) -> pykube.HTTPClient:
        """One client for all that this shop asks: many shops are looked at side by side."""
        return super().api

    @property
    def api(self) -> pykube.HTTPClient:
        """pykube's client, as the administrator."""
        return self.client

    def wait(self, probe: Any, what: str, timeout: float = 60.0) -> Any:
        """Wait until a probe is true, with more patience between two looks than a test that is alone."""
        return self.lab.wait(probe, timeout=timeout, what=f"{self.mode}, {self.app}: {what}", every=0.4)

    def web(self, *, replicas: int | None = 2, pod: Body | None = None, image: str = "shop/web:1.4") -> Body:
        """The Deployment as Git says it; without replicas where Git leaves them out."""
        body = workload(self.namespace, "web", replicas=replicas or 0, pod=pod)
        if replicas is None:
            del body["spec"]["replicas"]
        body["spec"]["template"]["spec"]["containers"][0]["image"] = image
        return body

    def open(self, web: Body, *, options: Sequence[str] = (), ignore: Sequence[Body] = ()) -> None:
        """The first commit and the Application, Synced and rolled out."""
        self.revision = self.repository.commit({FILE: self._files(web)}, "open the shop")
        self.argocd.application(
            self.app,
            self.repository,
            Path(FILE).parent.name,
            self.namespace,
            sync_options=(*self.mode.options, *options),
            server_side_diff=self.mode.server_side_diff,
            ignore_differences=ignore,
        )
        self.argocd.wait_synced(self.app, self.revision)
        self.wait_rolled_out("web")

    def commit(self, web: Body, message: str) -> None:
        """A further commit, Synced and rolled out."""
        self.revision = self.repository.commit({FILE: self._files(web)}, message)
        self.argocd.wait_synced(self.app, self.revision)
        self.wait_rolled_out("web")

    def demand(self, **spec: Any) -> None:
        """Apply this shop's policy."""
        self.policy(self.app, **spec)

    def apply(self, body: Body, *options: str) -> None:
        """Apply a policy, without a kubectl for each of many shops."""
        path = f"/apis/resilience.dev/v1alpha1/resiliencepolicies/{body['metadata']['name']}"
        self.lab.api.patch(f"{path}?fieldManager=shop-team&force=true", body, "apply")

    def withdraw(self) -> None:
        """Delete this shop's policy, and wait until the operator has let go."""
        self.delete_policy(self.app)

    def compliant(self) -> None:
        """Wait until this shop's policy is compliant."""
        self.wait_compliant(self.app)

    def settle_synced(self) -> None:
        """Wait until the Application is Synced to the newest commit, as it stands: nobody asks it to look."""
        what = "the Application settles"
        self.wait(lambda: self.argocd.synced(self.app, self.revision), what, 30)

    def _files(self, web: Body) -> list[Body]:
        return [web, service(self.namespace, "web")]

    # What the audit log says

    def applies(self) -> list[Write]:
        """Every apply of ours that was accepted, also one that changed nothing; a withdrawal is a JSON patch."""
        return [
            write
            for write in deployment_writes(self.lab, self.namespace)
            if is_ours(write) and isinstance(write.request_object, dict)
        ]

    def revisions(self) -> list[Body]:
        """The spec of the Deployment after each write of it, in order."""
        return [write.response_object["spec"] for write in deployment_writes(self.lab, self.namespace)]

    def refused(self) -> list[tuple[str, int]]:
        """(user agent, code) of each write of a Deployment that made no sense to the API server."""
        writes = self.lab.audit.writes(resource="deployments", namespace=self.namespace)
        return [(write.user_agent, write.code) for write in writes if write.code == 422]

    def unsynced(self) -> list[str]:
        """Each comparison that was OutOfSync though its commit had been Synced: somebody touched Git's fields."""
        seen: set[str] = set()
        found: list[str] = []
        for when, sync in self._comparisons():
            if sync["status"] == "Synced":
                seen.add(sync["revision"])
            elif sync["status"] == "OutOfSync" and sync["revision"] in seen:
                found.append(f"{when:%H:%M:%S.%f} {sync['revision'][:7]}")
        return found

    def story(self) -> str:
        """Every write of the Deployment and every comparison, in order: for a failing test."""
        lines = [(when, f"{sync['status']} to {sync['revision'][:7]}") for when, sync in self._comparisons()]
        for write in self.lab.audit.writes(resource="deployments", namespace=self.namespace):
            if not write.dry_run and not write.subresource:
                text = json.dumps(write.request_object)[:500]
                lines.append(
                    (write.time, f"{write.code} {write.user_agent.split('/')[0]} {write.verb} {text}")
                )
        return "\n".join(f"{when:%H:%M:%S.%f} {text}" for when, text in sorted(lines))

    def _comparisons(self) -> Iterator[tuple[datetime, Body]]:
        for write in self.lab.audit.writes(resource="applications", namespace=NAMESPACE, name=self.app):
            sync = ((write.response_object or {}).get("status") or {}).get("sync") or {}
            if sync.get("revision"):
                yield write.time, sync

    def as_git_says(self, web: Body) -> Body:
        """The spec that the API server makes of Git's manifest alone."""
        fresh = copy.deepcopy(web)
        fresh["metadata"]["name"] = "fresh"
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments?dryRun=All"
        spec: Body = self.lab.api.create(path, fresh)["spec"]
        return spec
