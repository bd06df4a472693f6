"""`check` on launch settings: user data, EC2NodeClass and NodePool, in each output, with the line of each mistake."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from resilience_operator.cli.main import main

CLASS = """# ours
apiVersion: karpenter.k8s.aws/v1
kind: EC2NodeClass
metadata:
  name: general
spec:
  amiFamily: Bottlerocket
  blockDeviceMappings:
  - {deviceName: /dev/xvda, ebs: {volumeSize: 4Gi, encrypted: true}}
  - deviceName: /dev/xvdb
    ebs: {volumeSize: 100Gi, encrypted: true}
  userData: |
    [settings.kernel]

    lockdwn = "none"
"""
POOL = """apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: general}
spec:
  template: {spec: {nodeClassRef: {name: general}}}
  disruption:
    budgets: [{nodes: 100%}]
"""
MISTAKE = (
    'settings.kernel.lockdwn = "none": is no setting of a Kubernetes node: Bottlerocket refuses the whole user data, '
    'and the node never joins; write "lockdown"'
)
LOOSE = "a change of settings may replace 100% of all nodes at once; allow 10%"


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **files: str | bytes) -> tuple[int, list[str], list[str]]:
        for name, content in files.items():
            path = Path(name.replace("__", "."))
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        code = main(["check", *arguments])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return run


def test_user_data_is_judged_with_its_lines(check: Any) -> None:
    text = '[settings.kernel]\n\nlockdwn = "none"\n'
    assert check("nodes.toml", nodes__toml=text) == (
        1,
        [
            f"nodes.toml:3: [launch-settings] UserData nodes.toml: {MISTAKE}",
            "1 finding in 1 of 1 object (policy recommended)",
        ],
        [],
    )


def test_a_class_is_judged_within_its_user_data_and_a_pool_by_its_budgets(check: Any) -> None:
    assert check(".", all__yaml=f"{CLASS}---\n{POOL}") == (
        1,
        [
            f"all.yaml:15: [launch-settings] EC2NodeClass general: {MISTAKE}",
            f"all.yaml:23: [launch-settings] NodePool general: {LOOSE}",
            "2 findings in 2 of 2 objects (policy recommended)",
        ],
        [],
    )


def test_an_annotation_opts_a_class_out(check: Any) -> None:
    text = CLASS.replace(
        "name: general", 'name: general\n  annotations: {resilience.dev/ignore: "launch-settings"}'
    )
    assert check("a.yaml", a__yaml=text) == (
        0,
        [
            "a.yaml:2: ignored: EC2NodeClass general is opted out of launch-settings",
            "0 findings in 0 of 1 object (policy recommended)",
        ],
        [],
    )


def test_classes_and_pools_of_other_systems_are_left_alone(check: Any) -> None:
    text = CLASS.replace("Bottlerocket", "AL2023")
    assert check("a.yaml", a__yaml=f"{text}---\n{POOL}")[:2] == (
        0,
        ["0 findings in 0 of 0 Deployments (policy recommended)"],
    )


def test_other_toml_is_no_error_below_a_directory_and_bad_input_where_it_is_named(check: Any) -> None:
    files = {"pyproject__toml": "[project]\nname = 'x'\n", "broken__toml": "[project", "a__yaml": CLASS}
    code, out, err = check(".", **files)
    assert (code, out[-1], err) == (1, "1 finding in 1 of 1 object (policy recommended)", [])
    code, _, err = check("pyproject.toml")
    assert (code, err) == (
        2,
        [
            "pyproject.toml:1: holds no settings of Bottlerocket: no table [settings] with a name that it knows"
        ],
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[settings.kernel]\nlockdown = ${x}\n", "a placeholder of a template"),
        (b"[settings.kernel\n", "is no TOML"),
        (b"\xef\xbb\xbf[settings]\n", "byte order mark"),
    ],
)
def test_what_is_no_toml_is_a_finding_where_it_is_meant_to_be_user_data(
    check: Any, text: bytes, message: str
) -> None:
    code, out, _ = check("nodes.toml", nodes__toml=text)
    assert code == 1
    assert message in out[0]


@pytest.mark.parametrize(
    "text", ['[settings.kernel]\n\nlockdwn = "none"\n', '# x\n\nsettings.kernel.lockdwn = "none"\n']
)
def test_user_data_is_known_on_standard_input(check: Any, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert check("-")[:2] == (
        1,
        [
            f"<stdin>:3: [launch-settings] UserData <stdin>: {MISTAKE}",
            "1 finding in 1 of 1 object (policy recommended)",
        ],
    )


def test_json_and_sarif_know_the_rule_the_reason_and_the_line(check: Any) -> None:
    text = '[settings.kernel]\nlockdwn = "none"\nlockdon = "none"\n'
    code, out, _ = check("nodes.toml", "-o", "json", nodes__toml=text)
    body = json.loads("\n".join(out))
    assert code == 1
    assert [(one["rule"], one["reason"], one["file"], one["line"]) for one in body["findings"]] == [
        ("launch-settings", "UnknownSetting", "nodes.toml", 2),
        ("launch-settings", "UnknownSetting", "nodes.toml", 3),
    ]
    _, out, _ = check("nodes.toml", "-o", "sarif")
    results = json.loads("\n".join(out))["runs"][0]["results"]
    assert len({one["partialFingerprints"]["finding/v1"] for one in results}) == 2
    lines = [one["locations"][0]["physicalLocation"]["region"]["startLine"] for one in results]
    assert lines == [2, 3]


def test_what_only_karpenter_minds_is_a_note_in_a_file_of_unknown_readers(check: Any) -> None:
    text = "[settings.kubernetes]\nimage-gc-high-threshold-percent = 85\n"
    _, out, _ = check("nodes.toml", "-o", "sarif", nodes__toml=text)
    (result,) = json.loads("\n".join(out))["runs"][0]["results"]
    assert result["level"] == "note"
    assert result["message"]["text"].endswith("reported only: it matters where Karpenter reads this file")
