import trio
import trio.testing

from mesh.model.span import Span, SpanKind
from mesh.wire.feed import MAX_PACKET_OCTETS
from mesh.wire.feed_codec import encode
from mesh.wire.spans import pack_span, read_spans
from waypoint.worker.spans import PART_OCTETS, SpanBuffer


def span(number: int, text: str = "") -> Span:
    return Span(
        trace_id=b"t" * 16,
        span_id=number.to_bytes(8),
        name="n",
        kind=SpanKind.CLIENT,
        start_ns=1,
        end_ns=2,
        attributes=(("text", text),),
    )


def test_messages_have_every_span_once_and_fit_their_packets() -> None:
    buffer = SpanBuffer()
    for number in range(1, 301):
        buffer.put(span(number, "x" * (number * 7 % 1024)))
    heard = []
    while (part := buffer.take()) is not None:
        assert len(encode(part)) < MAX_PACKET_OCTETS
        spans = read_spans(part.octets)
        assert (part.count, part.lost) == (len(spans), 0)
        heard += [int.from_bytes(one.span_id) for one in spans]
    assert heard == list(range(1, 301))


def test_what_does_not_fit_is_counted_and_told_once() -> None:
    size = len(pack_span(span(1)))
    buffer = SpanBuffer(max_octets=2 * size)
    for number in range(1, 6):
        buffer.put(span(number))
    first = buffer.take()
    assert first is not None
    assert (first.count, first.lost) == (2, 3)
    assert buffer.take() is None
    buffer.put(span(6))
    again = buffer.take()
    assert again is not None
    assert (again.count, again.lost) == (1, 0)


async def test_a_full_message_need_not_wait_for_more(
    autojump_clock: trio.testing.MockClock,
) -> None:
    buffer = SpanBuffer()
    buffer.put(span(1))
    with trio.move_on_after(1) as patience:
        await buffer.wait_full()
    assert patience.cancelled_caught
    async with trio.open_nursery() as tasks:
        tasks.start_soon(buffer.wait_full)
        await trio.testing.wait_all_tasks_blocked()
        buffer.put(span(2, "x" * PART_OCTETS))
    await buffer.wait_full()
    assert autojump_clock.rate == 0
