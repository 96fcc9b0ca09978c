"""Two sockets joined: nothing is lost, half-close and reset arrive, memory stays bounded."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio

from mesh.runtime.relay.plain import CHUNK_OCTETS, Ending, SocketRelay
from mesh.runtime.relay.reactor import Reactor
from tests.mesh.runtime.ends import read_at_random, reset, send_at_random, stream_of, tcp_pair

SECONDS = 20.0


@dataclass
class Joined:
    left: trio.SocketStream
    right: trio.SocketStream
    relay: SocketRelay
    ended: trio.Event = field(default_factory=trio.Event)
    endings: list[Ending] = field(default_factory=list)


@pytest.fixture
async def reactor() -> AsyncIterator[Reactor]:
    bugs: list[BaseException] = []
    reactor = Reactor(bugs.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reactor.run)
        yield reactor
        nursery.cancel_scope.cancel()
    assert bugs == []


@asynccontextmanager
async def join(reactor: Reactor, buffer_octets: int = 0) -> AsyncIterator[Joined]:
    left, near = tcp_pair(buffer_octets)
    right, far = tcp_pair(buffer_octets)
    ended = trio.Event()
    endings: list[Ending] = []

    def on_end(ending: Ending) -> None:
        endings.append(ending)
        ended.set()

    relay = SocketRelay(reactor, memoryview(bytearray(CHUNK_OCTETS)), near, far, on_end)
    async with (
        stream_of(left) as left_stream,
        stream_of(right) as right_stream,
    ):
        yield Joined(left_stream, right_stream, relay, ended, endings)


@pytest.mark.parametrize(("forth", "buffer_octets"), [(20_000_000, 0), (3_000_000, 16_384)])
async def test_both_directions_arrive_whole_and_end_by_themselves(
    reactor: Reactor, forth: int, buffer_octets: int
) -> None:
    async with join(reactor, buffer_octets) as joined:
        sent: list[str] = []
        read: list[str] = []
        with trio.fail_after(SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_at_random, joined.left, forth, 1, sent)
                nursery.start_soon(read_at_random, joined.right, 2, read)
                nursery.start_soon(send_at_random, joined.right, 2_000_000, 3, sent)
                nursery.start_soon(read_at_random, joined.left, 4, read)
            await joined.ended.wait()
        assert sorted(sent) == sorted(read)
        assert joined.endings == [Ending.CLOSED]
        assert (joined.relay.octets_forth, joined.relay.octets_back) == (forth, 2_000_000)


async def test_one_direction_goes_on_after_the_other_has_ended(reactor: Reactor) -> None:
    async with join(reactor) as joined:
        with trio.fail_after(SECONDS):
            await joined.left.send_eof()
            assert await joined.right.receive_some() == b""
            await joined.right.send_all(b"late")
            assert await joined.left.receive_some() == b"late"
            await joined.right.send_eof()
            await joined.ended.wait()
        assert joined.endings == [Ending.CLOSED]


async def test_a_reset_arrives_as_a_reset(reactor: Reactor) -> None:
    async with join(reactor) as joined:
        with trio.fail_after(SECONDS):
            await joined.left.send_all(b"hello")
            assert await joined.right.receive_some() == b"hello"
            await reset(joined.left)
            with pytest.raises(trio.BrokenResourceError):
                await joined.right.receive_some()
            await joined.ended.wait()
        assert joined.endings == [Ending.NEAR_RESET]


async def fill(stream: trio.SocketStream, seconds: float) -> None:
    """Send until nobody takes anything any more."""
    with trio.move_on_after(seconds):
        while True:
            await stream.send_all(bytes(100_000))


@pytest.mark.slow
async def test_a_reader_that_stops_stops_the_sender(reactor: Reactor) -> None:
    async with join(reactor) as joined:
        await fill(joined.left, 0.3)
        taken = joined.relay.octets_forth
        assert len(joined.relay._forth.waiting) <= CHUNK_OCTETS
        assert taken < 16_000_000, "the kernel's buffers and one chunk of ours, nothing more"
        joined.relay.stop()
        with trio.fail_after(SECONDS):
            await joined.ended.wait()
        assert joined.endings == [Ending.STOPPED]


async def test_octets_in_plenty_are_taken_in_turns(reactor: Reactor) -> None:
    left, near = tcp_pair(4 * 1024 * 1024)
    right, far = tcp_pair(4 * 1024 * 1024)
    endings: list[Ending] = []
    async with stream_of(left) as left_stream, stream_of(right) as right_stream:
        await fill(left_stream, 0.05)
        scratch = memoryview(bytearray(CHUNK_OCTETS))
        relay = SocketRelay(reactor, scratch, near, far, endings.append)
        with trio.fail_after(SECONDS):
            while relay.octets_forth < 2_000_000:
                await right_stream.receive_some(1_000_000)
        relay.stop()
    assert endings == [Ending.STOPPED]


async def test_a_sink_that_is_reset_ends_what_waits_for_it(reactor: Reactor) -> None:
    async with join(reactor, 16_384) as joined:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fill, joined.left, SECONDS)
            while not joined.relay._forth.waiting:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        await reset(joined.right)
        with trio.fail_after(SECONDS):
            await joined.ended.wait()
        assert joined.endings == [Ending.FAR_RESET]


async def test_who_is_reset_is_let_go_although_the_other_side_takes_nothing(
    reactor: Reactor,
) -> None:
    async with join(reactor) as joined:
        await fill(joined.left, 0.1)
        await reset(joined.left)
        with trio.fail_after(SECONDS):
            await joined.ended.wait()
        assert joined.endings == [Ending.NEAR_RESET]


async def test_a_reset_of_the_far_side_arrives_as_a_reset(reactor: Reactor) -> None:
    async with join(reactor) as joined:
        with trio.fail_after(SECONDS):
            await joined.right.send_all(b"hello")
            assert await joined.left.receive_some() == b"hello"
            await reset(joined.right)
            with pytest.raises(trio.BrokenResourceError):
                await joined.left.receive_some()
            await joined.ended.wait()
        assert joined.endings == [Ending.FAR_RESET]


async def test_what_was_sent_before_a_half_close_is_not_lost(reactor: Reactor) -> None:
    async with join(reactor) as joined:
        with trio.fail_after(SECONDS):
            await joined.left.send_all(bytes(1_000_000))
            await joined.left.send_eof()
            got = 0
            while piece := await joined.right.receive_some():
                got += len(piece)
            assert got == 1_000_000
            await joined.right.send_eof()
            assert await joined.left.receive_some() == b""
            await joined.ended.wait()
        assert joined.endings == [Ending.CLOSED]
        joined.relay.stop()
        assert joined.endings == [Ending.CLOSED], "it ends once"


@pytest.mark.slow
async def test_hundreds_of_megabytes_arrive_whole(reactor: Reactor) -> None:
    sums: tuple[list[str], list[str]] = ([], [])

    async def both_ways(seed: int) -> None:
        async with join(reactor) as joined:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_at_random, joined.left, 80_000_000, seed, sums[0])
                nursery.start_soon(read_at_random, joined.right, seed + 1, sums[1])
                nursery.start_soon(send_at_random, joined.right, 20_000_000, seed + 2, sums[0])
                nursery.start_soon(read_at_random, joined.left, seed + 3, sums[1])
            await joined.ended.wait()

    with trio.fail_after(2 * SECONDS):
        async with trio.open_nursery() as nursery:
            for seed in range(0, 16, 4):
                nursery.start_soon(both_ways, seed)
    assert sorted(sums[0]) == sorted(sums[1])
