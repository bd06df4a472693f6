"""A target that is declared anew: its section is decoded, printed and judged, and policy/ is not touched for it."""

from typing import Annotated, Any

import pytest
from msgspec import Meta

from resilience_operator.core.findings import EMPTY, RuleText
from resilience_operator.core.target import Catalog, Rule, Target
from resilience_operator.policy import decode
from resilience_operator.policy.common import Conflicts, Mode, RuleSettings, SectionSettings, limits
from resilience_operator.policy.crd import spec_schema
from resilience_operator.policy.validate import validate
from resilience_operator.targets import TARGETS
from tests.support.policies import document


class Tides(RuleSettings, frozen=True):
    """How high the water may stand."""

    max_metres: Annotated[int, Meta(ge=1, le=9)] = 3
    """The highest water; 3 if left out."""

    def default_conflicts(self, kind: str) -> Conflicts:
        return Conflicts.TAKE_OVER if kind == "Dam" else Conflicts.REPORT


class Harbours(SectionSettings, frozen=True):
    """What is demanded of harbours; left out, they are not looked at.

    Nobody has any.
    """

    tides: Tides | None = None
    """Rule high-tide: the water stays out. An empty object means the defaults."""


HARBOURS = Target(
    section="harbours",
    settings=Harbours,
    rules=(
        Rule(
            lambda _settings, _view: EMPTY,
            RuleText("high-tide", "harbours", "flood", "The water stays out", "demands", "why"),
            "tides",
            takes_place_of="spread",
        ),
    ),
    watched=(),
    views=TARGETS[0].views,
    scope=TARGETS[0].scope,
)
CATALOG = Catalog((*TARGETS, HARBOURS))


def test_its_section_is_in_the_crd() -> None:
    properties = spec_schema(CATALOG)["properties"]
    before = spec_schema(Catalog(TARGETS))["properties"]
    assert {name: properties[name] for name in before} == before
    harbours = properties["harbours"]
    assert harbours["description"] == "What is demanded of harbours; left out, they are not looked at."
    assert harbours["properties"]["tides"] == {
        "description": "Rule high-tide: the water stays out. An empty object means the defaults.",
        "type": "object",
        "properties": {
            "mode": {
                "description": "Mode of this rule; left out: the section's.",
                "type": "string",
                "enum": ["Audit", "Enforce"],
            },
            "maxMetres": {
                "description": "The highest water; 3 if left out.",
                "type": "integer",
                "format": "int32",
                "minimum": 1,
                "maximum": 9,
            },
        },
    }
    common = ("mode", "conflicts", "windows", "rollout")
    assert {name: harbours["properties"][name] for name in common} == {
        name: before["deployments"]["properties"][name] for name in common
    }
    assert harbours["properties"].keys() == {*common, "tides"}


def test_it_is_decoded_and_inherits() -> None:
    spec = {"mode": "Enforce", "harbours": {"tides": {"maxMetres": 2}, "rollout": {"soakSeconds": 7}}}
    policy, problems = decode.parse(document("coast", spec), CATALOG)
    assert (dict(policy.rules), problems) == ({"high-tide": Tides(max_metres=2)}, ())
    assert policy.rule_mode("high-tide") is Mode.ENFORCE
    assert policy.limits_of(["high-tide"]) == limits(policy.sections["harbours"].rollout)
    assert policy.limits_of(["spread"]).soak_seconds == 7, "it writes what rule spread writes"
    assert [policy.conflicts_of("high-tide", kind) for kind in ("Dam", "Ship")] == ["TakeOver", "Report"]


@pytest.mark.parametrize(
    ("tides", "strict", "tolerant"),
    [
        (
            {"maxMetres": 10},
            "spec.harbours.tides.maxMetres: write a whole number from 1 to 9, not 10",
            "spec.harbours.tides.maxMetres: write a whole number from 1 to 9, not 10",
        ),
        (
            {"colour": "blue"},
            "spec.harbours.tides.colour: unknown field: remove it, or write one of mode, maxMetres",
            (
                "spec.harbours.tides.colour: this operator does not know this field: remove it,"
                " or update the operator"
            ),
        ),
    ],
)
def test_what_is_wrong_in_it_is_told(tides: dict[str, Any], strict: str, tolerant: str) -> None:
    raw = document("coast", {"harbours": {"tides": tides}})
    assert [str(one) for one in validate(raw, spec_schema(CATALOG))] == [strict]
    policy, problems = decode.parse(raw, CATALOG)
    assert ([str(one) for one in problems], policy.suspend) == ([tolerant], True)
