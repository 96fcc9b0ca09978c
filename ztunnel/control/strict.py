"""Reading a document field by field: each problem names where it is, none is the end of reading."""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from mesh.errors import MeshError

ValueT = TypeVar("ValueT")
NOWHERE: Final = ""


class Fields:
    """The fields of one object of a document; `end` reports those that nobody asked for."""

    def __init__(self, value: object, path: str, problems: list[str]) -> None:
        """Read these.

        Args:
            value: what the document has here.
            path: where that is, for the problems.
            problems: where to put them.
        """
        self.path, self._problems = path, problems
        self._left: dict[str, object] = {}
        if isinstance(value, dict):
            self._left = {str(key): one for key, one in value.items()}
        else:
            self.problem(NOWHERE, "write a mapping")

    def problem(self, name: str, mend: str) -> None:
        """Something is wrong with a field (or with the whole, when it has no name)."""
        self._problems.append(f"{self._at(name)}: {mend}")

    def end(self) -> None:
        """All known fields have been asked for."""
        for name in self._left:
            self.problem(name, "unknown field: remove it")

    def text(self, name: str, default: str | None = "") -> str:
        """A text; needed when there is no default."""
        value = self._left.pop(name, None)
        if value is None:
            if default is None:
                self.problem(name, "is missing: write a text")
            return default or ""
        if isinstance(value, str):
            return value
        self.problem(name, "write a text (in quotes)")
        return ""

    def whole(self, name: str, default: int, highest: int = 2**32 - 1) -> int:
        """A whole number."""
        value = self._left.pop(name, None)
        if value is None:
            return default
        found = whole(value, highest)
        if found is None:
            self.problem(name, f"write a whole number up to {highest}")
            return default
        return found

    def flag(self, name: str, *, default: bool | None = False) -> bool:
        """`true` or `false`; needed when there is no default."""
        value = self._left.pop(name, None)
        if value is None and default is not None:
            return default
        if not isinstance(value, bool):
            self.problem(name, "write true or false")
            return False
        return value

    def choice(self, name: str, default: str, choices: Mapping[str, ValueT]) -> ValueT:
        """One of a few words, in any case."""
        value = self._left.pop(name, default)
        lower = {word.lower(): meaning for word, meaning in choices.items()}
        if not isinstance(value, str) or value.lower() not in lower:
            self.problem(name, f"write one of {', '.join(choices)}")
            return choices[default]
        return lower[value.lower()]

    def each(self, name: str, read: Callable[[object, str], ValueT | None]) -> tuple[ValueT, ...]:
        """A list's elements, each read by a function that is given its place too."""
        value = self._left.pop(name, None)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.problem(name, "write a list")
            return ()
        read_all = (
            read(one, f"{self._at(name)}[{position}]") for position, one in enumerate(value)
        )
        return tuple(one for one in read_all if one is not None)

    def parsed(self, name: str, parse: Callable[[str], ValueT], form: str) -> tuple[ValueT, ...]:
        """A list of texts, each read by a function that raises MeshError or ValueError."""

        def read(value: object, path: str) -> ValueT | None:
            try:
                return parse(value if isinstance(value, str) else str(value))
            except (MeshError, ValueError, LookupError):
                self._problems.append(f"{path}: write {form}")
                return None

        return self.each(name, read)

    def inner(self, name: str) -> "Fields | None":
        """The object in a field, when there is one."""
        value = self._left.pop(name, None)
        return None if value is None else Fields(value, self._at(name), self._problems)

    def entries(self, name: str) -> list[tuple[str, object]]:
        """A mapping's entries."""
        value = self._left.pop(name, None)
        if value is None:
            return []
        if not isinstance(value, dict):
            self.problem(name, "write a mapping")
            return []
        return [(str(key), one) for key, one in value.items()]

    def at(self, value: object, path: str) -> "Fields":
        """Another object of the same document."""
        return Fields(value, path, self._problems)

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path and name else name or self.path


def whole(value: object, highest: int) -> int | None:
    """The whole number that a value is, also when a mapping's key has made a text of it."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)
    return value if isinstance(value, int) and 0 <= value <= highest else None
