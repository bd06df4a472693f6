"""Paths: written and read back, read from objects, and nested into the body of an apply."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience_operator.core.paths import ABSENT, Path, Step, entry_index, nest, subpaths

HOOK = "spec.template.spec.containers[name=web].lifecycle.preStop"
KEYS = "topologyKey=topology.kubernetes.io/zone,whenUnsatisfiable=DoNotSchedule"
ZONE = f"spec.template.spec.topologySpreadConstraints[{KEYS}]"
names = st.text(st.characters(codec="utf-8", exclude_characters=".[],="), min_size=1)
values = st.text(st.characters(codec="utf-8", exclude_characters="[],"))
keys = st.lists(st.tuples(names, values), min_size=1, max_size=2).map(tuple)
steps = st.builds(Step, names, st.one_of(st.just(()), keys))


@given(st.lists(steps, min_size=1, max_size=5).map(tuple))
def test_every_path_is_read_back_from_what_is_written(made: Any) -> None:
    assert Path.parse(str(Path(made))) == Path(made)


def test_a_path_is_its_steps() -> None:
    zone = (("topologyKey", "topology.kubernetes.io/zone"), ("whenUnsatisfiable", "DoNotSchedule"))
    assert Path.parse(ZONE).steps == (
        Step("spec"),
        Step("template"),
        Step("spec"),
        Step("topologySpreadConstraints", zone),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a path to a field: ''"),
        ("spec.", "not a path to a field: 'spec.'"),
        (".spec", "not a path to a field: '.spec' (at character 0)"),
        ("a..b", "not a path to a field: 'a..b' (at character 2)"),
        ("a]b", "not a path to a field: 'a]b' (at character 0)"),
        ("a[b=c", "not a path to a field: 'a[b=c' (at character 0)"),
        ("a[name]", "list keys are written [key=value,...], not [name]"),
    ],
)
def test_what_is_no_path_is_refused_with_a_sentence(text: str, says: str) -> None:
    with pytest.raises(ValueError) as refusal:
        Path.parse(text)
    assert str(refusal.value) == says


BODY = {
    "spec": {
        "template": {"spec": {"containers": [{"name": "db"}, {"name": "web", "lifecycle": {"preStop": 1}}]}}
    }
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (HOOK, 1),
        ("spec.template.spec.containers[name=db].lifecycle.preStop", ABSENT),
        ("spec.template.spec.containers[name=no].lifecycle.preStop", ABSENT),
        ("spec.template.spec.dnsConfig.options", ABSENT),
        ("spec.template.spec.containers.name", ABSENT),
    ],
)
def test_a_path_reads_what_is_there(text: str, value: Any) -> None:
    assert Path.parse(text).read(BODY) == value


def test_null_and_empty_are_not_absent() -> None:
    bodies: list[Any] = [{"b": None}, {"b": {}}, {}, None]
    assert [Path.parse("a.b").read({"a": body}) for body in bodies] == [None, {}, ABSENT, ABSENT]


def test_leaves_are_nested_into_the_smallest_object_with_the_keys_of_lists() -> None:
    entry = {"topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 1}
    leaves = {Path.parse(HOOK): {"sleep": {"seconds": 15}}, Path.parse(ZONE): entry}
    leaves[Path.parse("spec.template.spec.containers[name=db].lifecycle.preStop")] = {"sleep": {"seconds": 1}}
    assert nest(leaves) == {
        "spec": {
            "template": {
                "spec": {
                    "containers": [
                        {"name": "db", "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}},
                        {"name": "web", "lifecycle": {"preStop": {"sleep": {"seconds": 15}}}},
                    ],
                    "topologySpreadConstraints": [entry],
                }
            }
        }
    }


@given(st.dictionaries(st.lists(names.map(Step), min_size=1, max_size=1).map(tuple).map(Path), st.integers()))
def test_what_is_nested_is_read_back(leaves: Any) -> None:
    body = nest(leaves)
    assert {path: path.read(body) for path in leaves} == leaves


def test_the_first_entry_with_all_keys_is_meant() -> None:
    entries = [{"a": 1}, {"a": 1, "b": "x"}, "no object"]
    assert entry_index(entries, (("a", "1"), ("b", "x"))) == 1
    assert entry_index(entries, (("a", "2"),)) is None
    assert entry_index({"a": 1}, (("a", "1"),)) is None


def test_only_what_lies_in_the_pod_template_replaces_pods() -> None:
    assert [Path.parse(text).in_template for text in (HOOK, "spec.template", "spec.replicas", "spec")] == [
        True,
        True,
        False,
        False,
    ]


def test_the_ancestors_of_a_path_come_from_the_root_on() -> None:
    assert [str(one) for one in subpaths(Path.parse("a.b[k=v].c"))] == ["a", "a.b[k=v]", "a.b[k=v].c"]
