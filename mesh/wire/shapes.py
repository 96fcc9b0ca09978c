"""Values of annotated dataclasses to plain data and back, by the names of their fields.

1. A shape is made from the annotation: a type that cannot be carried fails when the module that
   needs it is imported.
2. A field that has its default is left out; so who does not know a new field yet still understands
   each value that makes no use of it.
3. Reading is strict: a field, a kind or an enumeration's number that is unknown makes the whole
   value unreadable. Half of a value would be another value.
4. Equal values give equal data. Texts that were read are interned: they repeat.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import IntEnum
from functools import cache
from types import NoneType, UnionType
from typing import NewType, Union, get_args, get_origin, get_type_hints

from mesh.model.address import Ip
from mesh.model.fields import Json
from mesh.wire.pack import Packed
from mesh.wire.shapes_plain import PLAIN, IpShape, MemberShape, Shape, ValueUnreadableError


@cache
def shape_of(hint: object) -> Shape:  # noqa: PLR0911 - one return for each kind of type
    """The shape of an annotated type.

    Raises:
        TypeError: values of it cannot be carried.
    """
    if hint is Ip:
        return IpShape()
    if isinstance(hint, NewType):
        return shape_of(hint.__supertype__)
    if isinstance(hint, type):
        return _shape_of_class(hint)
    match get_origin(hint), get_args(hint):
        case origin, choices if origin in (UnionType, Union):
            return _union(choices)
        case origin, (element, last) if origin is tuple and last is ...:
            return _Row(shape_of(element))
        case origin, elements if origin is tuple:
            return _Fixed(tuple(shape_of(element) for element in elements))
        case origin, (element,) if origin is frozenset:
            return _Set(shape_of(element))
        case origin, (key, element) if origin is Mapping and key is str:
            return _Named(shape_of(element))
    raise TypeError(f"{hint} cannot be carried")


def _shape_of_class(hint: type) -> Shape:
    if is_dataclass(hint):
        return record(hint)
    if issubclass(hint, IntEnum):
        return MemberShape(hint.__name__, {member.value: member for member in hint})
    if hint not in PLAIN:
        raise TypeError(f"{hint.__name__} cannot be carried")
    return PLAIN[hint]


def _union(choices: tuple[object, ...]) -> Shape:
    """`X | None`, or dataclasses, told apart by their names."""
    others = [choice for choice in choices if choice is not NoneType]
    if len(others) == 1:
        inner = shape_of(others[0])
    else:
        kinds = {kind.__name__: kind for kind in others if isinstance(kind, type)}
        if len(kinds) != len(others):
            raise TypeError(f"{choices} cannot be told apart")
        inner = _OneOf({name: record(kind) for name, kind in kinds.items()})
    return _Optional(inner) if len(others) < len(choices) else inner


# Values that hold others.


@dataclass(frozen=True, slots=True)
class _Optional:
    inner: Shape

    def write(self, value: object) -> Packed:
        return None if value is None else self.inner.write(value)

    def read(self, data: Packed, where: str = "") -> object:
        return None if data is None else self.inner.read(data, where)

    def show(self, value: object) -> Json:
        return None if value is None else self.inner.show(value)


@dataclass(frozen=True, slots=True)
class _Row:
    element: Shape

    def write(self, value: object) -> Packed:
        return tuple(map(self.element.write, value)) if isinstance(value, tuple) else None

    def read(self, data: Packed, where: str = "") -> object:
        read = self.element.read
        return tuple([read(one, f"{where}[{i}]") for i, one in enumerate(_array(data, where))])

    def show(self, value: object) -> Json:
        return [self.element.show(one) for one in value] if isinstance(value, tuple) else None


@dataclass(frozen=True, slots=True)
class _Fixed:
    elements: tuple[Shape, ...]

    def write(self, value: object) -> Packed:
        if not isinstance(value, tuple):
            return None
        return tuple(s.write(one) for s, one in zip(self.elements, value, strict=True))

    def read(self, data: Packed, where: str = "") -> object:
        array = _array(data, where)
        if len(array) != len(self.elements):
            raise ValueUnreadableError(where, f"not {len(self.elements)} values")
        pairs = zip(self.elements, array, strict=True)
        return tuple([shape.read(one, f"{where}[{i}]") for i, (shape, one) in enumerate(pairs)])

    def show(self, value: object) -> Json:
        if not isinstance(value, tuple):
            return None
        return [s.show(one) for s, one in zip(self.elements, value, strict=True)]


@dataclass(frozen=True, slots=True)
class _Set:
    element: Shape

    def write(self, value: object) -> Packed:
        if not isinstance(value, frozenset):
            return None
        return tuple(sorted(map(self.element.write, value), key=repr))

    def read(self, data: Packed, where: str = "") -> object:
        return frozenset(self.element.read(one, where) for one in _array(data, where))

    def show(self, value: object) -> Json:
        if not isinstance(value, frozenset):
            return None
        return sorted((self.element.show(one) for one in value), key=repr)


@dataclass(frozen=True, slots=True)
class _Named:
    element: Shape

    def write(self, value: object) -> Packed:
        if not isinstance(value, Mapping):
            return None
        return {str(name): self.element.write(one) for name, one in sorted(value.items())}

    def read(self, data: Packed, where: str = "") -> object:
        return {
            sys.intern(name): self.element.read(one, f"{where}.{name:.40}")
            for name, one in _texts(data, where).items()
        }

    def show(self, value: object) -> Json:
        if not isinstance(value, Mapping):
            return None
        return {str(name): self.element.show(one) for name, one in sorted(value.items())}


@dataclass(frozen=True, slots=True)
class _OneOf:
    records: Mapping[str, "Record"]

    def write(self, value: object) -> Packed:
        name = type(value).__name__
        return (name, self.records[name].write(value))

    def read(self, data: Packed, where: str = "") -> object:
        match _array(data, where):
            case (str(name), inner) if name in self.records:
                return self.records[name].read(inner, where)
            case _:
                raise ValueUnreadableError(where, f"none of {', '.join(self.records)}")

    def show(self, value: object) -> Json:
        name = type(value).__name__
        return {name: self.records[name].show(value)}


@dataclass(frozen=True, slots=True)
class _Slot:
    """One field of a dataclass."""

    shape: Shape
    default: object
    """MISSING when it must be given."""

    def is_usual(self, value: object) -> bool:
        return self.default is not MISSING and value == self.default


@dataclass(frozen=True, slots=True)
class Record:
    """The shape of a dataclass: a map of its fields that are not as usual."""

    name: str
    build: Callable[..., object]
    slots: Mapping[str, _Slot]

    def write(self, value: object) -> Packed:
        """The plain data of a value of the dataclass."""
        given = ((name, slot, getattr(value, name)) for name, slot in self.slots.items())
        return {name: slot.shape.write(one) for name, slot, one in given if not slot.is_usual(one)}

    def read(self, data: Packed, where: str = "") -> object:
        """The value that plain data means.

        Raises:
            ValueUnreadableError: a field is unknown, is missing, or has a wrong value.
        """
        texts = _texts(data, where)
        unknown = sorted(name for name in texts if name not in self.slots)
        if unknown:
            fields_ = ", ".join(unknown)
            raise ValueUnreadableError(where, f"{self.name} with unknown {fields_:.100}")
        return self.build(**dict(self._read_fields(texts, where)))

    def _read_fields(self, texts: Mapping[str, Packed], where: str) -> list[tuple[str, object]]:
        values = []
        for name, slot in self.slots.items():
            place = f"{where}.{name}" if where else name
            if name in texts:
                values.append((name, slot.shape.read(texts[name], place)))
            elif slot.default is MISSING:
                raise ValueUnreadableError(place, "is missing")
        return values

    def show(self, value: object) -> Json:
        """The fields that are not as usual, in camel case."""
        given = ((name, slot, getattr(value, name)) for name, slot in self.slots.items())
        return {_camel(name): s.shape.show(one) for name, s, one in given if not s.is_usual(one)}


@cache
def record(kind: type) -> Record:
    """The shape of a frozen dataclass.

    Raises:
        TypeError: it is none, or a field of it cannot be carried.
    """
    if not is_dataclass(kind):
        raise TypeError(f"{kind.__name__} cannot be carried")
    hints: Mapping[str, object] = get_type_hints(kind)
    slots = {f.name: _Slot(shape_of(hints[f.name]), _default(f)) for f in fields(kind)}
    return Record(kind.__name__, kind, slots)


def _default(field: Field[object]) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _array(data: Packed, where: str) -> tuple[Packed, ...]:
    if not isinstance(data, tuple):
        raise ValueUnreadableError(where, "not an array")
    return data


def _texts(data: Packed, where: str) -> Mapping[str, Packed]:
    if not isinstance(data, Mapping):
        raise ValueUnreadableError(where, "not a map")
    texts = {name: one for name, one in data.items() if isinstance(name, str)}
    if len(texts) != len(data):
        raise ValueUnreadableError(where, "a name that is no text")
    return texts


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
