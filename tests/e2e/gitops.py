"""A shop in Git that Argo CD syncs, with a policy over it: what the tests of the real loop commit, and what they see.

Whether an Application was Synced, who wrote what and what every revision said is read from the audit log: nothing is
sampled, and the operator never verifies itself.
"""

import copy
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import uuid4

import pykube
import yaml

from tests.e2e.history import AGENT, OUTDATED, deployment_writes, is_ours
from tests.e2e.scene import Body, ResiliencePolicy, Scene, service, workload
from tests.lab.api import ApiError
from tests.lab.argocd import NAMESPACE, ArgoCD
from tests.lab.audit import Write
from tests.lab.repository import Repository
from tests.support import ROOT

POLICIES = "/apis/resilience.dev/v1alpha1/resiliencepolicies"
REFRESH = "argocd.argoproj.io/refresh"
PATIENCE = 90.0
"""Seconds for what takes two on a machine that does nothing else."""
RESPECT = "RespectIgnoreDifferences=true"
_EXAMPLE = yaml.safe_load((ROOT / "manifests" / "argocd" / "ignore-differences.yaml").read_text())
OURS: Body = {key: one for key, one in _EXAMPLE["spec"]["ignoreDifferences"][0].items() if key != "name"}
"""The entry of ignoreDifferences that users copy, for every Deployment."""


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
    """One namespace of a shop, its folder in a repository and its Application; policies have the scene's label."""

    def __init__(self, argocd: ArgoCD, home: Scene, mode: Mode, repository: Repository | None = None) -> None:
        name = f"shop-{uuid4().hex[:8]}"
        super().__init__(home.lab, name, home.name, home.logs)
        self.lab.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
        self.argocd = argocd
        self.mode = mode
        self.app = self.namespace
        self.repository = repository or argocd.repository(self.app)
        self.file = f"{self.app}/shop.yaml"
        self.revision = ""

    @cached_property
    def client(self) -> pykube.HTTPClient:
        """One client for all that this shop asks: many shops are looked at side by side."""
        return super().api

    @property
    def api(self) -> pykube.HTTPClient:
        """pykube's client, as the administrator."""
        return self.client

    def wait(self, probe: Any, what: str, timeout: float = PATIENCE) -> Any:
        """Wait until a probe is true, with more patience between two looks than a test that is alone."""
        return self.lab.wait(probe, timeout=timeout, what=f"{self.mode}, {self.app}: {what}", every=0.6)

    def web(self, *, replicas: int | None = 2, pod: Body | None = None, image: str = "shop/web:1.4") -> Body:
        """The Deployment as Git says it; without replicas where Git leaves them out."""
        body = workload(self.namespace, "web", replicas=replicas or 0, pod=pod)
        if replicas is None:
            del body["spec"]["replicas"]
        body["spec"]["template"]["spec"]["containers"][0]["image"] = image
        return body

    def open(self, web: Body, *, options: Sequence[str] = (), ignore: Sequence[Body] = ()) -> None:
        """The first commit and the Application, Synced and rolled out."""
        self.revision = self.repository.commit({self.file: self._files(web)}, "open the shop")
        self.join(options=options, ignore=ignore)
        self.argocd.wait_synced(self.app, self.revision, PATIENCE)
        self.wait_rolled_out("web")

    def join(self, *, options: Sequence[str] = (), ignore: Sequence[Body] = ()) -> None:
        """The Application of what is committed."""
        self.argocd.application(
            self.app,
            self.repository,
            self.app,
            self.namespace,
            sync_options=(*self.mode.options, *options),
            server_side_diff=self.mode.server_side_diff,
            ignore_differences=ignore,
        )

    def commit(self, web: Body, message: str) -> None:
        """A further commit, Synced and rolled out."""
        self.revision = self.repository.commit({self.file: self._files(web)}, message)
        self.argocd.wait_synced(self.app, self.revision, PATIENCE)
        self.wait_rolled_out("web")

    def demand(self, **spec: Any) -> None:
        """Apply this shop's policy."""
        self.policy(self.app, **spec)

    def apply(self, body: Body, *options: str) -> None:
        """Apply a policy, without a kubectl for each of many shops."""
        path = f"{POLICIES}/{body['metadata']['name']}"
        self.lab.api.patch(f"{path}?fieldManager=shop-team&force=true", body, "apply")

    def withdraw(self) -> None:
        """Delete this shop's policy, and wait until the operator has let go."""
        name = f"{self.name}-{self.app}"
        self.lab.api.delete(f"{POLICIES}/{name}")
        policies = self.query(ResiliencePolicy)
        self.wait(lambda: policies.get_or_none(name=name) is None, "the policy is gone")

    def compliant(self) -> None:
        """Wait until this shop's policy is compliant."""
        self.wait_compliant(self.app, PATIENCE)

    def close(self) -> None:
        """Leave the lab to others: no Application, no policy, no Deployments."""
        policy = f"{POLICIES}/{self.name}-{self.app}"
        with suppress(ApiError):
            self.argocd.delete_application(self.app)
        with suppress(ApiError):
            self.lab.api.patch(policy, {"metadata": {"finalizers": None}})
            self.lab.api.delete(policy)
        with suppress(ApiError):
            self.lab.api.delete(f"/api/v1/namespaces/{self.namespace}")

    def settle_synced(self) -> None:
        """Wait until the Application is Synced to the newest commit, as it stands: nobody asks it to look."""
        self.wait(lambda: self.argocd.synced(self.app, self.revision), "the Application settles")

    def _files(self, web: Body) -> list[Body]:
        return [web, service(self.namespace, "web")]

    # What the audit log says

    def applies(self) -> list[Write]:
        """Every write of ours that set something: it tests the uid, too, which one that gives back does not."""
        return [
            write
            for write in deployment_writes(self.lab, self.namespace)
            if is_ours(write) and write.request_object[0]["path"] == "/metadata/uid"
        ]

    def revisions(self) -> list[Body]:
        """The spec of the Deployment after each write of it, in order."""
        return [write.response_object["spec"] for write in deployment_writes(self.lab, self.namespace)]

    def refused(self) -> list[tuple[str, str]]:
        """(user agent, message) of each write of a Deployment that made no sense to the API server.

        It answers 422 as well where a JSON patch was for an older object: that one is decided anew.
        """
        writes = self.lab.audit.writes(resource="deployments", namespace=self.namespace)
        refused = [write for write in writes if write.code == 422 and not write.asks_the_guard]
        said = [(write.user_agent, str((write.response_object or {}).get("message"))) for write in refused]
        return [(agent, message) for agent, message in said if not message.startswith(OUTDATED)]

    def told_to_look(self) -> list[Body]:
        """What the operator wrote to the Application, in order."""
        writes = self.lab.audit.writes(resource="applications", namespace=NAMESPACE, name=self.app)
        return [
            write.request_object["metadata"]["annotations"]
            for write in writes
            if write.succeeded and write.user_agent.startswith(AGENT)
        ]

    def unsynced(self) -> list[str]:
        """Each comparison after our first write that was OutOfSync though its commit had been Synced.

        Argo CD may compare a moment with what it saw before the last write, its own or ours: a difference that is gone
        at the next look though nobody wrote anything was none.
        """
        ours = self.applies()
        seen: set[str] = set()
        doubts: list[str] = []
        found: list[str] = []
        for when, sync in self._history():
            if sync is None:
                found, doubts = found + doubts, []
            elif sync["status"] == "Synced" or sync["revision"] not in seen:
                seen |= {sync["revision"]} if sync["status"] == "Synced" else set()
                doubts = []
            elif ours and when > ours[0].time:
                doubts.append(f"{when:%H:%M:%S.%f} {sync['revision'][:7]}")
        return found + doubts

    def _history(self) -> list[tuple[datetime, Body | None]]:
        """Every comparison, and None for each write that changed the Deployment's spec, in order."""
        last: Body = {}
        history: list[tuple[datetime, Body | None]] = list(self._comparisons())
        for write in deployment_writes(self.lab, self.namespace):
            if write.response_object["spec"] != last:
                last = write.response_object["spec"]
                history.append((write.time, None))
        return sorted(history, key=lambda one: one[0])

    def story(self) -> str:
        """Every write of the Deployment, every comparison and every status, in order: for a failing test."""
        lines = [(when, f"{sync['status']} to {sync['revision'][:7]}") for when, sync in self._comparisons()]
        policy = f"{self.name}-{self.app}"
        for write in self.lab.audit.writes(resource="resiliencepolicies", name=policy):
            status = (write.response_object or {}).get("status") or {}
            conditions = {one["type"]: one["status"] for one in status.get("conditions", ())}
            found = [f"{one['rule']} {one['state']}" for one in status.get("findings", ())]
            text = f"policy: {conditions} {status.get('summary', {})} {found}"
            lines.append((write.time, f"{write.code} {write.subresource or 'spec'} {text}"))
        for write in self.lab.audit.writes(resource="deployments", namespace=self.namespace):
            if not write.asks_the_guard and not write.subresource:
                text = json.dumps(write.request_object)[:500]
                lines.append(
                    (write.time, f"{write.code} {write.user_agent.split('/')[0]} {write.verb} {text}")
                )
        return "\n".join(f"{when:%H:%M:%S.%f} {text}" for when, text in sorted(lines))

    def _comparisons(self) -> Iterator[tuple[datetime, Body]]:
        for write in self.lab.audit.writes(resource="applications", namespace=NAMESPACE, name=self.app):
            answer = write.response_object if isinstance(write.response_object, dict) else {}
            status = answer.get("status")  # Of a request that was refused, a word.
            sync = (status.get("sync") if isinstance(status, dict) else None) or {}
            if sync.get("revision"):
                yield write.time, sync

    def as_git_says(self, web: Body) -> Body:
        """The spec that the API server makes of Git's manifest alone."""
        fresh = copy.deepcopy(web)
        fresh["metadata"]["name"] = "fresh"
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments?dryRun=All"
        spec: Body = self.lab.api.create(path, fresh)["spec"]
        return spec
