"""A feed over a real SOCK_SEQPACKET pair."""

import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing

from mesh.errors import PeerError
from mesh.runtime.feed_channel import FeedChannel, FeedClosedError
from mesh.wire.feed import MAX_PACKET_OCTETS, AddPod, Answer, Applied, PodInfo, Query
from mesh.wire.feed_codec import encode

POD = AddPod(PodInfo("uid", "web", "shop", "web"))


class Pair:
    """A channel, and the bare socket at its other end."""

    def __init__(self) -> None:
        ours, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel = FeedChannel(ours.detach())

    def close(self) -> None:
        self.channel.close()
        self.far.close()


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    made = Pair()
    yield made
    made.close()


@pytest.fixture
async def other(pair: Pair) -> AsyncIterator[FeedChannel]:
    """A channel at the other end, too."""
    made = FeedChannel(os.dup(pair.far.fileno()))
    yield made
    made.close()


def count_of_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_messages_come_in_order_and_whole(pair: Pair, other: FeedChannel) -> None:
    for number in range(3):
        await pair.channel.send(Applied(number))
    received = [await other.receive() for _ in range(3)]
    assert received == [(Applied(number), None) for number in range(3)]


async def test_a_descriptor_comes_along_and_is_not_inherited(
    pair: Pair, other: FeedChannel
) -> None:
    reading, writing = os.pipe()
    await pair.channel.send(POD, reading)
    packet = await other.receive()
    assert packet is not None
    message, descriptor = packet
    assert message == POD
    assert descriptor is not None
    assert not os.get_inheritable(descriptor)
    os.write(writing, b"x")
    assert os.read(descriptor, 1) == b"x"
    os.fstat(reading)  # the sender's own is still open
    for fd in (reading, writing, descriptor):
        os.close(fd)


async def test_the_end_of_the_other_process_is_an_end(pair: Pair) -> None:
    pair.far.close()
    assert await pair.channel.receive() is None
    with pytest.raises(FeedClosedError):
        await pair.channel.send(Applied(1))


async def test_so_it_is_when_it_went_with_unread_messages(pair: Pair) -> None:
    await pair.channel.send(Applied(1))
    pair.far.close()
    assert await pair.channel.receive() is None


@pytest.mark.parametrize("packet", [b"garbage", b"x" * (MAX_PACKET_OCTETS + 1)])
async def test_a_packet_that_is_no_message_leaves_the_feed_usable(
    pair: Pair, packet: bytes
) -> None:
    pair.far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MAX_PACKET_OCTETS)
    pair.far.send(packet)
    pair.far.send(encode(Applied(1)))
    with pytest.raises(PeerError):
        await pair.channel.receive()
    assert await pair.channel.receive() == (Applied(1), None)


@pytest.mark.parametrize("packet", [b"garbage", b""])
async def test_a_descriptor_that_nobody_gets_is_closed(pair: Pair, packet: bytes) -> None:
    before = count_of_descriptors()
    null = os.open(os.devnull, os.O_RDONLY)
    socket.send_fds(pair.far, [packet], [null])
    os.close(null)
    try:
        assert await pair.channel.receive() is None
    except PeerError:
        assert packet
    assert count_of_descriptors() == before


@pytest.mark.parametrize("count", [2, 3])
async def test_more_than_one_descriptor_is_no_message_and_none_stays_open(
    pair: Pair, count: int
) -> None:
    before = count_of_descriptors()
    null = os.open(os.devnull, os.O_RDONLY)
    socket.send_fds(pair.far, [encode(POD)], [null] * count)
    os.close(null)
    with pytest.raises(PeerError):
        await pair.channel.receive()
    assert count_of_descriptors() == before


async def test_a_slow_reader_blocks_the_writer_and_loses_nothing(
    pair: Pair, other: FeedChannel
) -> None:
    parts = [Answer(number, last=False, body=bytes(60_000)) for number in range(20)]
    sent = 0

    async def send() -> None:
        nonlocal sent
        for part in parts:
            await pair.channel.send(part)
            sent += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        assert sent < len(parts)
        for part in parts:
            assert await other.receive() == (part, None)


async def test_several_may_send_at_once(pair: Pair, other: FeedChannel) -> None:
    async with trio.open_nursery() as nursery:
        for number in range(30):
            nursery.start_soon(pair.channel.send, Answer(number, last=True, body=bytes(30_000)))
        received = [await other.receive() for _ in range(30)]
    numbers = [packet[0].number for packet in received if packet and isinstance(packet[0], Answer)]
    assert sorted(numbers) == list(range(30))


async def test_a_packet_made_once_serves_many(pair: Pair, other: FeedChannel) -> None:
    await pair.channel.send_packet(encode(Query(1, "metrics")))
    assert await other.receive() == (Query(1, "metrics"), None)


async def test_closing_wakes_who_waits(pair: Pair) -> None:
    async def wait() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await pair.channel.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert pair.channel.fileno() >= 0
        pair.channel.close()
    assert pair.channel.fileno() == -1
