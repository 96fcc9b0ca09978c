"""Shapes: what a type's annotations say is what its values may be."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from mesh.wire.shapes import record, shape_of
from mesh.wire.shapes_plain import ValueUnreadableError


@dataclass(frozen=True, slots=True)
class Near:
    metres: int = 0


@dataclass(frozen=True, slots=True)
class Far:
    miles: float


@dataclass(frozen=True, slots=True)
class Place:
    where: Near | Far | None = None
    tags: frozenset[str] = frozenset()
    labels: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (Place(), {}),
        (Place(Near()), {"where": ("Near", {})}),
        (Place(Far(2)), {"where": ("Far", {"miles": 2.0})}),
        (Place(tags=frozenset({"b", "a"})), {"tags": ("a", "b")}),
        (Place(labels={"x": (1,), "a": ()}), {"labels": {"a": (), "x": (1,)}}),
    ],
)
def test_values_become_data_and_come_back(value: Place, data: object) -> None:
    shape = record(Place)

    assert shape.write(value) == data
    assert shape.read(shape.write(value)) == value


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ([], ""),
        ({1: 2}, ""),
        ({"where": ("Elsewhere", {})}, "where"),
        ({"where": ("Far", {})}, "where.miles"),
        ({"where": ("Far", {"miles": float("nan")})}, "where.miles"),
        ({"tags": "ab"}, "tags"),
        ({"labels": {"a": (True,)}}, "labels.a[0]"),
    ],
)
def test_other_data_is_refused_with_the_place(data: object, field: str) -> None:
    with pytest.raises(ValueUnreadableError) as caught:
        record(Place).read(data)  # type: ignore[arg-type] # that is the point

    assert caught.value.field == field


@pytest.mark.parametrize("hint", [set[str], complex, int | str, dict[int, str], list[int]])
def test_a_type_that_cannot_be_carried_is_a_programming_error(hint: object) -> None:
    with pytest.raises(TypeError):
        shape_of(hint)


def test_fixed_tuples_have_their_number_of_values() -> None:
    shape = shape_of(tuple[tuple[str, int], ...])

    assert shape.read(shape.write((("a", 1),))) == (("a", 1),)
    with pytest.raises(ValueUnreadableError):
        shape.read((("a", 1, 2),))
