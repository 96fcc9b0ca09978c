"""Reading settings out of environment variables: a problem is a sentence, and none is the end.

A variable that is set to nothing counts as not set: manifests of Kubernetes produce such.
"""

import re
from collections.abc import Mapping
from typing import Final, TypeVar

ChoiceT = TypeVar("ChoiceT")

UNIT_SECONDS: Final[Mapping[str, float]] = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86_400.0,
    "w": 7 * 86_400.0,
}
DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zµ]*)\s*\+?\s*")
FLAGS: Final[Mapping[str, bool]] = {"true": True, "1": True, "false": False, "0": False}


def seconds_of(text: str) -> float | None:
    """The seconds in a duration such as `5m`, `250ms`, `1h30m` or `10`; None when it is none."""
    total, at = 0.0, 0
    while at < len(text):
        part = DURATION_PART.match(text, at)
        if part is None or part[2] not in UNIT_SECONDS:
            return None
        total += float(part[1]) * UNIT_SECONDS[part[2]]
        at = part.end()
    return total if text else None


class Variables:
    """Variables by name and kind; whatever cannot be read gives the default and a problem."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Read from these; nothing is kept elsewhere."""
        self._environ = environ
        self.problems: list[str] = []

    def problem(self, name: str, mend: str) -> None:
        """Note that the value of a variable cannot be used, and what to write instead."""
        self.problems.append(f"{name}={self._environ.get(name, '')!r}: {mend}")

    def is_set(self, name: str) -> bool:
        """Whether the variable is there, also when it is empty."""
        return name in self._environ

    def text(self, name: str, default: str = "") -> str:
        """Any text."""
        return self._environ.get(name) or default

    def raw(self, name: str, default: str) -> str:
        """Any text, where an empty one has a meaning of its own."""
        return self._environ.get(name, default)

    def flag(self, name: str, default: bool) -> bool:  # noqa: FBT001 - the default of a flag
        """`true` or `false`."""
        return self.choice(name, "true" if default else "false", FLAGS)

    def maybe_flag(self, name: str) -> bool | None:
        """`true`, `false`, or not said."""
        return self.flag(name, default=False) if self.text(name) else None

    def choice(self, name: str, default: str, choices: Mapping[str, ChoiceT]) -> ChoiceT:
        """One of a few words, in any case."""
        value = self.text(name, default).lower()
        if value not in choices:
            self.problem(name, f"write one of {', '.join(filter(None, choices))}")
            value = default
        return choices[value]

    def whole(self, name: str, default: int, lowest: int, highest: int) -> int:
        """A whole number between bounds that are allowed themselves."""
        value = self.text(name)
        if not value:
            return default
        if not (value.isascii() and value.isdecimal() and lowest <= int(value) <= highest):
            self.problem(name, f"write a whole number from {lowest} to {highest}")
            return default
        return int(value)

    def seconds(self, name: str, default: float) -> float:
        """A duration, in seconds."""
        value = self.text(name)
        if not value:
            return default
        found = seconds_of(value)
        if found is None:
            self.problem(name, "write a number with a unit, such as 5m or 250ms")
            return default
        return found

    def beginning_with(self, prefix: str) -> tuple[tuple[str, str], ...]:
        """(rest of the name, value) of each variable with this prefix, sorted."""
        return tuple(
            sorted(
                (name.removeprefix(prefix), value)
                for name, value in self._environ.items()
                if name.startswith(prefix) and name != prefix
            )
        )
