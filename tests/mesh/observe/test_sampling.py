import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.observe.sampling import Sampler

IDS = st.binary(min_size=16, max_size=16)


@given(IDS, st.floats(0, 1), st.booleans())
def test_what_the_caller_has_decided_stands(trace_id: bytes, ratio: float, parent: bool) -> None:
    assert Sampler(ratio).samples(trace_id, parent) is parent


@given(IDS, st.sampled_from([None, True, False]))
def test_all_or_none_whatever_the_caller_says(trace_id: bytes, parent: bool | None) -> None:
    assert Sampler(1.0, heeds_parent=False).samples(trace_id, parent)
    assert not Sampler(0.0, heeds_parent=False).samples(trace_id, parent)


@given(IDS, st.floats(0, 1), st.floats(0, 1))
def test_who_samples_more_samples_what_the_others_do(
    trace_id: bytes, one: float, other: float
) -> None:
    less, more = sorted((one, other))
    assert Sampler(less).samples(trace_id, None) <= Sampler(more).samples(trace_id, None)


@pytest.mark.parametrize(
    ("end", "is_sampled"), [("00", True), ("3f", True), ("40", False), ("ff", False)]
)
def test_the_chance_is_the_end_of_the_traces_id(end: str, is_sampled: bool) -> None:
    trace_id = bytes.fromhex("ff" * 8 + end + "00" * 7)
    assert Sampler(0.25).samples(trace_id, None) is is_sampled
