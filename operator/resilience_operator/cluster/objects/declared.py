"""Observed objects whose writable leaves a target declares as patterns: base of their structs. Read by cluster/leaves.

Part of cluster/objects/workloads, which names everything that others import.
"""

from typing import Any, ClassVar

from resilience_operator.cluster.objects.meta import Claim, Meta, Observed
from resilience_operator.core.paths import ABSENT, Path
from resilience_operator.core.refs import ObjectRef
from resilience_operator.core.target import Leaf


class Declared(Observed, frozen=True):
    """Base of observed objects with declared leaves; `tree` is of the object what lies on the way to any of them."""

    api_version: ClassVar[str] = ""
    leaves: ClassVar[tuple[Leaf, ...]] = ()
    """What we may write of it."""
    metadata: Meta
    kind: str = ""
    tree: dict[str, Any] = {}
    claims: tuple[Claim, ...] = ()
    chosen: frozenset[str] = frozenset()

    @property
    def ref(self) -> ObjectRef:
        """It as a reference."""
        meta = self.metadata
        return ObjectRef(self.api_version, self.kind, meta.namespace, meta.name, meta.uid)

    def leaf(self, path: Path) -> Leaf | None:
        """The declared leaf that the path is one of, or None."""
        return next((one for one in self.leaves if one.matches(path)), None)

    def depth(self, path: Path) -> int:
        """How many leading steps of the path lead to something."""
        return next(
            (n for n in range(len(path.steps), 0, -1) if Path(path.steps[:n]).read(self.tree) is not ABSENT),
            0,
        )

    def placed(self, path: Path) -> bool:
        """True where the leaf could be written: the entry that it belongs to is still there."""
        keyed = [n for n, step in enumerate(path.steps, start=1) if step.keys]
        return not keyed or self.depth(path) >= keyed[-1]
