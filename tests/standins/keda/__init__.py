"""KEDA's own CustomResourceDefinitions, taken from its Go module when a test asks for them; called by lab tests.

The module is only downloaded and checked against go.sum. KEDA itself does not run: what it makes of a ScaledObject,
an HPA named keda-hpa-NAME that the ScaledObject controls, tests make as its documentation describes.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.lab.build import cache
from tests.lab.progress import Progress
from tests.lab.toolchain import find_go

HERE = Path(__file__).parent
MODULE = "github.com/kedacore/keda/v2"
NEEDED_GO = (1, 24)


def scaled_object_crd() -> dict[str, Any]:
    """The CustomResourceDefinition of ScaledObjects, as KEDA ships it."""
    file = _module() / "config" / "crd" / "bases" / "keda.sh_scaledobjects.yaml"
    body: dict[str, Any] = yaml.safe_load(file.read_text())
    return body


def _module() -> Path:
    go = find_go(NEEDED_GO, cache(), Progress(1))
    argv = [str(go), "mod", "download", "-json", MODULE]
    told = subprocess.run(argv, cwd=HERE, capture_output=True, text=True, check=True, timeout=300)
    return Path(json.loads(told.stdout)["Dir"])


def generated_hpa(namespace: str, name: str, scaled_object: dict[str, Any], minimum: int) -> dict[str, Any]:
    """The HPA that KEDA makes of a ScaledObject (Deployment of the same name), controlled by it."""
    owner = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "name": scaled_object["metadata"]["name"],
        "uid": scaled_object["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "name": f"keda-hpa-{owner['name']}",
            "namespace": namespace,
            "labels": {"scaledobject.keda.sh/name": owner["name"]},
            "ownerReferences": [owner],
        },
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": minimum,
            "maxReplicas": 10,
        },
    }
