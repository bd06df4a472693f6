"""The validator says of user data what the real model and the real merge say (verdicts.toml)."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from resilience_operator.targets.bottlerocket.problems import Judge, Surroundings
from resilience_operator.targets.bottlerocket.validate import validate

CASES = tomllib.loads((Path(__file__).parent / "verdicts.toml").read_text(encoding="utf-8"))["case"]
MODEL = Surroundings(release=(1, 16, 1))
"""The release whose model gave the verdicts."""


def test_there_are_as_many_verdicts_as_were_taken() -> None:
    assert len(CASES) == 56


@pytest.mark.parametrize("around", [MODEL, Surroundings()], ids=["of-that-release", "of-any-release"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_the_model_refuses_is_found_and_what_it_takes_is_no_false_alarm(
    case: dict[str, Any], around: Surroundings
) -> None:
    judges = {judge for one in validate(case["text"], around) for judge in one.judges}
    assert (Judge.BOTTLEROCKET not in judges) == case["bottlerocket"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_karpenter_fails_on_or_drops_is_named(case: dict[str, Any]) -> None:
    found = [one for one in validate(case["text"], MODEL) if Judge.KARPENTER in one.judges]
    assert bool(found) == (case["karpenter"] != "takes")
    assert all("Karpenter" in one.message for one in found if one.judges == {Judge.KARPENTER})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_every_problem_has_its_line_and_a_sentence_that_fits(case: dict[str, Any]) -> None:
    for one in validate(case["text"]):
        assert 1 <= one.line <= case["text"].count("\n") + 1
        assert len(one.message) <= 300
