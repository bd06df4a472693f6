"""`check --render`: what the real kustomize and helm make of directories is judged, and not its parts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import Lab

WEB = """apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  replicas: 1
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      containers: [{name: web, image: "web:1", ports: [{containerPort: 80}]}]
"""
PATCH = """apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {replicas: 3}
"""


def tree(directory: Path) -> Path:
    """A base of one replica with an overlay of three, a chart of three, and a file that stands alone."""
    files = {
        "base/web.yaml": WEB.replace("NAME", "web"),
        "base/kustomization.yaml": "resources: [web.yaml]\n",
        "prod/more.yaml": PATCH,
        "prod/kustomization.yaml": "resources: [../base]\npatches: [{path: more.yaml}]\n",
        "chart/Chart.yaml": "apiVersion: v2\nname: api\nversion: 1.0.0\n",
        "chart/values.yaml": "replicas: 3\n",
        "chart/templates/api.yaml": WEB.replace("NAME", "api").replace(
            "replicas: 1", "replicas: {{ .Values.replicas }}"
        ),
        "alone.yaml": WEB.replace("NAME", "alone"),
    }
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return directory


def check(directory: Path, path: str, *more: str) -> tuple[int, list[str], str]:
    """Exit code, the lines of stdout that are about replicas, and stderr."""
    argv = [sys.executable, "-m", "resilience_operator.cli.main", "check", ".", "--rule", "replicas", *more]
    env = os.environ | {"PATH": path}
    ended = subprocess.run(
        argv, check=False, cwd=directory, env=env, capture_output=True, text=True, timeout=120
    )
    return (
        ended.returncode,
        [line for line in ended.stdout.splitlines() if "[replicas]" in line],
        ended.stderr,
    )


@pytest.mark.lab
def test_what_is_made_is_judged_and_not_its_parts(lab: Lab, helm: Path, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "helm").symlink_to(helm)
    (programs / "kubectl").symlink_to(lab.kubectl_program)
    where = tree(tmp_path / "repo")
    finding = "[replicas] Deployment default/alone: 1 of at least 2 replicas; nothing was read that scales it"
    assert check(where, str(programs), "--render") == (1, [f"alone.yaml:5: {finding}"], "")
    (where / "prod" / "more.yaml").write_text(PATCH.replace("3", "1"))
    code, found, _ = check(where, str(programs), "--render")
    assert (code, [line.partition(":")[0] for line in found]) == (
        1,
        ["prod (kubectl kustomize)", "alone.yaml"],
    )
    (where / "prod" / "kustomization.yaml").write_text("resources: [../nosuch]\n")
    code, _, said = check(where, str(programs), "--render")
    assert (code, said.startswith("prod: kubectl kustomize fails: ")) == (2, True)


def test_without_the_programs_it_is_said_which_are_missing_and_nothing_is_run_unasked(tmp_path: Path) -> None:
    where = tree(tmp_path / "repo")
    code, _, said = check(where, "/nonexistent", "--render")
    assert (code, said.splitlines()) == (
        2,
        [
            "chart: --render needs helm on the PATH for it",
            "prod: --render needs kubectl on the PATH for it",
        ],
    )
    code, found, said = check(where, "/nonexistent")
    assert (code, len(found), said) == (1, 2, "")
