"""Any value of an annotated type, within what octets can carry."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import IntEnum
from types import NoneType, UnionType
from typing import Final, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from mesh.model.address import Ip

PLAIN: Final[Mapping[object, st.SearchStrategy[object]]] = {
    str: st.text(max_size=8),
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**64 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bytes: st.binary(max_size=8),
    Ip: st.binary(min_size=4, max_size=4),
    NoneType: st.none(),
}


def any_value(  # noqa: PLR0911 - one return for each kind of type
    hint: object,
) -> st.SearchStrategy[object]:
    """Any value of a type that `mesh.wire.shapes` carries."""
    if hint in PLAIN:
        return PLAIN[hint]
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return st.sampled_from(hint)
    if isinstance(hint, type) and is_dataclass(hint):
        hints = get_type_hints(hint)
        given = {f.name: any_value(hints[f.name]) for f in fields(hint)}
        return st.builds(hint, **given)
    arguments: tuple[object, ...] = get_args(hint)
    match get_origin(hint):
        case origin if origin is UnionType:
            return st.one_of([any_value(choice) for choice in arguments])
        case origin if origin is tuple and arguments[-1] is ...:
            return st.lists(any_value(arguments[0]), max_size=2).map(tuple)
        case origin if origin is tuple:
            return st.tuples(*map(any_value, arguments))
        case origin if origin is frozenset:
            return st.frozensets(any_value(arguments[0]), max_size=2)
        case origin if origin is Mapping:
            return st.dictionaries(st.text(max_size=8), any_value(arguments[1]), max_size=2)
    raise TypeError(f"{hint}")
