"""What real manifests showed, kind by kind: `check` on each folder of check_cases says the whole of expected.txt.

A folder may hold arguments.txt, one line of further flags. The first line of expected.txt is the exit code; what goes
to stderr stands after the rest, each line behind `! `.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from resilience_operator.cli.main import main

CASES = Path(__file__).parent / "check_cases"


def said(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """All that `check` says of a folder, with its exit code."""
    file = folder / "arguments.txt"
    given = file.read_text().split() if file.exists() else []
    code = main(["check", ".", *given, *arguments])
    told = capsys.readouterr()
    return (
        "\n".join([f"exit {code}", *told.out.splitlines(), *(f"! {line}" for line in told.err.splitlines())])
        + "\n"
    )


@pytest.mark.parametrize("name", sorted(each.name for each in CASES.iterdir()))
def test_a_case_is_judged_as_it_was_read_and_approved(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = CASES / name
    monkeypatch.chdir(folder)
    assert said(folder, capsys) == (folder / "expected.txt").read_text()


def findings(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["check", *arguments, "-o", "json"])
    body: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, body


@pytest.mark.parametrize(
    ("name", "severities"),
    [
        ("06-a-budget-at-the-scalers-minimum", ["error"]),
        ("08-what-kubectl-reads", ["warning"] * 6 + ["info"] + ["warning"] * 4),
        ("10-windows", ["info", "info", "warning", "warning"]),
        ("13-hooks-that-sleep-and-more", ["error", "error"]),
        ("25-a-worker-without-a-port", ["warning"]),
    ],
)
def test_a_finding_has_a_severity_and_only_one_that_weighs_enough_fails(
    name: str, severities: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(CASES / name)
    order = ["info", "warning", "error"]
    for least in order:
        code, body = findings(capsys, folder, "--fail-on", least)
        assert [one["severity"] for one in body["findings"]] == severities
        assert code == int(any(order.index(one) >= order.index(least) for one in severities))


def test_bad_input_is_code_2_whatever_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("apiVersion: v1\nkind: Service\nspec: [\n")
    assert findings(capsys, str(file), "--fail-on", "error")[0] == 2


def test_what_nobody_would_apply_is_bad_input_once_somebody_names_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = CASES / "17-what-nobody-would-apply"
    for name in ("mkdocs.yml", "tsconfig.json", "chart/templates/app.yaml"):
        code, body = findings(capsys, str(folder / name))
        assert (code, [one["file"] for one in body["errors"]]) == (2, [str(folder / name)])
    _, body = findings(capsys, str(folder))
    skipped = [one["file"].removeprefix(f"{folder}/") for one in body["skipped"] if "object" not in one]
    assert {"mkdocs.yml", "tsconfig.json", "chart/templates/app.yaml"} < set(skipped)


@pytest.mark.parametrize(
    ("globs", "left"),
    [
        ((), ["a/web.yaml", "b/web.yaml", "b/c/web.yaml"]),
        (("b",), ["a/web.yaml"]),
        (("b/c/", "a"), ["b/web.yaml"]),
        (("*/web.yaml",), []),
        (("web.*",), []),
        (("*/c",), ["a/web.yaml", "b/web.yaml"]),
    ],
)
def test_what_is_excluded_is_not_read(
    globs: tuple[str, ...],
    left: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("a/web.yaml", "b/web.yaml", "b/c/web.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CASES / "23-singles-by-design" / "plain.yaml", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    flags = [flag for glob in globs for flag in ("--exclude", glob)]
    assert sorted(one["file"] for one in findings(capsys, ".", *flags)[1]["findings"]) == sorted(left)


def test_a_file_whose_name_is_no_text_is_told_of_in_every_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(CASES / "23-singles-by-design" / "plain.yaml", tmp_path / os.fsdecode(b"\xff\xfe.yaml"))
    assert [one["file"] for one in findings(capsys, ".")[1]["findings"]] == ["\\xff\\xfe.yaml"]
    assert main(["check", ".", "-o", "sarif"]) == 1
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    (place,) = run["results"][0]["locations"]
    assert place["physicalLocation"]["artifactLocation"] == {"uri": "%FF%FE.yaml"}
    assert main(["check", ".", "-o", "github"]) == 1
    assert capsys.readouterr().out.startswith(
        "::warning file=\\xff\\xfe.yaml,line=7,title=replicas::Deployment store/plain: "
    )


@pytest.mark.parametrize("form", ["text", "json", "sarif", "github"])
@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict"])
def test_a_strict_terminal_is_told_of_it_too(form: str, encoding: str, tmp_path: Path) -> None:
    shutil.copy(CASES / "23-singles-by-design" / "plain.yaml", tmp_path / os.fsdecode(b"\xff\xfe.yaml"))
    (tmp_path / "ü.yaml").write_text("kind: [\n")
    command = [sys.executable, "-m", "resilience_operator.cli.main", "check", ".", "-o", form]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        check=False,
    )
    assert (done.returncode, b"Traceback" in done.stderr, b"xff" in done.stdout or b"%FF" in done.stdout) == (
        2,
        False,
        True,
    )
