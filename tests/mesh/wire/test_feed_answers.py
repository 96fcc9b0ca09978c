from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import MeshError
from mesh.wire.feed import MAX_PACKET_OCTETS
from mesh.wire.feed_answers import (
    AnswerInvalidError,
    LiveConnection,
    MetricRow,
    ProfileRow,
    connection_answers,
    metric_answers,
    profile_answers,
    read_connections,
    read_metrics,
    read_profile,
)
from mesh.wire.feed_codec import encode
from mesh.wire.pack import pack

ROWS = st.lists(
    st.tuples(
        st.text(),
        st.lists(st.text(), max_size=4).map(tuple),
        st.lists(st.integers(-(2**60), 2**60), max_size=4).map(tuple),
    )
)
CONNECTIONS = st.lists(st.builds(LiveConnection, *(st.text() for _ in range(6))))


@pytest.mark.slow
@settings(max_examples=50)
@given(ROWS)
def test_metrics_come_back(rows: list[MetricRow]) -> None:
    body = b"".join(part.body for part in metric_answers(7, rows))
    assert read_metrics(body) == tuple(rows)


@pytest.mark.slow
@settings(max_examples=50)
@given(CONNECTIONS)
def test_connections_come_back(live: list[LiveConnection]) -> None:
    body = b"".join(part.body for part in connection_answers(7, live))
    assert read_connections(body) == tuple(live)


@pytest.mark.slow
@settings(max_examples=50)
@given(st.lists(st.tuples(st.text(), st.text(), st.integers(0, 2**60))))
def test_profiles_come_back(rows: list[ProfileRow]) -> None:
    body = b"".join(part.body for part in profile_answers(7, rows))
    assert read_profile(body) == tuple(rows)


@pytest.mark.slow
@settings(max_examples=50)
@given(st.binary(max_size=100))
def test_any_octets_are_an_answer_or_an_error_of_ours(octets: bytes) -> None:
    for read in (read_metrics, read_connections, read_profile):
        with suppress(MeshError):
            read(octets)


def test_a_long_answer_comes_in_parts_that_fit_packets() -> None:
    row: MetricRow = ("traffic", tuple("label" * 5 for _ in range(29)), (1, 2, 3, 4, 5))
    parts = list(metric_answers(7, [row] * 1000))
    assert len(parts) > 10
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    assert {part.number for part in parts} == {7}
    assert all(len(encode(part)) < MAX_PACKET_OCTETS for part in parts)


def test_an_answer_of_nothing_is_one_part() -> None:
    (part,) = metric_answers(7, [])
    assert part.last
    assert read_metrics(part.body) == ()


@pytest.mark.parametrize(
    "value", [1, ("a",), ("a", (1,), (1,)), ("a", ("b",), ("c",)), ("a", "b", "c", "d", "e", 1)]
)
def test_rows_of_another_shape_are_refused(value: object) -> None:
    for read in (read_metrics, read_connections, read_profile):
        with pytest.raises(AnswerInvalidError):
            read(pack(value))
