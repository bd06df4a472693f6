"""Which of several objects of one name is meant beside another one: files hold variants and applications together.

Used by cli/files/inventory. Of variants the nearest counts: the same file, then the same directory, then what is
closest in the tree. Objects without a namespace of their own, in kustomize directories that know nothing of each
other, belong to different applications: only a kustomization says where they will live.
"""

import os
from collections.abc import Iterable, Mapping
from functools import cache

from resilience_operator.cli.files.manifests import Manifest


class Nearness:
    """Knows the kustomizations of the input: directory -> the paths that each takes in."""

    def __init__(self, kustomizations: Mapping[str, tuple[str, ...]]) -> None:
        self._taken_in = kustomizations
        self._root = cache(self._find_root)
        self._reach = cache(self._find_reach)

    def scope(self, manifest: Manifest) -> str:
        """The kustomize directory that says in which namespace the object will live; "" where it says so itself."""
        if manifest.placed or not self._taken_in:
            return ""
        return self._root(os.path.dirname(manifest.file)) or ""

    def related(self, one: str, other: str) -> bool:
        """True where objects of two scopes may live together: one directory takes in the other, or nobody knows."""
        if not one or not other or one == other:
            return True
        return other in self._reach(one) or one in self._reach(other)

    def nearest(self, at: Manifest, candidates: Iterable[Manifest]) -> Manifest | None:
        """Of objects of one name the one that is meant beside `at`; the last of equally near ones, None without any."""
        scope = self.scope(at)
        known = [one for one in candidates if self.related(scope, self.scope(one))]
        if len(known) < 2:
            return known[0] if known else None
        return max(enumerate(known), key=lambda pair: (_shared(at.file, pair[1].file), pair[0]))[1]

    def _find_root(self, directory: str) -> str | None:
        while directory not in self._taken_in:
            above = os.path.dirname(directory)
            if above == directory:
                return None
            directory = above
        return directory

    def _find_reach(self, directory: str) -> frozenset[str]:
        """The kustomize directories that this one takes in, and those that they take in."""
        found: set[str] = set()
        left = [directory]
        while left:
            for path in self._taken_in.get(left.pop(), ()):
                if path in self._taken_in and path not in found:
                    found.add(path)
                    left.append(path)
        return frozenset(found)


def _shared(one: str, other: str) -> int:
    """How much of the way to two files is the same; more than any directory where the file is the same."""
    if one == other:
        return len(one) + 1
    parts = zip(os.path.dirname(one).split(os.sep), os.path.dirname(other).split(os.sep), strict=False)
    shared = 0
    for mine, theirs in parts:
        if mine != theirs:
            break
        shared += 1
    return shared
