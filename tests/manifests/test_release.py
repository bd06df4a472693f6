"""What `make release` makes: every file says what the tree says, and its checksum holds."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from resilience_operator import __version__
from tests import release
from tests.lab import Lab
from tests.manifests.test_chart import HOME, run, template
from tests.manifests.test_manifests import render
from tests.manifests.test_manifests_argocd import by_name


def test_one_file_has_all_that_two_kustomizations_have(lab: Lab, tmp_path: Path) -> None:
    release.manifests(tmp_path, lambda folder: lab.kubectl("kustomize", str(folder)))
    for name, (overlay, _) in release.OVERLAYS.items():
        objects = list(yaml.safe_load_all((tmp_path / name).read_text()))
        assert by_name(objects) == by_name(render(lab, "setup") + render(lab, overlay))
        order = [each["kind"] for each in objects]
        assert order.index("Namespace") < order.index("ServiceAccount")
        assert order.index("CustomResourceDefinition") < order.index("Deployment")


def test_the_packed_chart_renders_as_the_one_in_the_tree_and_is_the_same_every_time(
    helm: Path, tmp_path: Path
) -> None:
    packed = tmp_path / f"resilience-operator-chart-{__version__}.tgz"
    release.chart(tmp_path)
    first = packed.read_bytes()
    release.chart(tmp_path)
    assert packed.read_bytes() == first
    text = run(
        helm, "template", "resilience-operator", str(packed), f"--namespace={HOME}", "--set=enforce=true"
    )
    objects = [each for each in yaml.safe_load_all(text) if each]
    assert by_name(objects) == by_name(template(helm, "--set=enforce=true"))


def test_the_wheel_has_the_schema_the_recommended_policy_and_its_types(tmp_path: Path) -> None:
    release.wheel(tmp_path)
    (wheel,) = tmp_path.iterdir()
    assert wheel.name == f"resilience_operator-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith("/METADATA"))
        text = archive.read(metadata).decode()
    assert {"resilience_operator/py.typed", "resilience_operator/run/host.py"} <= names
    assert [name for name in names if name.startswith("resilience_operator/data/")] != []
    assert not any(name.startswith("tests/") for name in names)
    assert "Provides-Extra: cluster" in text
    assert "Provides-Extra: operator" in text


def test_the_bill_of_materials_names_what_an_environment_has_and_what_needs_what(tmp_path: Path) -> None:
    release.sbom(tmp_path, Path(sys.executable))
    bill = json.loads((tmp_path / "sbom.cdx.json").read_text())
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "resilience-operator")
    found = {each["name"]: each for each in bill["components"]}
    assert {"aiohttp", "kopf", "kubernetes", "msgspec"} <= found.keys()
    assert found["msgspec"]["purl"].startswith("pkg:pypi/msgspec@")
    needs = {each["ref"]: each.get("dependsOn", []) for each in bill["dependencies"]}
    assert any(ref.startswith("multidict") for ref in needs[found["aiohttp"]["bom-ref"]])


def test_a_changed_file_does_not_pass_its_checksum(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    release.checksums(tmp_path)
    check = ["sha256sum", "--check", "--strict", "--quiet", release.CHECKSUMS]
    assert subprocess.run(check, check=False, cwd=tmp_path).returncode == 0
    (tmp_path / "a").write_text("c")
    assert subprocess.run(check, check=False, cwd=tmp_path, capture_output=True).returncode == 1


def test_what_was_published_before_is_not_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.whl").touch()
    assert release.main([str(tmp_path)]) == 2
    assert "is not empty: remove it first" in capsys.readouterr().err
