"""The event handlers of nodes, and their views over the cache. Made by the store for the target.

A status of an agent touches its own node alone, but where it ends, or begins, a turn: then every node may be next.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from resilience_operator.cluster.cache import Cache
from resilience_operator.cluster.dirty import DirtyKeys
from resilience_operator.cluster.objects.workloads import ConfigMap, Node
from resilience_operator.core.kinds import CONFIG_MAP, NODE, Kind
from resilience_operator.core.refs import Key
from resilience_operator.core.target import Handler
from resilience_operator.targets.nodes.fleet import Fleet
from resilience_operator.targets.nodes.kinds import NODE_STATE, NodeState
from resilience_operator.targets.nodes.kube_proxy import PLACES, Configuration, read
from resilience_operator.targets.nodes.states import belongs
from resilience_operator.targets.nodes.view import NodeView


class NodeViews:
    """Follows Nodes, their NodeStates and the ConfigMap of kube-proxy, and makes the views."""

    broad: frozenset[Kind] = frozenset({NODE, NODE_STATE})

    def __init__(self, cache: Mapping[Kind, Cache[Any]], dirty: DirtyKeys) -> None:
        self._nodes: Cache[Node] = cache[NODE]
        self._states: Cache[NodeState] = cache[NODE_STATE]
        self._dirty = dirty
        self._fleet: Fleet | None = None
        self._kube_proxy: Configuration | None = None
        self._turns = False
        self.handlers: dict[Kind, Handler] = {
            NODE: self._node_changed,
            NODE_STATE: self._state_changed,
            CONFIG_MAP: self._config_map_changed,
        }

    def subjects(self) -> Iterator[Key]:
        """The key of every node."""
        return (_key(node.metadata.name) for node in self._nodes)

    def subject(self, key: Key) -> Node | None:
        """The node with that key, or None."""
        if len(key) != 3 or key[2] != NODE.kind:
            return None
        return self._nodes.get("", key[1])

    def look(self, key: Key, now: datetime, server: tuple[int, int]) -> NodeView | None:
        """The view of the node with that key; None where there is none."""
        node = self.subject(key)
        if node is None:
            return None
        state = self._states.get("", key[1])
        mine = state if state is not None and belongs(state, node) else None
        return NodeView(node, now, mine, self._all(), self._kube_proxy)

    def widen(self, keys: set[Key], *, everything: bool) -> set[Key]:
        """These keys, and all nodes where a turn ended or began."""
        turns, self._turns = self._turns, False
        return keys.union(self.subjects()) if turns or everything else keys

    def _all(self) -> Fleet:
        if self._fleet is None:
            self._fleet = Fleet(tuple(self._nodes), {one.metadata.name: one for one in self._states})
        return self._fleet

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if old is not None and new is not None and _facts(old) == _facts(new):
            return
        self._fleet = None
        self._dirty.mark(_key(one.metadata.name) for one in (old, new) if one is not None)
        if old is None or new is None or old.ready != new.ready or old.metadata.labels != new.metadata.labels:
            self._turn()

    def _state_changed(self, old: NodeState | None, new: NodeState | None) -> None:
        self._fleet = None
        self._dirty.mark(_key(one.metadata.name) for one in (old, new) if one is not None)
        if old is None or new is None or _standing(old) != _standing(new):
            self._turn()

    def _config_map_changed(self, old: ConfigMap | None, new: ConfigMap | None) -> None:
        known = new or old
        if known is None:
            return
        where = (known.metadata.namespace, known.metadata.name)
        for namespace, name, key in PLACES:
            if where == (namespace, name):
                found = read(new, key)
                if found != self._kube_proxy:
                    self._kube_proxy = found
                    self._turn()

    def _turn(self) -> None:
        self._turns = True
        self._dirty.note()


def _key(name: str) -> Key:
    return ("", name, NODE.kind)


def _facts(node: Node) -> tuple[object, ...]:
    meta = node.metadata
    return (
        meta.uid,
        meta.deletion_timestamp,
        meta.labels,
        meta.annotations,
        [(one.type, one.status, one.reason) for one in node.status.conditions],
        node.status.capacity,
        node.status.node_info,
    )


def _standing(state: NodeState) -> tuple[object, ...]:
    """What of a NodeState decides about the turn of other nodes."""
    status = state.status
    sysctls = [(one.name, one.state) for one in status.sysctls]
    conditions = [(one.type, one.status, one.reason) for one in status.conditions]
    observed = (status.observed_generation, status.reported_at is None)
    return (state.metadata.generation, state.spec, state.metadata.labels, observed, sysctls, conditions)
