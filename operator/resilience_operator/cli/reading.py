"""A cluster's objects read into a store: all that rules look at, or what a user of one namespace may see of it.

Used by cli/cluster and `check --cluster`. A kind that may not be read is named, and no rule takes it for empty.
"""

import sys
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from resilience_operator.api.session import Session
from resilience_operator.cli.naming import close
from resilience_operator.cli.scope import Scope
from resilience_operator.cluster.store import Store
from resilience_operator.cluster.unreadable_keys import Unreadable
from resilience_operator.core.errors import ApiError, ConfigurationError, UnreadableObjectError
from resilience_operator.core.kinds import DAEMON_SET, NAMESPACE, NODE, Kind
from resilience_operator.core.refs import Key
from resilience_operator.targets import KINDS, decode_list, new_store, project
from resilience_operator.targets.workloads.view import DeploymentView, View

PAGE = 500
NOT_FOUND = 404
FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read, and the kinds that this user may not read."""

    store: Store
    unread: frozenset[Kind] = frozenset()

    def look(self, key: Key, now: datetime, server: tuple[int, int]) -> View | None:
        """The view of the object with that key; None where there is none, or it cannot be read, which was said."""
        view: View | None = None
        with suppress(UnreadableObjectError):
            view = self.store.look(key, now, server)
        if self.unread and isinstance(view, DeploymentView):
            known = {"nodes": NODE, "namespaces": NAMESPACE, "daemon_sets": DAEMON_SET}
            lost = {name: False for name, kind in known.items() if kind in self.unread}
            return replace(view, known=replace(view.known, **lost))
        return view


async def read_store(session: Session, scope: Scope | None = None, *, whole: bool = True) -> Seen:
    """Read every kind that rules look at; needs no policy in the cluster, nor their kind.

    `scope`: None where the command has no -n; with `whole` all namespaces are read for it, where they may be. Raises
    RequestFailed, ConfigurationError.
    """
    reader = _Reader(session, scope, whole=whole)
    for kind in KINDS:
        await reader.read(kind)
    reader.tell()
    return Seen(reader.store, frozenset(reader.unread))


@dataclass(slots=True)
class _Reader:
    session: Session
    scope: Scope | None
    whole: bool = field(kw_only=True)
    store: Store = field(default_factory=new_store)
    unread: list[Kind] = field(default_factory=list)
    narrowed: bool = False

    @property
    def namespace(self) -> str:
        return self.scope.namespace if self.scope is not None else ""

    async def read(self, kind: Kind) -> None:
        own = self.namespace if kind.namespaced and not kind.only_in else ""
        try:
            await self._list(kind, kind.only_in or ("" if self.whole else own))
        except ApiError as error:
            if kind.optional and error.status == NOT_FOUND:
                return
            if error.status != FORBIDDEN:
                raise
            if not kind.beside_the_point:
                await self._refused(kind, own, error)

    async def _refused(self, kind: Kind, own: str, error: ApiError) -> None:
        """What to do without the right to read all of a kind."""
        if not self.namespace:
            more = "; with rights in one namespace alone, say -n NAMESPACE" if self.scope is not None else ""
            raise ConfigurationError(f"{error}{more}") from error
        if own and self.whole:
            self.narrowed = True
            await self._list(kind, own)
        elif kind == NAMESPACE:
            await self._own_namespace()
        elif own and not kind.optional:
            raise error
        else:
            self.unread.append(kind)

    async def _own_namespace(self) -> None:
        try:
            raw = await self.session.request("GET", NAMESPACE.path("", self.namespace))
        except ApiError as error:
            if error.status != FORBIDDEN:
                raise
            self.unread.append(NAMESPACE)
        else:
            self.store.put(NAMESPACE, project(NAMESPACE, raw))

    async def _list(self, kind: Kind, namespace: str) -> None:
        await read_kind(self.session, kind, self.store, namespace)

    def tell(self) -> None:
        """Say on stderr what is not known. Raises ConfigurationError where there is no such namespace."""
        if self.narrowed:
            print(
                f"Only namespace {self.namespace} may be read: what rolls out elsewhere is not known.",
                file=sys.stderr,
            )
        if self.unread:
            kinds = ", ".join(sorted(map(str, self.unread)))
            print(f"May not be read, so that nothing is said that depends on it: {kinds}.", file=sys.stderr)
        if not self.namespace or NAMESPACE in self.unread or self.store.get(NAMESPACE, "", self.namespace):
            return
        known = [one.metadata.name for one in self.store.objects(NAMESPACE)]
        raise ConfigurationError(f"there is no namespace {self.namespace!r}{close(self.namespace, known)}")


async def read_kind(session: Session, kind: Kind, store: Store, namespace: str = "") -> None:
    """Read one kind anew, of one namespace or of all. Raises RequestFailed."""
    objects: list[Any] = []
    proceed, version = "", ""
    while True:
        params = {"limit": str(PAGE)} | ({"continue": proceed} if proceed else {})
        raw = await session.request("GET", kind.path(namespace), params=params, timeout=60.0)
        page, version, proceed = decode_list(kind, raw)
        objects += page
        for one in page:
            if isinstance(one, Unreadable):
                where = "/".join(filter(None, (one.metadata.namespace, one.metadata.name)))
                print(f"{kind} {where} cannot be read, and is left out: {one.why}", file=sys.stderr)
        if not proceed:
            break
    store.replace(kind, objects, version)
