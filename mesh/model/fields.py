"""Strict views into a JSON body.

A view (`Part`) knows the path that led to it, so that a wrong type is a sentence that names the
object, the field and the mend. Absent and `null` are the same, as for the API server.
"""

from dataclasses import dataclass
from typing import TypeAlias

from mesh.errors import ConfigError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class FieldInvalidError(ConfigError):
    """A field of a Kubernetes object is missing or has a value that it cannot have."""

    code = "field_invalid"

    def __init__(self, subject: str, field: str, mend: str) -> None:
        """Keep the object's name, the path of the field, and what to do about it."""
        super().__init__((f"{subject}: {field}: {mend}",))
        self.subject, self.field, self.mend = subject, field, mend


@dataclass(frozen=True, slots=True)
class Part:
    """A mapping inside an object, and the path to it. Every method's `name` is a field of it.

    A value of another type than asked for raises `FieldInvalidError`; an absent one is the default.
    """

    subject: str
    """The object, for people."""
    path: str
    body: dict[str, Json]

    def field(self, name: str) -> str:
        """The path of a field, as problems write it: `spec.ports[0].port`."""
        return f"{self.path}.{name}" if self.path else name

    def invalid(self, name: str, mend: str) -> FieldInvalidError:
        """The error that says what is wrong with a field; the caller raises it."""
        return FieldInvalidError(self.subject, self.field(name), mend)

    def has(self, name: str) -> bool:
        """Whether a field is there and not null."""
        return self.body.get(name) is not None

    def text(self, name: str, default: str = "") -> str:
        """A string.

        Raises:
            FieldInvalidError: it is something else.
        """
        match self.body.get(name):
            case str(value):
                return value
            case None:
                return default
            case other:
                raise self.invalid(name, f"must be a string, is {_sort(other)}: put it in quotes")

    def number(self, name: str, default: int = 0) -> int:
        """A whole number.

        Raises:
            FieldInvalidError: it is something else.
        """
        match self.body.get(name):
            case bool() as value:
                raise self.invalid(name, f"must be a whole number, is {_sort(value)}")
            case int(value):
                return value
            case None:
                return default
            case other:
                raise self.invalid(name, f"must be a whole number, is {_sort(other)}")

    def flag(self, name: str, *, default: bool = False) -> bool:
        """True or false.

        Raises:
            FieldInvalidError: it is something else.
        """
        match self.body.get(name):
            case bool(value):
                return value
            case None:
                return default
            case other:
                raise self.invalid(name, f"must be true or false, is {_sort(other)}")

    def at(self, *names: str) -> "Part":
        """The mapping at a path of names; an empty one when it is absent.

        Raises:
            FieldInvalidError: something on the way is no mapping.
        """
        part = self
        for name in names:
            part = Part(self.subject, part.field(name), part._mapping(name))
        return part

    def _mapping(self, name: str) -> dict[str, Json]:
        match self.body.get(name):
            case dict(value):
                return value
            case None:
                return {}
            case other:
                raise self.invalid(name, f"must be a mapping, is {_sort(other)}")

    def parts(self, name: str) -> list["Part"]:
        """The mappings in a list.

        Raises:
            FieldInvalidError: it is no list, or holds something else.
        """
        return [self._element(name, i, value) for i, value in enumerate(self.items(name))]

    def _element(self, name: str, index: int, value: Json) -> "Part":
        where = f"{name}[{index}]"
        if not isinstance(value, dict):
            raise self.invalid(where, f"must be a mapping, is {_sort(value)}")
        return Part(self.subject, self.field(where), value)

    def items(self, name: str) -> list[Json]:
        """The values of a list, of whatever types.

        Raises:
            FieldInvalidError: it is no list.
        """
        match self.body.get(name):
            case list(value):
                return value
            case None:
                return []
            case other:
                raise self.invalid(name, f"must be a list, is {_sort(other)}")

    def texts(self, name: str) -> list[str]:
        """The strings in a list.

        Raises:
            FieldInvalidError: it is no list, or holds something else.
        """
        values = []
        for index, value in enumerate(self.items(name)):
            if not isinstance(value, str):
                raise self.invalid(f"{name}[{index}]", f"must be a string, is {_sort(value)}")
            values.append(value)
        return values

    def strings(self, name: str) -> dict[str, str]:
        """A mapping of strings to strings, such as labels or a selector.

        Raises:
            FieldInvalidError: it is no mapping, or holds something else.
        """
        part = self.at(name)
        return {label: part.text(label) for label in part.body}


def _sort(value: Json) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the string {value!r}"
        case list():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return "null"
