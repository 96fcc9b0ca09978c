"""Links on sockets and streams of a real tunnel: octets, credit, half-close, reset; and joined."""

import hashlib
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest
import trio

from mesh.errors import MeshError
from mesh.runtime.http.joined import Joined, join
from mesh.runtime.http.link import FULL_OCTETS, WINDOW_OCTETS, Link, LinkUser
from mesh.runtime.http.socket_link import SocketLink
from mesh.runtime.http.stream_link import StreamLink
from mesh.runtime.relay.plain import Ending
from mesh.runtime.relay.reactor import Reactor
from mesh.runtime.relay.stream import WaitingStream
from mesh.wire.http2.frames import ErrorCode
from tests.mesh.runtime.ends import (
    read_at_random,
    reset,
    send_at_random,
    stream_of,
    tcp_pair,
)
from tests.mesh.runtime.tunnels import CONNECT, OK, Ends, make_ends, running_reactor

SECONDS = 20.0


@dataclass
class User(LinkUser):
    """Keeps what comes; credits it at once, unless told otherwise."""

    link: Link
    credits_all: bool = True
    octets: bytearray = field(default_factory=bytearray)
    ends: int = 0
    losses: list[MeshError | None] = field(default_factory=list)
    writables: int = 0

    def received(self, octets: memoryview) -> None:
        assert not self.losses
        self.octets += octets
        if self.credits_all:
            self.link.credit(len(octets))

    def ended(self) -> None:
        self.ends += 1

    def lost(self, error: MeshError | None) -> None:
        self.losses.append(error)

    def writable(self) -> None:
        self.writables += 1


async def until(condition: Callable[[], object]) -> None:
    """Wait for what the reactor does."""
    with trio.fail_after(SECONDS):
        while not condition():
            await trio.lowlevel.checkpoint()


def heard(user: User, waiting: WaitingStream) -> bool:
    return bool(user.losses) or waiting.code is not None


def has(user: User, octets: int) -> bool:
    return len(user.octets) == octets


@dataclass
class Pair:
    """Two links, each the other's far end."""

    near: Link
    far: Link

    def used(self) -> tuple[User, User]:
        users = User(self.near), User(self.far)
        self.near.use(users[0])
        self.far.use(users[1])
        return users


@asynccontextmanager
async def sockets() -> AsyncIterator[Pair]:
    async with running_reactor() as reactor:
        left, right = tcp_pair(100_000)
        scratch = memoryview(bytearray(WINDOW_OCTETS))
        pair = Pair(SocketLink(reactor, left, scratch), SocketLink(reactor, right, scratch))
        yield pair
        pair.near.reset()
        pair.far.reset()


async def tunnelled(ends: Ends) -> Pair:
    """Both ends of one stream."""
    waiting = WaitingStream()
    stream = ends.client.open(CONNECT, waiting)
    peer_stream, peer_waiting = await ends.accept()
    ends.server.answer(peer_stream, OK)
    await waiting.answered.wait()
    return Pair(
        StreamLink(ends.client, stream, waiting),
        StreamLink(ends.server, peer_stream, peer_waiting),
    )


@asynccontextmanager
async def streams() -> AsyncIterator[Pair]:
    async with running_reactor() as reactor:
        ends = await make_ends(reactor)
        yield await tunnelled(ends)
        ends.client.close()
        ends.server.close()


KINDS = {"sockets": sockets, "streams": streams}
Make = Callable[[], AbstractAsyncContextManager[Pair]]


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest) -> Make:
    return KINDS[request.param]


async def test_octets_arrive_in_order_and_whole(pair: Make) -> None:
    async with pair() as made:
        _, far = made.used()
        chance = random.Random(1)
        sent = hashlib.sha256()
        total = 0
        for _ in range(300):
            piece = chance.randbytes(chance.choice((1, 100, 5000, 20_000, 200_000)))
            sent.update(piece)
            total += len(piece)
            made.near.write(piece)
            await until(lambda: not made.near.is_full)
        await until(lambda: len(far.octets) == total)
        assert hashlib.sha256(far.octets).digest() == sent.digest()


async def test_what_is_not_credited_stops_the_sender(pair: Make) -> None:
    async with pair() as made:
        near, far = made.used()
        far.credits_all = False
        for _ in range(20_000):
            if made.near.is_full:
                break
            made.near.write(bytes(10_000))
            await trio.lowlevel.checkpoint()
        await until(lambda: len(far.octets) >= WINDOW_OCTETS)
        for _ in range(50):
            await trio.lowlevel.checkpoint()
        assert made.near.is_full
        assert len(far.octets) == WINDOW_OCTETS
        assert near.writables == 0
        far.credits_all = True
        made.far.credit(len(far.octets))
        await until(lambda: near.writables)
        assert not made.near.is_full


async def test_each_direction_ends_by_itself(pair: Make) -> None:
    async with pair() as made:
        near, far = made.used()
        made.near.write(b"question" * 30_000)
        made.near.end()
        await until(lambda: far.ends)
        assert far.octets == b"question" * 30_000
        made.far.write(b"answer")
        made.far.end()
        await until(lambda: near.losses and far.losses)
        assert near.octets == b"answer"
        assert (near.ends, near.losses, far.losses) == (1, [None], [None])
        made.near.write(b"late")
        made.near.credit(1)
        made.near.end()
        made.near.reset()


async def test_a_reset_is_a_fault_for_the_other_side_only(pair: Make) -> None:
    async with pair() as made:
        near, far = made.used()
        made.near.write(b"x")
        await until(lambda: far.octets)
        made.near.reset()
        await until(lambda: far.losses)
        assert isinstance(far.losses[0], MeshError)
        assert near.losses == []


async def test_a_link_may_change_hands(pair: Make) -> None:
    async with pair() as made:
        _, far = made.used()
        made.near.write(b"one")
        await until(lambda: far.octets)
        other = User(made.far)
        made.far.use(other)
        made.near.write(b"two")
        await until(lambda: other.octets)
        assert far.octets == b"one"
        assert other.octets == b"two"


async def test_a_stream_hands_over_what_came_before_its_user() -> None:
    async with streams() as made:
        near = User(made.near)
        made.near.use(near)
        made.near.write(b"early")
        made.near.end()
        early = made.far._early if isinstance(made.far, StreamLink) else None
        await until(lambda: early is not None and early.ended)
        far = User(made.far)
        made.far.use(far)
        assert far.octets == b"early"
        assert far.ends == 1


@pytest.mark.parametrize(
    ("code", "is_fault"),
    [(ErrorCode.CANCEL, False), (ErrorCode.NO_ERROR, False), (ErrorCode.CONNECT_ERROR, True)],
)
async def test_how_a_peer_leaves_a_stream_says_whether_it_is_a_fault(
    code: ErrorCode, *, is_fault: bool
) -> None:
    async with running_reactor() as reactor:
        ends = await make_ends(reactor)
        for is_used in (True, False):
            waiting = WaitingStream()
            stream = ends.client.open(CONNECT, waiting)
            peer_stream, peer_waiting = await ends.accept()
            ends.server.answer(peer_stream, OK)
            await waiting.answered.wait()
            link = StreamLink(ends.client, stream, waiting)
            user = User(link)
            if is_used:
                link.use(user)
            ends.server.reset(peer_stream, code)
            ends.server.forget(peer_waiting)
            await until(partial(heard, user, waiting))
            if not is_used:
                link.use(user)
            (error,) = user.losses
            assert (error is not None) is is_fault
        ends.client.close()
        ends.server.close()


async def test_a_broken_tunnel_is_a_fault() -> None:
    async with running_reactor() as reactor:
        ends = await make_ends(reactor)
        pair = await tunnelled(ends)
        near, far = pair.used()
        pair.near.write(bytes(FULL_OCTETS))
        ends.server.close()
        await until(lambda: near.losses and far.losses)
        assert near.losses[0] is not None
        ends.client.close()


async def test_what_nobody_reads_does_not_stay_charged_to_the_tunnel() -> None:
    async with running_reactor() as reactor:
        ends = await make_ends(reactor)
        for _ in range(12):
            pair = await tunnelled(ends)
            _, far = pair.used()
            far.credits_all = False
            pair.near.write(bytes(WINDOW_OCTETS))
            await until(partial(has, far, WINDOW_OCTETS))
            pair.far.reset()
        pair = await tunnelled(ends)
        _, far = pair.used()
        pair.near.write(bytes(2 * WINDOW_OCTETS))
        await until(lambda: len(far.octets) == 2 * WINDOW_OCTETS)
        ends.client.close()
        ends.server.close()


@asynccontextmanager
async def joined(
    reactor: Reactor, buffer_octets: int = 0
) -> AsyncIterator[tuple[trio.SocketStream, trio.SocketStream, Joined, list[Ending]]]:
    """near socket -> link, link -> far socket."""
    scratch = memoryview(bytearray(WINDOW_OCTETS))
    left, near = tcp_pair(buffer_octets)
    right, far = tcp_pair(buffer_octets)
    endings: list[Ending] = []
    async with stream_of(left) as left_stream, stream_of(right) as right_stream:
        made = join(
            SocketLink(reactor, near, scratch), SocketLink(reactor, far, scratch), endings.append
        )
        yield left_stream, right_stream, made, endings
        made.stop()


@pytest.mark.parametrize(("forth", "buffer_octets"), [(10_000_000, 0), (2_000_000, 16_384)])
async def test_joined_links_carry_both_directions_whole(forth: int, buffer_octets: int) -> None:
    async with (
        running_reactor() as reactor,
        joined(reactor, buffer_octets) as (left, right, made, endings),
    ):
        sent: list[str] = []
        read: list[str] = []
        with trio.fail_after(SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_at_random, left, forth, 1, sent)
                nursery.start_soon(read_at_random, right, 2, read)
                nursery.start_soon(send_at_random, right, 1_000_000, 3, sent)
                nursery.start_soon(read_at_random, left, 4, read)
            await until(lambda: endings)
        assert sorted(sent) == sorted(read)
        assert endings == [Ending.CLOSED]
        assert (made.octets_forth, made.octets_back) == (forth, 1_000_000)


async def test_a_reset_goes_through_joined_links() -> None:
    async with running_reactor() as reactor, joined(reactor) as (left, right, made, endings):
        with trio.fail_after(SECONDS):
            await left.send_all(b"hello")
            assert await right.receive_some() == b"hello"
            await reset(left)
            with pytest.raises(trio.BrokenResourceError):
                await right.receive_some()
            await until(lambda: endings)
        assert endings == [Ending.NEAR_RESET]
        assert made.error is not None


async def test_a_slow_reader_stops_a_joined_sender() -> None:
    async with running_reactor() as reactor, joined(reactor) as (left, _right, made, endings):
        with trio.move_on_after(0.15):
            while True:
                await left.send_all(bytes(100_000))
        assert made.octets_forth < 16_000_000
        made.stop()
        assert endings == [Ending.STOPPED]


async def test_a_socket_that_breaks_while_nothing_is_read_is_noticed() -> None:
    async with running_reactor() as reactor:
        left, right = tcp_pair()
        scratch = memoryview(bytearray(WINDOW_OCTETS))
        link = SocketLink(reactor, right, scratch)
        user = User(link, credits_all=False)
        link.use(user)
        left.setblocking(True)
        left.sendall(bytes(2 * WINDOW_OCTETS))
        await until(lambda: len(user.octets) == WINDOW_OCTETS)
        left.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        left.close()
        await until(lambda: user.losses)
        assert user.losses[0] is not None


async def test_writing_to_a_broken_socket_is_told_later() -> None:
    async with running_reactor() as reactor:
        left, right = tcp_pair()
        scratch = memoryview(bytearray(WINDOW_OCTETS))
        link = SocketLink(reactor, right, scratch)
        user = User(link)
        link.use(user)
        left.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        left.close()
        link.write(bytes(100_000))
        link.write(b"small")
        assert user.losses == []
        await until(lambda: user.losses)
        assert len(user.losses) == 1
