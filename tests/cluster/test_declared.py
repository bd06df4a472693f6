"""What follows from a declared leaf: who owns it, who chose it, its value, and the part of the object that is kept."""

from resilience_operator.cluster import declared
from resilience_operator.core.paths import Path
from resilience_operator.core.target import Leaf

LEAVES = (Leaf("webhooks[name].failurePolicy", default="Fail"), Leaf("webhooks[name].namespaceSelector"))
KEY = 'k:{"name":"a.example.dev"}'


def test_managed_fields_give_the_leaves_that_each_manager_owns() -> None:
    """Entries of the list, not the list itself; a subresource that owns none of them is left out."""
    entries = (
        declared.OwnedFields(
            "helm", "Update", "", "t1", {"f:webhooks": {".": {}, KEY: {"f:failurePolicy": {}}}}
        ),
        declared.OwnedFields("status", "Update", "status", "t2", {"f:status": {}}),
        declared.OwnedFields(
            "resilience-operator",
            "Update",
            "",
            "t3",
            {"f:metadata": {"f:annotations": {"f:resilience.dev/state": {}}}},
        ),
    )
    found = declared.claims(entries, LEAVES)
    assert [(one.manager, sorted(one.leaves), one.state) for one in found] == [
        ("helm", ["webhooks[name=a.example.dev].failurePolicy"], False),
        ("resilience-operator", [], True),
    ]


def test_a_manifest_chooses_what_it_says() -> None:
    """The leaf itself, and its value; of a manifest that cannot be read everything that is owned is chosen."""
    text = '{"webhooks": [{"name": "a.example.dev", "failurePolicy": "Fail"}, {"name": "b"}, 7]}'
    owners = declared.claims(
        (declared.OwnedFields("x", "Update", "", "", {"f:webhooks": {KEY: {"f:failurePolicy": {}}}}),), LEAVES
    )
    annotation = "kubectl.kubernetes.io/last-applied-configuration"
    assert declared.chosen({annotation: text}, owners, LEAVES) == {
        "webhooks[name=a.example.dev].failurePolicy",
        "webhooks[name=a.example.dev].failurePolicy=Fail",
    }
    assert declared.chosen({annotation: "{"}, owners, LEAVES) == {
        "webhooks[name=a.example.dev].failurePolicy"
    }
    assert declared.chosen({}, owners, LEAVES) == frozenset()


def test_what_is_kept_of_an_object_has_its_leaves_at_their_places() -> None:
    """Every entry keeps its index, also one without a leaf: a JSON patch goes by it."""
    found = {
        "webhooks": [{"name": "a", "rules": [1]}, {"name": "b", "failurePolicy": "Fail", "clientConfig": {}}]
    }
    kept = declared.tree(found, LEAVES)
    assert kept == {"webhooks": [{"name": "a"}, {"name": "b", "failurePolicy": "Fail"}]}
    assert Path.parse("webhooks[name=b].failurePolicy").read(kept) == "Fail"


def test_hostile_managed_fields_give_nothing() -> None:
    """Keys that are no JSON, no objects, or name other keys."""
    fields = {
        "f:webhooks": {"k:{": {}, "k:[1]": {}, 'k:{"uid":"a"}': {"f:failurePolicy": {}}, "v:1": 3, KEY: 5}
    }
    (found,) = declared.claims((declared.OwnedFields("x", "Update", "", "", fields),), LEAVES)
    assert found.leaves == frozenset()
