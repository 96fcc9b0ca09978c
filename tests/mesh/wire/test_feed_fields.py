from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

import pytest

from mesh.wire.feed_fields import dataclass_reader, field_names, field_values, plain


@dataclass(frozen=True)
class Inner:
    number: int


@dataclass(frozen=True)
class Two:
    first: str
    second: float


@dataclass(frozen=True)
class Outer:
    choice: Inner | Two
    maybe: Inner | None
    names: tuple[str, ...]
    table: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Strange:
    value: complex


@dataclass(frozen=True)
class Other:
    number: int


@dataclass(frozen=True)
class Alike:
    value: Inner | Other


class Colour(IntEnum):
    RED = 1


@dataclass(frozen=True)
class Painted:
    colour: Colour


def test_a_dataclass_is_the_tuple_of_its_values() -> None:
    assert field_values(Two("a", 1.0)) == ("a", 1.0)
    assert field_values(Inner(1)) == (1,)
    assert field_names(Two) == ("first", "second")
    assert plain(Inner(3)) == (3,)
    assert plain(MappingProxyType({"a": 1})) == {"a": 1}


def test_what_is_no_dataclass_has_no_fields() -> None:
    with pytest.raises(TypeError):
        field_names(int)


def test_values_are_told_apart_by_their_number_of_fields() -> None:
    read = dataclass_reader(Outer)
    assert read(((1,), None, ("a",), {"k": (1, 2)})) == Outer(Inner(1), None, ("a",), {"k": (1, 2)})
    assert read((("x", 2), (5,), (), {})) == Outer(Two("x", 2.0), Inner(5), (), {})


@pytest.mark.parametrize(
    "values",
    [
        (1, None, (), {}),
        ((1, 2, 3), None, (), {}),
        ((1,), None, "a", {}),
        ((1,), None, (1,), {}),
        ((1,), None, (), ()),
        ((1,), None, (), {1: ()}),
        ((1,), None, (), {"k": 1}),
        ((1,), None, ()),
        (("x", "y"), None, (), {}),
    ],
)
def test_data_of_another_shape_is_refused(values: tuple[object, ...]) -> None:
    with pytest.raises((TypeError, LookupError)):
        dataclass_reader(Outer)(values)


def test_a_type_that_cannot_be_carried_is_found_at_once() -> None:
    for kind in (Strange, Alike):
        with pytest.raises(TypeError, match="cannot be"):
            dataclass_reader(kind)


def test_a_member_is_carried_as_its_number() -> None:
    read = dataclass_reader(Painted)
    assert read((1,)) == Painted(Colour.RED)
    for wrong in ("red", 2):
        with pytest.raises((TypeError, LookupError)):
            read((wrong,))
