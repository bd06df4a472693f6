"""A merge says what a plain merge of the trees says, changes no byte that it need not, and can be taken back."""

import random
import tomllib
from collections import Counter
from typing import Any

import pytest

from resilience_operator.targets.bottlerocket.document import NotTOMLError, parse
from resilience_operator.targets.bottlerocket.emit import render
from resilience_operator.targets.bottlerocket.merge import MergeRefusedError, merge, same
from resilience_operator.targets.bottlerocket.problems import Judge
from resilience_operator.targets.bottlerocket.validate import validate
from tests.targets.bottlerocket import documents

DOCUMENTS = 10_000


def combined(tree: Any, patch: Any) -> Any:
    """The plain merge, written anew for the test."""
    if not (isinstance(tree, dict) and isinstance(patch, dict)):
        return patch
    return {
        key: combined(tree[key], patch[key]) if key in tree and key in patch else {**tree, **patch}[key]
        for key in {**tree, **patch}
    }


def leaves(tree: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if not isinstance(tree, dict):
        return {path: tree}
    return {key: one for name, value in tree.items() for key, one in leaves(value, (*path, name)).items()}


def test_the_bytes_of_others_stay() -> None:
    text = "# ours\r\n[settings.kernel.sysctl] # of the network\r\n  'net.core.somaxconn' =  \"1\"   # small\r\n# end"
    patch = {
        "settings": {"kernel": {"lockdown": "integrity", "sysctl": {"net.core.somaxconn": "9", "vm.x": "1"}}}
    }
    merged = merge(text, patch)
    assert merged.text == (
        "# ours\r\n[settings.kernel.sysctl] # of the network\r\n  'net.core.somaxconn' =  \"9\"   # small\r\n"
        '  "vm.x" = "1"\r\n# end\r\n\r\n[settings.kernel]\r\nlockdown = "integrity"\r\n'
    )
    assert merged.reverted() == text


def test_what_says_the_same_is_not_written() -> None:
    text = "settings.kernel.lockdown='none' #x\n"
    merged = merge(text, {"settings": {"kernel": {"lockdown": "none"}}})
    assert (merged.text, merged.changed) == (text, False)


@pytest.mark.parametrize(
    ("text", "patch", "why"),
    [
        ("a = ${x}", {"settings": {"motd": "x"}}, "placeholder"),
        ("a = ", {"settings": {"motd": "x"}}, "no TOML"),
        (
            "[settings]\nkernel = 1\n",
            {"settings": {"kernel": {"lockdown": "none"}}},
            "settings.kernel is no table",
        ),
        ("[settings.motd]\n", {"settings": {"motd": "x"}}, "settings.motd is a table"),
        ("[settings]\n", {"settings": {"motd": "'\""}}, "both kinds of quotes"),
        ("[settings]\n", {"settings": {"kernel": {"sysctl": {'a"b': "1"}}}}, "holds quotes"),
    ],
)
def test_it_refuses_rather_than_err(text: str, patch: dict[str, Any], why: str) -> None:
    with pytest.raises(MergeRefusedError, match=why):
        merge(text, patch)


def test_what_it_writes_eks_reads() -> None:
    settings = {
        "kernel": {"sysctl": {"net.core.x": "1"}},
        "kubernetes": {"node-labels": {"a.b/c": 'say "x"'}},
    }
    for text in (render({"settings": settings}), merge("", {"settings": settings}).text):
        assert tomllib.loads(text) == {"settings": settings}
        assert [one for one in validate(text) if Judge.EKS in one.judges] == []


def test_ten_thousand_documents() -> None:
    source = random.Random(20261128)  # noqa: S311 - the same ones each time
    counts: Counter[str] = Counter()
    while counts["documents"] < DOCUMENTS:
        text = documents.document(source)
        try:
            tree = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            counts["invalid"] += 1
            continue
        counts["documents"] += 1
        patch = documents.patch(source)
        try:
            merged = merge(text, patch)
        except MergeRefusedError:
            counts["refused"] += 1
            continue
        _is_right(text, tree, patch, merged.text)
        assert merged.reverted() == text
        assert merged.changed == (tomllib.loads(text) != combined(tree, patch))
        counts["changed"] += merged.changed
    print(dict(counts))
    assert counts["changed"] > 0.8 * DOCUMENTS
    assert counts["refused"] < 0.01 * DOCUMENTS


def _is_right(text: str, tree: Any, patch: Any, out: str) -> None:
    wanted = combined(tree, patch)
    assert same(tomllib.loads(out), wanted), (text, patch, out)
    before = leaves(tree)
    different = [key for key, value in leaves(patch).items() if not same(before.get(key), value)]
    replaced = {key: before[key] for key in different if key in before}
    # Without the values that were replaced, every character of the former text is still there, in its order, and
    # what came is no more than the new values with their keys and headers.
    kept = text
    for entry in reversed([one for one in parse(text).entries if one.path in replaced]):
        kept = kept[: entry.value] + kept[entry.end :]
    assert follows(kept, out), (text, patch, out)
    added = sum(2 * len(".".join(key)) + len(str(wanted_of(wanted, key))) + 16 for key in different)
    assert len(out) - len(kept) <= added, (text, patch, out)


def follows(kept: str, out: str) -> bool:
    rest = iter(out)
    return all(char in rest for char in kept)


def wanted_of(tree: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        tree = tree[part]
    return tree


def test_places_are_where_the_parser_reads() -> None:
    """Cutting an entry's value out of the text and parsing it alone gives what the whole document says there."""
    source = random.Random(7)  # noqa: S311 - the same ones each time
    seen = 0
    while seen < 2000:
        try:
            document = parse(documents.document(source))
        except NotTOMLError:
            continue
        for entry in document.entries:
            value: Any = document.tree
            for part in entry.path:
                value = value[part]
            assert tomllib.loads(f"x = {document.text[entry.value : entry.end]}")["x"] == value
            seen += 1
