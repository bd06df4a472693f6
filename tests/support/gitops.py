"""The repository of examples/gitops: rendered by kubectl's own kustomize, and committed to as a person would.

Used by the tests of `plan --patch`.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.lab.build import LAB, binaries
from tests.support import ROOT

EXAMPLE = ROOT / "examples" / "gitops"
SHOP = Path("apps/shop")
POLICY = Path("policies/production.yaml")
BUILT_IN = ("v1", "apps/v1", "autoscaling/v2", "policy/v1")
"""What kubectl can merge strategically; a custom resource it merges as JSON."""
Body = dict[str, Any]


def repository(place: Path) -> Path:
    """A copy of the example."""
    return Path(shutil.copytree(EXAMPLE, place / "gitops"))


def rendered(folder: Path) -> list[Body]:
    """What Argo CD would apply of a folder."""
    return list(yaml.safe_load_all(kubectl("kustomize", str(folder))))


def kubectl(*words: str) -> str:
    """kubectl without a cluster."""
    argv = [str(binaries(LAB) / "kubectl"), *words]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def node(zone: str) -> Body:
    """A Node in a zone of its own."""
    labels = {"kubernetes.io/hostname": f"node-{zone}", "topology.kubernetes.io/zone": zone}
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    meta = {"name": f"node-{zone}", "labels": labels}
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": {}, "status": ready}


def running(body: Body) -> Body:
    """The object as the API server has it, all of it rolled out."""
    meta: Body = {"uid": body["metadata"]["name"], "resourceVersion": "7", "generation": 1}
    status: Body = {}
    if body["kind"] == "Deployment":
        replicas = body["spec"].setdefault("replicas", 1)
        counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
        status = {"status": {"observedGeneration": 1, **dict.fromkeys(counts, replicas)}}
    return body | status | {"metadata": body["metadata"] | meta}


def append(patches: str, folder: Path) -> None:
    """Put what `plan --patch` prints below a kustomization; its entries below those that are there already."""
    file = folder / "kustomization.yaml"
    before = file.read_text()
    entries = patches.replace("\npatches:\n", "\n", 1) if "\npatches:\n" in before else patches
    file.write_text(before + entries)


def merge(fragments: str, documents: list[Body], place: Path) -> list[Body]:
    """The documents with the manifest form put into them, as a strategic merge; those of new objects beside them."""
    parts = {_name(one): one for one in yaml.safe_load_all(fragments) if one}
    merged = [_merged(one, parts.pop(_name(one)), place) if _name(one) in parts else one for one in documents]
    return merged + list(parts.values())


def _merged(document: Body, part: Body, place: Path) -> Body:
    whole, patch = place / "whole.yaml", place / "part.yaml"
    whole.write_text(yaml.safe_dump(document))
    patch.write_text(yaml.safe_dump(part))
    how = "strategic" if document["apiVersion"] in BUILT_IN else "merge"
    out = kubectl(
        "patch", "--local", f"--type={how}", "-f", str(whole), "--patch-file", str(patch), "-o", "yaml"
    )
    found: Body = yaml.safe_load(out)
    return found


def _name(body: Body) -> tuple[str, str, str]:
    return (body["kind"], body["metadata"].get("namespace", ""), body["metadata"]["name"])
