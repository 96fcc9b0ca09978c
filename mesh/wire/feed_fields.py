"""Values of annotated dataclasses to plain data and back, for the feed.

1. Writers and readers are made from the annotations: a field that changes is still carried, and one
   that cannot be carried fails when the module that needs it is imported.
2. What repeats is the same object wherever it was read; what is different each time is not
   remembered (`ONE_OF_A_KIND`, and the resources themselves).
3. A reader raises TypeError, ValueError or LookupError for data of another shape, and nothing else.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum
from functools import lru_cache, partial
from operator import attrgetter
from types import NoneType, UnionType
from typing import Final, NewType, get_args, get_origin, get_type_hints

from mesh.model.policy import Authorization
from mesh.model.workload import Service, Workload
from mesh.wire.feed import Configured
from mesh.wire.pack import Packed

Read = Callable[[Packed], object]
Resource = Workload | Service | Authorization | Configured
RESOURCES: Final[tuple[type[Resource], ...]] = (Workload, Service, Authorization, Configured)

ONE_OF_A_KIND: Final = frozenset(
    {
        "uid",
        "name",
        "addresses",
        "removed_addresses",
        "removed_policies",
        "removed_configuration",
    }
)
"""Fields whose values rarely repeat: to remember them would cost more than it saves."""

SHARED_KINDS: Final = 16_384
"""How many distinct values of one kind are kept in order to be shared."""


# Writing.


_getters: Final[dict[type, Callable[[object], tuple[object, ...]]]] = {}


def field_values(value: object) -> tuple[object, ...]:
    """The values of a dataclass's fields, in order."""
    kind = type(value)
    if kind not in _getters:
        _getters[kind] = _getter(kind)
    return _getters[kind](value)


def _getter(kind: type) -> Callable[[object], tuple[object, ...]]:
    names = field_names(kind)
    if not names:
        return lambda _: ()
    if len(names) == 1:
        only = attrgetter(names[0])
        return lambda value: (only(value),)
    every: Callable[[object], tuple[object, ...]] = attrgetter(*names)
    return every


def plain(value: object) -> object:
    """What msgpack does not know: our values, and views of dicts."""
    if isinstance(value, Mapping):
        return dict(value)
    return field_values(value)


def field_names(kind: type) -> tuple[str, ...]:
    """The names of a dataclass's fields, in order.

    Raises:
        TypeError: it is none.
    """
    if not is_dataclass(kind):
        raise TypeError(f"{kind.__name__} cannot be carried")
    return tuple(field.name for field in fields(kind))


# Reading.


def _text(value: Packed) -> object:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return sys.intern(value)


@dataclass(frozen=True, slots=True)
class _Exactly:
    """A value of one plain type, unchanged."""

    kind: type[int | float | bytes | str]

    def __call__(self, value: Packed) -> object:
        if not isinstance(value, self.kind):
            raise TypeError(f"not {self.kind.__name__}")
        return value


def _reader(hint: object) -> Read:  # noqa: PLR0911 - one return for each kind of type
    """How to read a value of an annotated type."""
    if hint is str:
        return _text
    if hint is float:
        return _number
    if isinstance(hint, NewType):
        return _reader(hint.__supertype__)
    if isinstance(hint, type) and hint in (bool, int, bytes):
        return _Exactly(hint)
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return partial(_member, {member.value: member for member in hint})
    if isinstance(hint, type) and is_dataclass(hint):
        return _shared(dataclass_reader(hint))
    if isinstance(hint, UnionType):
        return _union_reader(get_args(hint))
    if get_origin(hint) is tuple:
        return _tuple_reader(get_args(hint)[0])
    if get_origin(hint) is Mapping:
        return _mapping_reader(get_args(hint)[1])
    raise TypeError(f"{hint} cannot be carried")


def _number(value: Packed) -> object:
    if not isinstance(value, int | float):
        raise TypeError("not a number")
    return float(value)


def _member(members: Mapping[int, object], value: Packed) -> object:
    if not isinstance(value, int):
        raise TypeError("not a number")
    return members[value]


def _shared(read: Read) -> Read:
    """The same object for the same octets."""
    return lru_cache(maxsize=SHARED_KINDS)(read)


def dataclass_reader(kind: type) -> Read:
    """What makes a dataclass of the values of its fields.

    Raises:
        TypeError: a field's type cannot be carried.
    """
    hints: dict[str, object] = get_type_hints(kind)
    names = field_names(kind)
    build: Callable[..., object] = kind
    reads = [
        _unshared_reader(hints[name]) if name in ONE_OF_A_KIND else _reader(hints[name])
        for name in names
    ]

    def read(value: Packed) -> object:
        if not isinstance(value, tuple) or len(value) != len(reads):
            raise TypeError(f"not {kind.__name__}")
        return build(**{n: r(v) for n, r, v in zip(names, reads, value, strict=True)})

    return read


def _union_reader(choices: tuple[object, ...]) -> Read:
    """`X | None`, or values told apart by their number of fields."""
    kinds = [choice for choice in choices if choice is not NoneType]
    if len(kinds) == 1:
        read = _reader(kinds[0])
        return lambda value: None if value is None else read(value)
    by_size = {
        len(field_names(kind)): dataclass_reader(kind) for kind in kinds if isinstance(kind, type)
    }
    if len(by_size) != len(kinds):
        raise TypeError(f"{choices} cannot be told apart")

    def read_one(value: Packed) -> object:
        if not isinstance(value, tuple):
            raise TypeError("not an array")
        return by_size[len(value)](value)

    return read_one


def _unshared_reader(hint: object) -> Read:
    """How to read a value that is not worth remembering: a text, or a list."""
    if get_origin(hint) is not tuple:
        return _Exactly(str)
    element: object = get_args(hint)[0]
    if isinstance(element, NewType):
        element = element.__supertype__
    if isinstance(element, type) and element in (bytes, str):
        return _Sequence(element)
    return partial(_read_all, _reader(element))


@dataclass(frozen=True, slots=True)
class _Sequence:
    """A list of values of one plain type, unchanged."""

    kind: type[bytes | str]

    def __call__(self, value: Packed) -> object:
        if not isinstance(value, tuple) or not all(isinstance(one, self.kind) for one in value):
            raise TypeError(f"not an array of {self.kind.__name__}")
        return value


def _read_all(read: Read, value: Packed) -> object:
    if not isinstance(value, tuple):
        raise TypeError("not an array")
    return tuple([read(one) for one in value])


def _tuple_reader(hint: object) -> Read:
    if hint in RESOURCES and isinstance(hint, type):
        return partial(_read_all, dataclass_reader(hint))  # each is the only one of its kind
    return _shared(partial(_read_all, _reader(hint)))


def _mapping_reader(hint: object) -> Read:
    read = _reader(hint)

    @lru_cache(maxsize=SHARED_KINDS)
    def read_items(items: tuple[tuple[Packed, Packed], ...]) -> object:
        return {_text(key): read(value) for key, value in items}

    def read_mapping(value: Packed) -> object:
        if not isinstance(value, Mapping):
            raise TypeError("not a mapping")
        return read_items(tuple(value.items()))

    return read_mapping
