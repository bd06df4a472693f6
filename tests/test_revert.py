"""`revert`: which opt-outs it writes."""

from typing import Any

import pytest

from resilience_operator.cli.revert import opt_out_ops

IGNORE = "resilience.dev/ignore"
LABEL, ANNOTATION = "/metadata/labels/resilience.dev~1ignore", "/metadata/annotations/resilience.dev~1ignore"


@pytest.mark.parametrize(
    ("labels", "annotations", "rules", "ops"),
    [
        ({}, {}, ["spread"], [("/metadata/labels", {IGNORE: "spread"})]),
        ({"app": "web"}, {}, ["spread"], [(LABEL, "spread")]),
        ({IGNORE: "spread"}, {}, ["spread"], []),
        ({IGNORE: "all"}, {}, ["spread", "dns-config"], []),
        ({IGNORE: "spread"}, {"a": "b"}, ["dns-config"], [(ANNOTATION, "dns-config")]),
        (
            {IGNORE: "spread"},
            {},
            ["dns-config", "spread"],
            [("/metadata/annotations", {IGNORE: "dns-config"})],
        ),
        (
            {},
            {IGNORE: "spread"},
            ["dns-config", "graceful-shutdown"],
            [(ANNOTATION, "spread,dns-config,graceful-shutdown")],
        ),
    ],
)
def test_an_opt_out_is_added_and_none_is_lost(
    labels: dict[str, str], annotations: dict[str, str], rules: list[str], ops: list[tuple[str, Any]]
) -> None:
    raw = {"metadata": {"labels": labels, "annotations": annotations}}
    assert [(op["path"], op["value"]) for op in opt_out_ops(raw, rules)] == ops
