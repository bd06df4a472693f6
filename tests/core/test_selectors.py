"""Label selectors as people type them."""

import pytest

from resilience_operator.core.selectors import parse_selector


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("", {}, True),
        ("team=a", {"team": "a"}, True),
        ("team==a", {"team": "b"}, False),
        ("team!=a", {}, True),
        ("team!=a", {"team": "a"}, False),
        ("team in (a, b),example.com/tier", {"team": "b", "example.com/tier": ""}, True),
        ("team in (a,b),example.com/tier", {"team": "b"}, False),
        ("team notin (a)", {"team": "b"}, True),
        ("!team", {"team": "a"}, False),
        (" ! team , x = y ", {"x": "y"}, True),
        ("team=", {"team": ""}, True),
    ],
)
def test_a_selector_means_what_it_means_to_kubectl(text: str, labels: dict[str, str], matches: bool) -> None:
    assert parse_selector(text).matches(labels) is matches


@pytest.mark.parametrize(
    "text", ["team in (a", "a=b,", ",a", "=b", "a b", "a in ()x", "a==b=c", "a/b/c=d", "-a"]
)
def test_what_is_no_selector_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="is no label selector: write it as for kubectl -l"):
        parse_selector(text)
