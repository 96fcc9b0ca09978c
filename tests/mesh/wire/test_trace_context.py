import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.wire.http.messages import Fields
from mesh.wire.trace_context import (
    MAX_MEMBERS,
    TRACEPARENT,
    TRACESTATE,
    TraceContext,
    drop_state,
    put_parent,
    read_context,
    write_parent,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
TRACE_ID, SPAN_ID = bytes.fromhex(TRACE), bytes.fromhex(SPAN)


def read(parent: str, *states: str) -> TraceContext | None:
    fields: Fields = [(TRACEPARENT, parent.encode())]
    return read_context(fields + [(TRACESTATE, state.encode()) for state in states])


@pytest.mark.parametrize(
    ("flags", "is_sampled"), [("00", False), ("01", True), ("03", True), ("fe", False)]
)
def test_only_the_last_bit_says_whether_the_caller_records(flags: str, is_sampled: bool) -> None:
    assert read(f"00-{TRACE}-{SPAN}-{flags}") == TraceContext(TRACE_ID, SPAN_ID, is_sampled)


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-001",
        f"00-{TRACE}-{SPAN}-0g",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"0G-{TRACE}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN.upper()}-01",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01 ",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00_{TRACE}_{SPAN}_01",
    ],
)
def test_what_cannot_be_read_is_as_if_it_had_not_come(parent: str) -> None:
    assert read(parent, "vendor=1") is None


def test_nothing_said_and_something_said_twice_are_the_same() -> None:
    one = (TRACEPARENT, write_parent(TRACE_ID, SPAN_ID, is_sampled=True))
    assert read_context([]) is None
    assert read_context([one, one]) is None
    assert read_context([one]) is not None


@pytest.mark.parametrize("tail", ["", "-", "-anything at all"])
def test_a_later_version_is_read_as_far_as_ours_goes(tail: str) -> None:
    assert read(f"cc-{TRACE}-{SPAN}-01{tail}") == TraceContext(TRACE_ID, SPAN_ID, is_sampled=True)


@pytest.mark.parametrize(
    ("states", "state"),
    [
        (["congo=t61rcWkgMzE,rojo=00f067"], "congo=t61rcWkgMzE,rojo=00f067"),
        (["congo=1", "rojo=2"], "congo=1,rojo=2"),
        (["tenant@system=1"], "tenant@system=1"),
        (["1tenant@system=1"], "1tenant@system=1"),
        (["a=1, b=2 ,"], "a=1, b=2 ,"),
        (["a= inner blank"], "a= inner blank"),
        ([",".join(f"k{n}=v" for n in range(MAX_MEMBERS))],) * 2,
        ([""], ""),
        (["a"], ""),
        (["A=1"], ""),
        (["1a=1"], ""),
        (["a=1=2"], ""),
        (["a=\x7f"], ""),
        (["a=1,b"], ""),
        (["@system=1"], ""),
        (["tenant@toolongavendor1=1"], ""),
        ([f"{'k' * 257}=1"], ""),
        ([f"k={'v' * 257}"], ""),
        ([",".join(f"k{n}=v" for n in range(MAX_MEMBERS + 1))], ""),
    ],
)
def test_the_state_goes_on_whole_or_not_at_all(states: list[str], state: str | list[str]) -> None:
    found = read(f"00-{TRACE}-{SPAN}-01", *states)
    assert found is not None
    assert found.state == (state if isinstance(state, str) else state[0]).encode()


def test_a_request_has_one_parent() -> None:
    fields: Fields = [(TRACEPARENT, b"x"), (b"a", b"1"), (TRACEPARENT, b"y"), (TRACESTATE, b"z=1")]
    put_parent(fields, write_parent(TRACE_ID, SPAN_ID, is_sampled=False))
    drop_state(fields)
    assert fields == [(b"a", b"1"), (TRACEPARENT, f"00-{TRACE}-{SPAN}-00".encode())]


@given(
    st.binary(min_size=16, max_size=16).filter(any),
    st.binary(min_size=8, max_size=8).filter(any),
    st.booleans(),
)
def test_what_is_written_is_what_is_read(trace_id: bytes, span_id: bytes, is_sampled: bool) -> None:
    written = write_parent(trace_id, span_id, is_sampled=is_sampled)
    assert read_context([(TRACEPARENT, written)]) == TraceContext(trace_id, span_id, is_sampled)


@given(st.binary(max_size=70), st.lists(st.binary(max_size=300), max_size=3))
def test_whatever_comes_is_read_or_not(parent: bytes, states: list[bytes]) -> None:
    states_read = [(TRACESTATE, state) for state in states]
    found = read_context([(TRACEPARENT, parent), *states_read])
    assert found is None or (any(found.trace_id) and any(found.span_id))
    good = (TRACEPARENT, write_parent(TRACE_ID, SPAN_ID, is_sampled=True))
    known = read_context([good, *states_read])
    assert known is not None
    assert known.state in (b"", b",".join(states))
