"""`kubectl resilience plan [POLICY] --patch`: what to commit where the operator may not write. Called by cli/plan.

Two forms: entries for `patches` of a kustomization.yaml, and plain manifests with nothing but what is to be another.
What no commit of ours ends stands in comments, so that nothing is silently missing. Policies count as they are: not,
as elsewhere in `plan`, as if they enforced.
"""

import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import yaml

from resilience_operator.cli.cluster import Cluster
from resilience_operator.cli.naming import named
from resilience_operator.cli.output import JSON_VERSION
from resilience_operator.cli.remedy import Left, Remedies, Remedy, remedies_of
from resilience_operator.cli.scope import EVERYTHING, Scope
from resilience_operator.core.refs import ObjectRef, key_of
from resilience_operator.engine.change import Judged
from resilience_operator.engine.resolve import PRINTED

KUSTOMIZE, MANIFEST = "kustomize", "manifest"
FORMS = (KUSTOMIZE, MANIFEST)
WIDTH = 110
DEFAULT = "default"
NEIGHBOUR = "namespace default has one of that name, too"
AS_BELOW = "; to end it, commit "
"""What follows it in a finding's sentence is the patch, as one line of JSON; here it stands below."""


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks: people are to read them."""


_DOUBTFUL = re.compile(r"[-+]?\.?[0-9][\w.+:-]*|[yYnN]|[-+]?\.\w+")
"""Texts that one reader of YAML or another takes for a number or a truth: kustomize reads 1e3 as 1000."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # Empty lines at the end of the last text would be lost: it is in a block itself.
    style = "|" if "\n" in value and not value.endswith("\n\n") else None
    if _DOUBTFUL.fullmatch(value):
        style = "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def of_cluster(cluster: Cluster, policy: str, asked: Scope = EVERYTHING) -> Remedies:
    """What is to be committed of what is asked about, of one policy where it is named. Raises ConfigurationError."""
    if policy:
        cluster.policy(policy)
    remedies: list[Remedy] = []
    left: list[Left] = []
    for decision in cluster.decisions():
        view = cluster.look(decision.key) if decision.judged or decision.skipped else None
        if view is not None and asked.takes(decision.key, view):
            found = remedies_of(view, cluster.verdicts(view), decision, policy)
            remedies += (replace(one, twin=_has_twin(cluster, one.object)) for one in found.remedies)
            left += found.left
    return Remedies(tuple(remedies), tuple(left))


def _has_twin(cluster: Cluster, ref: ObjectRef) -> bool:
    at_home = ref.namespace == DEFAULT
    return not at_home and cluster.look(key_of(replace(ref, namespace=DEFAULT))) is not None


def printed(found: Remedies, form: str, policy: str) -> str:
    """The patches in a form, as YAML with its last end of line: it may belong to a text."""
    lines = kustomize(found) if form == KUSTOMIZE else manifests(found)
    return "".join(f"{line}\n" for line in (*_comment(_head(policy, form)), *lines))


def hint(policy: str) -> str:
    """The last line of a list of findings of which some have a patch."""
    return f"{_command(policy)} --patch prints what to commit."


def _head(policy: str, form: str) -> str:
    who = f"policy {policy} asks" if policy else "the policies ask"
    flag = "--patch" if form == KUSTOMIZE else f"--patch={form}"
    return f"What {who} for and the operator does not write: {_command(policy)} {flag}"


def _command(policy: str) -> str:
    return f"kubectl resilience plan {policy}" if policy else "kubectl resilience plan"


def kustomize(found: Remedies) -> Iterator[str]:
    """`patches` of a kustomization.yaml. A patch makes no object: one that is to be made is named."""
    changed = [one for one in found.remedies if not one.new]
    yield "patches:" if changed else "patches: []"
    for one in changed:
        yield from _ended(one)
        if one.twin:
            yield from _comment(
                f"needs namespace: {one.object.namespace} in the file itself, for {NEIGHBOUR}"
            )
        yield "- target:"
        yield from _indented(_dumped(target(one.object, one.twin)), 4)
        yield "  patch: |"
        yield from _indented(_dumped(one.body), 4)
    for one in found.remedies:
        if one.new:
            yield from _ended(one)
            way = "kubectl resilience plan --patch=manifest prints it, for a file under resources"
            yield from _comment(f"{_name(one.object)} is to be made: {way}")
    yield from _left(found.left)


def manifests(found: Remedies) -> Iterator[str]:
    """A document for each object, with its identity and what is to be another; null is to go."""
    for one in found.remedies:
        yield "---"
        yield from _ended(one)
        yield from _dumped(one.body)
    yield from _left(found.left)


def as_json(found: Remedies) -> str:
    """One JSON object: version, patches (target, the patch, whether it is new, what it ends), and what is left."""
    body = {
        "version": JSON_VERSION,
        "patches": [
            {
                "target": target(one.object, one.twin),
                "patch": one.body,
                "new": one.new,
                "ends": [_finding(judged) for judged in one.ends],
            }
            for one in found.remedies
        ],
        "left": [
            {"object": one.object.as_status(), "policy": one.policy, "rule": one.rule}
            | {"state": one.state, "message": one.message}
            for one in found.left
        ],
    }
    return f"{json.dumps(body, indent=2)}\n"


def target(ref: ObjectRef, twin: bool = False) -> dict[str, Any]:
    """What kustomize is to patch, as regular expressions; without a version, for that of the file may be another.

    A file without a namespace counts as in `default` until the kustomization's own is set, which is after the patches:
    with the object's namespace alone the patch would be left out without a word (kustomize 5.8). Where it has a `twin`
    of its name in `default`, the patch is not to hit that one.
    """
    group = ref.api_version.rpartition("/")[0]
    exact = twin or ref.namespace == DEFAULT
    place = ref.namespace if exact else f"({DEFAULT}|{ref.namespace})"
    name = ref.name.replace(".", "\\.")
    return ({"group": group} if group else {}) | {"kind": ref.kind, "namespace": place, "name": name}


def _dumped(body: Any) -> list[str]:
    text = yaml.dump(body, Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=10_000)
    return text.splitlines()


def _indented(lines: Iterable[str], by: int) -> Iterator[str]:
    return (f"{' ' * by}{line}" if line else "" for line in lines)


def _ended(one: Remedy) -> Iterator[str]:
    for judged in one.ends:
        message = judged.message.partition(AS_BELOW)[0]
        yield from _comment(f"{judged.state} {judged.finding.rule} (policy {judged.policy}): {message}")


def _left(left: Iterable[Left]) -> Iterator[str]:
    for one in left:
        message = one.message.replace(PRINTED, "")
        yield from _comment(f"{one.state} {_name(one.object)} {one.rule} (policy {one.policy}): {message}")


def _name(ref: ObjectRef) -> str:
    return named(ref.kind, ref.namespace, ref.name)


def _comment(text: str) -> Iterator[str]:
    """Comment lines; whatever stands in a name or a value cannot end them."""
    clean = "".join(letter if letter.isprintable() else " " for letter in text)
    wrapped = textwrap.wrap(clean, WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return (f"# {line}" for line in wrapped)


def _finding(judged: Judged) -> dict[str, Any]:
    return {
        "policy": judged.policy,
        "rule": judged.finding.rule,
        "state": str(judged.state),
        "message": judged.message,
    }
