"""Shapes of objects: which fields there are, of which type, and every problem at once.

A mapping is closed unless it says otherwise: a field that nobody reads is a slip, and what it was
meant to do would silently not be done.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum
from typing import TypeAlias

from mesh.errors import ConfigError
from mesh.model.fields import Json, Part


class Scalar(Enum):
    """A value without parts, or with parts of no interest."""

    TEXT = "a string"
    NUMBER = "a whole number"
    FLAG = "true or false"
    STRINGS = "a mapping of strings to strings"
    PORT = "a port number from 1 to 65535"
    PORT_OR_NAME = "a port number from 1 to 65535, or a port's name"
    NUMBER_OR_TEXT = "a whole number or a string"
    ANYTHING = "anything"


@dataclass(frozen=True, slots=True)
class OneOf:
    """A string out of a few."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of values of one shape."""

    shape: "Shape"


@dataclass(frozen=True, slots=True)
class MapOf:
    """A mapping with any names to values of one shape."""

    shape: "Shape"


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping with known fields."""

    fields: Mapping[str, "Shape"]
    needed: frozenset[str] = field(default_factory=frozenset)
    is_open: bool = False


Shape: TypeAlias = Scalar | OneOf | ListOf | MapOf | Fields


def problems(part: Part, shape: Fields) -> Iterator[str]:
    """Every slip of a mapping, each a sentence that names the object, the field and the mend."""
    for name in sorted(shape.needed):
        if not part.has(name):
            yield from part.invalid(name, "is missing: add it").problems
    for name, value in part.body.items():
        wanted = shape.fields.get(name)
        if wanted is not None:
            yield from _of_value(part, name, value, wanted)
        elif not shape.is_open:
            yield from part.invalid(name, _unknown(name, shape.fields)).problems


def _unknown(name: str, known: Mapping[str, Shape]) -> str:
    close = get_close_matches(name, known, n=1)
    return "no such field: " + (f"did you mean {close[0]}?" if close else "remove it")


def _of_value(part: Part, name: str, value: Json, shape: Shape) -> Iterator[str]:
    if value is None:
        return
    try:
        yield from _of_present(part, name, value, shape)
    except ConfigError as error:
        yield from error.problems


def _of_present(part: Part, name: str, value: Json, shape: Shape) -> Iterator[str]:
    match shape:
        case Scalar():
            yield from _of_scalar(part, name, value, shape)
        case OneOf(words):
            if part.text(name) not in words:
                yield from part.invalid(name, f"must be one of {', '.join(words)}").problems
        case ListOf(inner):
            yield from _of_list(part, name, inner)
        case MapOf(inner):
            inside = part.at(name)
            for word, content in inside.body.items():
                yield from _of_value(inside, word, content, inner)
        case Fields():
            yield from problems(part.at(name), shape)


def _of_list(part: Part, name: str, shape: Shape) -> Iterator[str]:
    if isinstance(shape, Fields):
        for element in part.parts(name):
            yield from problems(element, shape)
        return
    for index, content in enumerate(part.items(name)):
        slot = f"{name}[{index}]"
        yield from _of_value(Part(part.subject, part.path, {slot: content}), slot, content, shape)


def _of_scalar(part: Part, name: str, value: Json, shape: Scalar) -> Iterator[str]:
    match shape:
        case Scalar.TEXT:
            part.text(name)
        case Scalar.NUMBER:
            part.number(name)
        case Scalar.FLAG:
            part.flag(name)
        case Scalar.STRINGS:
            part.strings(name)
        case Scalar.ANYTHING:
            pass
        case Scalar.NUMBER_OR_TEXT | Scalar.PORT_OR_NAME | Scalar.PORT:
            if not _is_number_or_text(value, shape):
                yield from part.invalid(name, f"must be {shape.value}").problems


def _is_number_or_text(value: Json, shape: Scalar) -> bool:
    match value:
        case bool():
            return False
        case int():
            return shape is Scalar.NUMBER_OR_TEXT or 1 <= value <= 65535
        case str():
            return shape is not Scalar.PORT
        case _:
            return False
