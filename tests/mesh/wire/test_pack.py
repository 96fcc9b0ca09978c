from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import MeshError
from mesh.wire.pack import Packed, PackInvalidError, pack, unpack, unpack_all

PLAIN: st.SearchStrategy[Packed] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.text(), st.binary()),
    lambda inner: st.one_of(st.lists(inner).map(tuple), st.dictionaries(st.text(), inner)),
    max_leaves=8,
)


@pytest.mark.slow
@given(PLAIN)
def test_what_is_packed_comes_back(value: Packed) -> None:
    assert unpack(pack(value)) == value


@pytest.mark.slow
@settings(max_examples=50)
@given(st.lists(PLAIN, max_size=5))
def test_values_in_a_row_come_back(values: list[Packed]) -> None:
    assert unpack_all(b"".join(map(pack, values))) == tuple(values)


@given(st.binary(max_size=200))
def test_any_octets_are_a_value_or_an_error_of_ours(octets: bytes) -> None:
    for read in (unpack, unpack_all):
        with suppress(MeshError):
            read(octets)


@pytest.mark.parametrize("octets", [b"", b"\x01\x02", b"\x91", b"\xc1", b"\x92\x01"])
def test_one_value_is_exactly_one(octets: bytes) -> None:
    with pytest.raises(PackInvalidError):
        unpack(octets)


@pytest.mark.parametrize("octets", [b"\x91", b"\x01\x92\x01", b"\x01\xc1", b"\xa5abc"])
def test_values_in_a_row_end_with_a_whole_one(octets: bytes) -> None:
    with pytest.raises(PackInvalidError):
        unpack_all(octets)


def test_nesting_without_end_is_an_error_of_ours() -> None:
    deep = b"\x91" * 100_000
    for read in (unpack, unpack_all):
        with pytest.raises(PackInvalidError):
            read(deep)


def test_nothing_in_a_row_is_no_value() -> None:
    assert unpack_all(b"") == ()


def test_arrays_come_back_as_tuples_and_so_may_be_keys() -> None:
    assert unpack(pack({(1, 2): [3]})) == {(1, 2): (3,)}
