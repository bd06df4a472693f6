"""A guard under kustomize: with another prefix it guards the user of that name; into one namespace it does not go."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab import Lab
from tests.lab.errors import LabError
from tests.support import ROOT

pytestmark = pytest.mark.lab

ENFORCE = ROOT / "manifests" / "enforce"


def over(folder: Path, **options: str) -> str:
    """A kustomization over ours, as its folder."""
    body = {"resources": [os.path.relpath(ENFORCE, folder.resolve())], **options}
    (folder / "kustomization.yaml").write_text(json.dumps(body))
    return str(folder)


@pytest.mark.parametrize("options", [{}, {"namePrefix": "acme-"}, {"nameSuffix": "-eu"}])
def test_every_policy_guards_the_user_as_it_is_named(
    lab: Lab, tmp_path: Path, options: dict[str, str]
) -> None:
    objects: list[Any] = list(yaml.safe_load_all(lab.kubectl("kustomize", over(tmp_path, **options))))
    account = next(one["metadata"] for one in objects if one["kind"] == "ServiceAccount")
    user = f"system:serviceaccount:{account['namespace']}:{account['name']}"
    policies = [one for one in objects if one["kind"] == "ValidatingAdmissionPolicy"]
    bound = {
        one["spec"]["policyName"] for one in objects if one["kind"] == "ValidatingAdmissionPolicyBinding"
    }
    assert bound == {one["metadata"]["name"] for one in policies}
    for policy in policies:
        (condition,) = policy["spec"]["matchConditions"]
        found = re.fullmatch(
            r"request\.userInfo\.username\.matches\('(.*)'\)", condition["expression"].strip()
        )
        assert found is not None
        assert re.search(found[1], user)
        assert not re.search(found[1], "system:serviceaccount:shop:web")
        assert not re.search(found[1], "system:serviceaccount:kube-system:deployment-controller")


def test_into_one_namespace_kustomize_refuses_it(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(LabError):
        lab.kubectl("kustomize", over(tmp_path, namespace="acme"))
