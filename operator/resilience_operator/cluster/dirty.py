"""Which objects have to be decided about again. Filled by the event handlers of the targets, taken by the store."""

from collections.abc import Callable, Iterable

from resilience_operator.core.refs import Key


class DirtyKeys:
    """The keys that an event touched. `on_dirty` is called when there is something for the first time."""

    def __init__(self, on_dirty: Callable[[], None]) -> None:
        self.on_dirty = on_dirty
        self.everything = False
        self._keys: set[Key] = set()
        self._noted = False

    @property
    def clean(self) -> bool:
        """True where there is nothing to be looked at."""
        return not (self._keys or self.everything or self._noted)

    def mark(self, keys: Iterable[Key | None]) -> None:
        """These are to be looked at again."""
        clean = self.clean
        self._keys.update(key for key in keys if key is not None)
        self._wake(clean)

    def mark_all(self) -> None:
        """All are."""
        clean, self.everything = self.clean, True
        self._wake(clean)

    def note(self) -> None:
        """A target noted something that it turns into keys when they are taken."""
        clean, self._noted = self.clean, True
        self._wake(clean)

    def take(self) -> tuple[set[Key], bool]:
        """(the keys, whether everything is dirty); from now on nothing is."""
        taken, everything = self._keys, self.everything
        self._keys, self.everything, self._noted = set(), False, False
        return taken, everything

    def _wake(self, clean: bool) -> None:
        if clean and not self.clean:
            self.on_dirty()
