"""Reads a decoded object field by field, noting what it cannot honour instead of raising. Used by parsing.

Separate from parsing because it knows nothing of policies: a `Reader` is one object with its path. A field
that nobody asked for by the time `done` is called is one that this operator does not know.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from enum import StrEnum
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo

from resilience_operator.core.paths import JSON

_PERCENTAGE = re.compile(r"(100|[1-9]?[0-9])%")


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something in a policy that cannot be honoured: where, and what to write instead.

    `path` is written as in `spec.windows.allow[0].timeZone`.
    """

    path: str
    message: str

    def __str__(self) -> str:
        """`path: message`, the form of conditions and of the command line."""
        return f"{self.path}: {self.message}"


_Choice = TypeVar("_Choice", bound=StrEnum)


@dataclass(slots=True)
class Reader:
    """One object of a policy, at `path`. A field that is absent, null or unreadable is read as None."""

    source: Mapping[str, Any]
    path: str
    problems: list[Problem]
    asked: set[str] = field(default_factory=set)

    def text(self, name: str) -> str | None:
        """A string."""
        value = self._get(name)
        if value is None or isinstance(value, str):
            return value
        self.refuse(name, f"write a string, in quotes, not {value!r}")
        return None

    def whole(self, name: str) -> int | None:
        """A whole number; JSON's 1.0 is one."""
        value = self._get(name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        if isinstance(value, float) and value.is_integer():
            return int(value)
        self.refuse(name, f"write a whole number, not {value!r}")
        return None

    def flag(self, name: str) -> bool | None:
        """A boolean."""
        value = self._get(name)
        if value is None or isinstance(value, bool):
            return value
        self.refuse(name, f"write true or false, not {value!r}")
        return None

    def amount(self, name: str) -> int | str | None:
        """A number or a percentage, as `1` or `10%` (IntOrString)."""
        value = self._get(name)
        number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        share = isinstance(value, str) and _PERCENTAGE.fullmatch(value) is not None
        if value is None or number or share:
            return cast("int | str | None", value)
        self.refuse(name, f'write a whole number or a percentage, as 1 or "10%", not {value!r}')
        return None

    def choice(self, name: str, choices: type[_Choice]) -> _Choice | None:
        """A member of `choices`, by its value."""
        value = self.one_of(name, tuple(choices))
        return choices(value) if value is not None else None

    def one_of(self, name: str, known: tuple[str, ...]) -> str | None:
        """One of the `known` strings."""
        value = self.text(name)
        if value is None or value in known:
            return value
        self.refuse(name, f"write one of {', '.join(known)}; this operator does not know {value!r}")
        return None

    def clock(self, name: str) -> time | None:
        """A local time, written HH:MM."""
        value = self.text(name)
        if value is None:
            return None
        try:
            return datetime.strptime(value, "%H:%M").time()  # noqa: DTZ007 (the zone is a field of its own)
        except ValueError:
            self.refuse(name, f'write the time as "HH:MM" on a clock of 24 hours, not {value!r}')
            return None

    def moment(self, name: str) -> datetime | None:
        """A moment, RFC 3339 with its offset."""
        value = self.text(name)
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value.upper())
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            self.refuse(name, f'write a time with its offset, as "2026-11-26T00:00:00Z", not {value!r}')
            return None
        return moment

    def zone(self, name: str) -> str | None:
        """The name of a time zone that this machine has data for."""
        value = self.text(name)
        if value is None or knows_zone(value):
            return value
        self.refuse(name, f'write an IANA time zone name, as "Europe/Berlin"; {value!r} is unknown here')
        return None

    def texts(self, name: str) -> tuple[str, ...] | None:
        """A list of strings; None where it is absent, which is not the same as empty."""
        value = self._get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            self.refuse(name, "write a list of strings")
            return None
        return tuple(value)

    def labels(self, name: str) -> tuple[tuple[str, str], ...]:
        """An object of strings, sorted by key; () where it is absent."""
        value = self._get(name)
        if value is None:
            return ()
        if not isinstance(value, Mapping) or not all(
            isinstance(entry, str | None) for entry in value.values()
        ):
            self.refuse(name, 'write an object of strings, as {team: "shop"}')
            return ()
        return tuple(sorted((str(key), entry) for key, entry in value.items() if entry is not None))

    def child(self, name: str) -> "Reader | None":
        """A nested object."""
        value = self._get(name)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            self.refuse(name, f"write an object, not {value!r}")
            return None
        return Reader(value, self._at(name), self.problems)

    def children(self, name: str) -> "tuple[Reader, ...] | None":
        """A list of nested objects; entries that are none are left out."""
        value = self._get(name)
        if value is None:
            return None
        if not isinstance(value, list):
            self.refuse(name, f"write a list of objects, not {value!r}")
            return None
        for index, entry in enumerate(value):
            if not isinstance(entry, Mapping):
                self.refuse(f"{name}[{index}]", f"write an object, not {entry!r}")
        return tuple(
            Reader(entry, self._at(f"{name}[{index}]"), self.problems)
            for index, entry in enumerate(value)
            if isinstance(entry, Mapping)
        )

    def required(self, *names: str) -> bool:
        """True where every field of `names` is there; notes those that are not."""
        missing = [name for name in names if self.source.get(name) is None]
        for name in missing:
            self.refuse(name, "is required")
        return not missing

    def done(self) -> None:
        """Note every field that nobody asked for."""
        for name in self.source:
            if name not in self.asked:
                self.refuse(
                    str(name), "this operator does not know this field: remove it, or update the operator"
                )

    def refuse(self, name: str, message: str) -> None:
        """Note that the field `name` cannot be honoured."""
        self.problems.append(Problem(self._at(name), message))

    def _get(self, name: str) -> JSON:
        self.asked.add(name)
        return self.source.get(name)

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def knows_zone(name: str) -> bool:
    """True where the time zone database of this machine, or tzdata, has `name`."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
