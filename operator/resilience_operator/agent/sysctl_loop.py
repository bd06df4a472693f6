"""One pass over the wanted sysctls: read, decide, write, read back. Called by the agent every five seconds.

Decisions are those of `sysctls`; this is their hands. What is remembered of a key lives here while the process does,
and in the NodeState's status beyond it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from resilience_operator.agent import sysctls
from resilience_operator.agent.sysctl_files import SysctlFiles
from resilience_operator.agent.sysctls import Known, Seen, State, Step, Wanted
from resilience_operator.core.sysctls import ALLOWED, BUCKETS

EVERY = 5.0
"""Seconds between two passes, give or take a fifth."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a pass says of one key."""

    name: str
    observed: int | None
    step: Step


@dataclass
class SysctlLoop:
    """The keys that are wanted, or were, with what is remembered of them."""

    files: SysctlFiles
    known: dict[str, Known] = field(default_factory=dict)

    def enforce(self, wanted: Mapping[str, Wanted], entries: int, now: float, *, revert: bool) -> list[Told]:
        """One pass. `revert`: keys that are no longer wanted become what they were before us, else they stay."""
        told = [self._one(one, entries, now) for one in sysctls.in_order(wanted)]
        for name in [name for name in self.known if name not in wanted]:
            if not revert:
                del self.known[name]
            elif (left := self.restore(name, entries, now)) is not None:
                told.append(left)
        return told

    def restore(self, name: str, entries: int, now: float) -> Told | None:
        """Make one key what it was before us; what is still to be done for it, or None once nothing is."""
        seen = Seen(self.files.read(name), entries, now)
        done = sysctls.release(name, seen, self.known.get(name, Known()))
        if done.write is not None:
            after = self._write(name, done.write, done.known)
            if after.failed:
                self.known[name] = after
                return Told(name, seen.value, Step(after, State.FAILED, after.failure, after.failed))
            done = Step(Known(), State.RESTORED)
        if done.state is State.WAITING:
            return Told(name, seen.value, done)
        self.known.pop(name, None)
        return None

    def _one(self, wanted: Wanted, entries: int, now: float) -> Told:
        value = self.files.read(wanted.name) if wanted.name in ALLOWED else None
        done = sysctls.step(wanted, Seen(value, entries, now), self.known.get(wanted.name, Known()))
        after = done.known
        if done.write is not None:
            after = self._write(wanted.name, done.write, after)
            value = self.files.read(wanted.name)
            state = State.FAILED if after.failed else State.HELD
            done = Step(after, state, after.failure, after.failed)
        if wanted.name in ALLOWED:
            self.known[wanted.name] = after
        return Told(wanted.name, value, done)

    def _write(self, name: str, value: int, known: Known) -> Known:
        try:
            self.files.write(name, value)
        except OSError as error:
            return sysctls.failed(known, name, error)
        back = self.files.read(name)
        rounded = name == BUCKETS and back is not None and back >= value
        if back == value or rounded:
            return sysctls.written(known, value if back is None else back)
        return sysctls.failed(known, name, OSError(f"{value} was written, and {back} is read back"))
