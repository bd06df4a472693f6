"""Argo CD beside a running lab: its application-controller and repo-server, the real ones, without a user interface.

Used by tests through the fixture `argocd`, or as `with ArgoCD(lab) as argocd`. Its processes belong to the lab, so
they end with it, also when the owner is killed. Its objects lie in namespace `argocd` and go with the lab.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.lab import build
from tests.lab.api import ApiError
from tests.lab.cluster import Lab
from tests.lab.parts import answers
from tests.lab.repository import Repository

Body = dict[str, Any]

NAMESPACE = "argocd"
USER = "argocd"
CACHE, REPO_SERVER, CONTROLLER = "argocd-cache", "argocd-repo-server", "argocd-application-controller"
MANAGER = "argocd-controller"
"""The field manager of its syncs."""
DESTINATION = "https://kubernetes.default.svc"
FINALIZER = "resources-finalizer.argocd.argoproj.io"

_KINDS = ("applications", "appprojects", "applicationsets")
_GROUP = "/apis/argoproj.io/v1alpha1/namespaces/argocd"
_REFRESH = "argocd.argoproj.io/refresh"
# Only `build` and `version` are asked of it, as long as an Application sets no kustomize options.
_KUSTOMIZE = """#!/bin/sh
case "$1" in
build) shift; exec {kubectl} kustomize "$@" ;;
version) echo v5.7.1 ;;
*) echo "kustomize $1: not in the lab" >&2; exit 1 ;;
esac
"""


class ArgoCD:
    """One Argo CD for one lab; a context manager that stops it."""

    def __init__(self, lab: Lab) -> None:
        lab.needs("parts")
        self._lab = lab
        self._programs = build.binaries(build.ARGO_CD)
        self._directory = lab.directory / NAMESPACE
        self._ports = {name: lab.port() for name in (CACHE, REPO_SERVER, "repo-server metrics", CONTROLLER)}

    # Life

    def start(self) -> Self:
        """Create its objects and start its three programs, each ready when the next one starts."""
        for folder in ("bin", "plugins", "tmp", "repositories"):
            (self._directory / folder).mkdir(parents=True, exist_ok=True)
        kustomize = self._directory / "bin" / "kustomize"
        kustomize.write_text(_KUSTOMIZE.format(kubectl=self._lab.kubectl_program))
        kustomize.chmod(0o755)
        self._install()
        self._lab.start_beside(CACHE, self._cache(), self._cache_answers)
        metrics = self._ports["repo-server metrics"]
        self._lab.start_beside(REPO_SERVER, self._repo_server(), lambda: answers("http", metrics, "/healthz"))
        self._lab.start_beside(
            CONTROLLER, self._controller(), lambda: answers("http", self._ports[CONTROLLER], "/healthz")
        )
        return self

    def stop(self) -> None:
        """End its programs; what they made stays in the lab."""
        for name in (CONTROLLER, REPO_SERVER, CACHE):
            if name in self._lab.running():
                self._lab.kill(name)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Git and Applications

    def repository(self, name: str) -> Repository:
        """A new Git repository."""
        return Repository(self._directory / "repositories" / name)

    def application(
        self,
        name: str,
        repository: Repository,
        path: str,
        namespace: str,
        *,
        sync_options: Sequence[str] = (),
        server_side_diff: bool = False,
        self_heal: bool = True,
        prune: bool = True,
        ignore_differences: Sequence[Body] = (),
        finalizer: bool = False,
        project: str = "default",
    ) -> str:
        """Create an Application that syncs a path of a repository by itself; returns its name."""
        body: Body = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {
                "name": name,
                "annotations": {
                    "argocd.argoproj.io/compare-options": f"ServerSideDiff={str(server_side_diff).lower()}"
                },
                "finalizers": [FINALIZER] if finalizer else [],
            },
            "spec": {
                "project": project,
                "source": {"repoURL": repository.url, "path": path, "targetRevision": "main"},
                "destination": {"server": DESTINATION, "namespace": namespace},
                "syncPolicy": {
                    "automated": {"selfHeal": self_heal, "prune": prune},
                    "syncOptions": list(sync_options),
                },
                "ignoreDifferences": list(ignore_differences),
            },
        }
        self._lab.api.create(f"{_GROUP}/applications", body)
        return name

    def get(self, name: str) -> Body:
        """An Application as it is now."""
        found: Body = self._lab.api.get(f"{_GROUP}/applications/{name}")
        return found

    def delete_application(self, name: str) -> None:
        """Delete an Application: with its finalizer its objects go first, without it they stay."""
        self._lab.api.delete(f"{_GROUP}/applications/{name}")

    def refresh(self, name: str, *, hard: bool = False) -> None:
        """Let it look at Git and the cluster now (hard: without its cache); returns when it has."""
        self.ask(name, hard=hard)
        self._lab.wait(
            lambda: _REFRESH not in self.get(name)["metadata"].get("annotations", {}),
            what=f"Application {name} is refreshed",
            every=0.5,
        )

    def ask(self, name: str, *, hard: bool = False) -> None:
        """Ask it to look at Git and the cluster, and wait for nothing."""
        how = {"metadata": {"annotations": {_REFRESH: "hard" if hard else "normal"}}}
        self._lab.api.patch(f"{_GROUP}/applications/{name}", how)

    def sync_status(self, name: str) -> str:
        """Synced, OutOfSync or Unknown; empty where it was not compared yet."""
        return str(self.get(name).get("status", {}).get("sync", {}).get("status", ""))

    def synced(self, name: str, revision: str) -> bool:
        """Whether a commit is synced and no operation runs or failed."""
        application = self.get(name)
        status = application.get("status", {})
        sync, operation = status.get("sync", {}), status.get("operationState", {})
        settled = "operation" not in application and operation.get("phase", "Succeeded") == "Succeeded"
        return settled and (sync.get("status"), sync.get("revision")) == ("Synced", revision)

    def wait_synced(self, name: str, revision: str, timeout: float = 30.0) -> None:
        """Let it look at Git, and wait until a commit is synced and no operation runs."""
        self.refresh(name)
        what = f"Application {name} is Synced to {revision[:7]}"
        try:
            self._lab.wait(lambda: self.synced(name, revision), timeout, what, every=0.5)
        except AssertionError as error:
            error.add_note(json.dumps(self.get(name).get("status", {}), indent=1)[:6000])
            raise

    def configure(self, settings: Mapping[str, str]) -> None:
        """Set keys of argocd-cm. Every Application is compared anew after it."""
        path = f"/api/v1/namespaces/{NAMESPACE}/configmaps/argocd-cm"
        self._lab.api.patch(path, {"data": dict(settings)})

    # Its objects

    def _install(self) -> None:
        kubectl = self._lab.kubectl
        schemas = [self._programs / "crds" / f"{kind.removesuffix('s')}-crd.yaml" for kind in _KINDS]
        # A client-side apply would copy a schema of 400 kB into an annotation, which is too small for it.
        kubectl("apply", "--server-side", *(f"--filename={file}" for file in schemas))
        self._lab.wait(lambda: all(map(self._served, _KINDS)), what="Argo CD's kinds are served")
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        kubectl("apply", "-f", "-", input=json.dumps(namespace))
        kubectl("apply", "-n", NAMESPACE, "-k", str(self._programs / "config"))
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        self._lab.api.patch(
            f"/api/v1/namespaces/{NAMESPACE}/secrets/argocd-secret", {"data": {"server.secretkey": key}}
        )
        everything = {"group": "*", "kind": "*"}
        project = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "AppProject",
            "metadata": {"name": "default"},
            "spec": {
                "sourceRepos": ["*"],
                "destinations": [{"server": "*", "namespace": "*"}],
                "clusterResourceWhitelist": [everything],
            },
        }
        try:
            self._lab.api.create(f"{_GROUP}/appprojects", project)
        except ApiError as error:
            if error.code != 409:
                raise

    def _served(self, kind: str) -> bool:
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind}.argoproj.io"
        conditions = self._lab.api.get(path).get("status", {}).get("conditions") or []
        return any((one["type"], one["status"]) == ("Established", "True") for one in conditions)

    # Its programs

    def _cache(self) -> list[str]:
        return [str(self._programs / "argocd-cache"), f"127.0.0.1:{self._ports[CACHE]}"]

    def _cache_answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._ports[CACHE])) == 0

    def _repo_server(self) -> list[str]:
        return [
            *self._argocd(REPO_SERVER),
            "--address=127.0.0.1",
            f"--port={self._ports[REPO_SERVER]}",
            "--metrics-address=127.0.0.1",
            f"--metrics-port={self._ports['repo-server metrics']}",
            f"--redis=127.0.0.1:{self._ports[CACHE]}",
            # The default is the path of a file, and any path is refused beside the flag.
            "--disable-tls",
            "--client-ca-path=",
        ]

    def _controller(self) -> list[str]:
        return [
            *self._argocd(CONTROLLER),
            f"--kubeconfig={self._access()}",
            f"--namespace={NAMESPACE}",
            f"--repo-server=127.0.0.1:{self._ports[REPO_SERVER]}",
            "--repo-server-plaintext",
            f"--redis=127.0.0.1:{self._ports[CACHE]}",
            # The one port of the lab that is open on every interface: the address is written in its source. It
            # serves metrics and /healthz, and changes nothing.
            f"--metrics-port={self._ports[CONTROLLER]}",
        ]

    def _argocd(self, name: str) -> list[str]:
        path = (self._programs, self._directory / "bin", os.environ.get("PATH", os.defpath))
        environment = {
            "ARGOCD_BINARY_NAME": name,
            "ARGOCD_FAKE_IN_CLUSTER": "true",
            "KUBECONFIG": self._access(),
            # git-verify-wrapper.sh is looked for on it, though nothing is signed.
            "PATH": ":".join(map(str, path)),
            "HOME": self._directory,
            "TMPDIR": self._directory / "tmp",
            "ARGOCD_GPG_ENABLED": "false",
            "ARGOCD_ASK_PASS_SOCK": self._directory / "ask-pass.sock",
            # Every file in it is taken for a plugin's socket, and a missing folder for an error.
            "ARGOCD_PLUGINSOCKFILEPATH": self._directory / "plugins",
        }
        return [
            "env",
            *(f"{key}={value}" for key, value in environment.items()),
            str(self._programs / "argocd"),
        ]

    def _access(self) -> Path:
        link = self._directory / "kubeconfig"
        if not link.exists():
            self._lab.kubeconfig(USER, groups=["system:masters"]).rename(link)
        return link
