"""The GitHub Action and the pre-commit hook, run as those two run them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import ROOT

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
INSTALL, CHECK = ACTION["runs"]["steps"]
BROKEN = ROOT / "examples" / "dns-five-seconds" / "broken.yaml"
PROGRAM = Path(sys.executable).with_name("kubectl-resilience")


def step(body: dict[str, Any], runner: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """A step in the shell that GitHub has for `shell: bash`."""
    values = {name: one["default"] for name, one in ACTION["inputs"].items()} | {
        name.replace("_", "-"): value for name, value in inputs.items()
    }
    env = {**os.environ, "RUNNER_TEMP": str(runner), "GITHUB_ACTION_PATH": str(ROOT)}
    for key, text in body.get("env", {}).items():
        env[key] = values[text.removeprefix("${{ inputs.").removesuffix(" }}")]
    argv = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", body["run"]]
    return subprocess.run(argv, check=False, cwd=runner, env=env, capture_output=True, text=True, timeout=250)


@pytest.fixture
def runner(tmp_path: Path) -> Path:
    """A runner on which the action's first step is done."""
    (tmp_path / "resilience" / "bin").mkdir(parents=True)
    (tmp_path / "resilience" / "bin" / "kubectl-resilience").symlink_to(PROGRAM)
    return tmp_path


def test_findings_fail_the_job_and_are_kept_in_a_file(runner: Path) -> None:
    ended = step(CHECK, runner, path=str(BROKEN), output="sarif", output_file="results.sarif")
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout == (runner / "results.sarif").read_text()
    assert '"ruleId"' in ended.stdout


def test_where_nothing_is_found_the_job_goes_on(runner: Path) -> None:
    (runner / "a b.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
    (runner / "c.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n")
    ended = step(CHECK, runner, path="a b.yaml\n\nc.yaml\n")
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout


@pytest.mark.parametrize("path", ["$(touch evil)", "`touch evil`", '"; touch evil; "', "--output=json"])
def test_what_a_stranger_writes_is_a_path_and_no_command(runner: Path, path: str) -> None:
    ended = step(CHECK, runner, path=path)
    assert (ended.returncode, (runner / "evil").exists()) == (2, False), ended.stdout


@pytest.mark.parametrize("body", [INSTALL, CHECK], ids=lambda body: body["name"])
def test_shellcheck_finds_nothing_in_the_actions_scripts(body: dict[str, Any]) -> None:
    argv = [str(PROGRAM.with_name("shellcheck")), "--shell=bash", "-"]
    ended = subprocess.run(argv, check=False, input=body["run"], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "")


@pytest.mark.slow
def test_the_action_installs_itself(tmp_path: Path) -> None:
    assert step(INSTALL, tmp_path).returncode == 0
    assert step(CHECK, tmp_path, path=str(BROKEN)).returncode == 1


def test_the_hook_judges_the_files_that_it_is_given() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    program, *arguments = hook["entry"].split()
    assert (hook["language"], program) == ("python", PROGRAM.name)
    ended = subprocess.run([PROGRAM, *arguments, BROKEN], check=False, capture_output=True, text=True)
    assert (ended.returncode, "dns-config" in ended.stdout) == (1, True)
