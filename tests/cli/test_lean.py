"""The command line as it is installed without extras: files are judged, a cluster is asked for in a sentence."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HEAVY = ("aiohttp", "boto3", "botocore", "kopf", "prometheus_client")
"""Packages of the extras `cluster` and `operator`."""

LEAN = """
import sys
sys.modules.update(dict.fromkeys({heavy!r}))
from resilience_operator.{program} import main
sys.exit(main())
"""


def lean(*arguments: str, program: str = "cli.main") -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command line where nothing heavy can be imported."""
    argv = [sys.executable, "-c", LEAN.format(heavy=HEAVY, program=program), *arguments]
    ended = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
    return ended.returncode, ended.stdout, ended.stderr


def test_files_are_judged_and_rules_explained() -> None:
    code, found, said = lean("check", str(ROOT / "examples" / "dns-five-seconds" / "broken.yaml"))
    assert (code, "[dns-config]" in found, said) == (1, True, "")
    assert lean("explain", "spread")[0] == 0


@pytest.mark.parametrize("command", ["check --cluster", "plan", "report", "revert production"])
def test_a_cluster_needs_an_extra_and_that_is_said_in_a_sentence(command: str, tmp_path: Path) -> None:
    code, found, said = lean(*command.split(), f"--kubeconfig={tmp_path}/none")
    assert (code, found) == (2, "")
    assert (
        said == "aiohttp is not installed; to look at a cluster: pip install 'resilience-operator[cluster]'\n"
    )


def test_the_operator_needs_an_extra_and_that_is_said_in_a_sentence() -> None:
    assert PROJECT["scripts"]["resilience-operator"] == "resilience_operator.run.start:main"
    assert lean("run", program="run.start") == (
        2,
        "",
        "kopf is not installed; to run the operator: pip install 'resilience-operator[operator]'\n",
    )


def test_nothing_heavy_comes_without_an_extra_and_the_operator_has_all_that_a_cluster_needs() -> None:
    def names(lines: list[str]) -> set[str]:
        return {line.split(">")[0].replace("-", "_") for line in lines}

    extras = PROJECT["optional-dependencies"]
    assert names(PROJECT["dependencies"]) & set(HEAVY) == set()
    assert names(extras["cluster"]) == {"aiohttp"}
    assert names(extras["operator"]) == set(HEAVY) - {"botocore"}
