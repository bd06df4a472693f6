"""A cluster that gets everything from Git by Argo CD: what the platform team does, as manifests/argocd says.

Used by test_argo_install. The pods of the lab are simulated, so the operator runs beside it, with the ServiceAccount
that Argo CD has brought.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pykube

from tests.e2e.conftest import make_scene
from tests.e2e.process import OperatorProcess, pretty
from tests.e2e.scene import FAST, ROOT, Body, Scene
from tests.lab import Lab
from tests.lab.api import ApiError
from tests.lab.argocd import ArgoCD
from tests.lab.repository import Repository

ACCOUNT = "resilience-system/resilience-operator"
ARGOCD = ROOT / "manifests" / "argocd"
HOME = "https://git.example.com/platform/resilience.git"
ROOT_APP, OPERATOR, POLICIES = APPLICATIONS = ("resilience", "resilience-operator", "resilience-policies")
PASSING = ("Event", "Lease", "EndpointSlice", "Endpoints", "Pod", "ReplicaSet", "ControllerRevision")
"""Kinds whose objects come and go by themselves."""


@dataclass
class Platform:
    """The cluster, its Argo CD, the platform team's repository, and a namespace of a tenant."""

    lab: Lab
    argocd: ArgoCD
    repository: Repository
    scene: Scene

    def commit(self, files: dict[str, Any], message: str) -> str:
        """Commit, and let Argo CD look."""
        revision = self.repository.commit(files, message)
        self.argocd.refresh(ROOT_APP)
        return revision

    def read(self, path: str) -> str:
        """A file of the repository."""
        return (self.repository.directory / path).read_text(encoding="utf-8")

    def apply(self, *paths: str) -> None:
        """kubectl apply of files of the repository."""
        files = [f"--filename={self.repository.directory / path}" for path in paths]
        self.lab.kubectl("apply", *files)

    def wait_synced(self, revision: str, *names: str) -> None:
        """Wait until Applications are Synced to a commit, and Healthy."""
        for name in names or APPLICATIONS:
            self.scene.wait(lambda name=name: bool(self.application(name)), f"Application {name} is there")  # type: ignore[misc]
            self.argocd.wait_synced(name, revision, 90)
        self.scene.wait(lambda: self.are("Healthy", *names), "the Applications are Healthy")

    def application(self, name: str) -> Body:
        """An Application as it is, {} where it is gone."""
        try:
            return self.argocd.get(name)
        except ApiError as error:
            if error.code == 404:
                return {}
            raise

    def are(self, health: str, *names: str) -> bool:
        """True where Argo CD says that of Applications; AssertionError with what it says where not."""
        found = {
            name: self.application(name).get("status", {}).get("health", {}) for name in names or APPLICATIONS
        }
        assert {each.get("status", "") for each in found.values()} == {health}, pretty(found)
        return True

    def out_of_sync(self) -> dict[str, list[str]]:
        """Application -> what of it is not Synced, for all that have something."""
        found = {}
        for name in APPLICATIONS:
            status = self.application(name).get("status", {})
            others = [each for each in status.get("resources", []) if each.get("status") != "Synced"]
            if others or status.get("sync", {}).get("status") != "Synced":
                found[name] = [f"{each['kind']} {each['name']}" for each in others]
        return found

    def operator(self) -> OperatorProcess:
        """The operator, with the ServiceAccount that Argo CD has brought."""
        self.scene.wait(self.deployed, "the operator is brought", 90)
        return OperatorProcess(
            self.lab.kubeconfig(service_account=ACCOUNT), self.scene.logs / "operator.log", *FAST
        )

    def deployed(self) -> bool:
        """True while the operator's Deployment is there."""
        namespace, name = ACCOUNT.split("/")
        return self.scene.query(pykube.Deployment, namespace).get_or_none(name=name) is not None

    def inventory(self) -> set[str]:
        """Every object of the cluster that does not come and go by itself."""
        kinds = self.lab.kubectl("api-resources", "--verbs=list", "-o", "name").split()
        text = self.lab.kubectl("get", ",".join(kinds), "-A", "-o", "json", "--ignore-not-found")
        return {
            f"{each['kind']} {each['metadata'].get('namespace', '')}/{each['metadata']['name']}"
            for each in json.loads(text)["items"]
            if each["kind"] not in PASSING
        }


@contextmanager
def platform(lab: Lab, logs: Path) -> Iterator[Platform]:
    """Argo CD with the settings of manifests/argocd, and a repository with everything in it; nothing is applied yet."""
    with ArgoCD(lab) as argocd:
        repository = argocd.repository("platform")
        for folder in ("crds", "manifests"):
            shutil.copytree(ROOT / folder, repository.directory / folder)
        for file in repository.directory.glob("manifests/argocd/**/*.yaml"):
            file.write_text(file.read_text(encoding="utf-8").replace(HOME, repository.url), encoding="utf-8")
        lab.kubectl(
            *("patch", "configmap", "argocd-cm", "-n", "argocd"),
            f"--patch-file={ARGOCD / 'settings' / 'health.yaml'}",
        )
        yield Platform(lab, argocd, repository, make_scene(lab, logs))
