"""The gRPC server: real calls over real TLS, and what keeps them from starving one another."""

import contextlib
import queue
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import grpc
import pytest
import trio

from mesh.errors import DeniedError, MeshError
from mesh.runtime.grpc_bridge.server import (
    Call,
    GrpcListenFailedError,
    GrpcServer,
    KeyPair,
    Limits,
    StreamMethod,
    UnaryMethod,
)
from mesh.runtime.grpc_bridge.server_stream import ServerStream
from mesh.runtime.grpc_bridge.status import Code, Status
from tests.pki import Authority

PATIENCE_S = 10
AUTHORITY = Authority()
QUICK = Limits(grace_s=0.2)


class NotWelcomeError(DeniedError):
    """For tests."""

    code = "test_not_welcome"


def status_of(error: MeshError) -> Status:
    if isinstance(error, NotWelcomeError):
        return Status(Code.UNAUTHENTICATED, "who?")
    return Status(Code.RESOURCE_EXHAUSTED, str(error))


def welcome(call: Call) -> None:
    if call.metadata.get("authorization") != "Bearer good":
        raise NotWelcomeError


def accept_call(call: Call) -> Callable[[bytes], bytes]:
    welcome(call)

    def answer(octets: bytes) -> bytes:
        if octets == b"bug":
            raise ZeroDivisionError
        return octets.upper()

    return answer


def accept_stream(call: Call) -> Callable[[ServerStream], Awaitable[None]]:
    welcome(call)
    return echo


async def echo(stream: ServerStream) -> None:
    async with trio.open_nursery():  # as real ones do: errors come in groups
        while (octets := await stream.receive()) is not None:
            if octets == b"refuse":
                raise NotWelcomeError
            if octets == b"bug":
                raise ZeroDivisionError
            for _ in range(3 if octets == b"thrice" else 1):
                await stream.send(octets.upper())


class Client:
    """A stock gRPC client."""

    def __init__(self, port: int, roots: bytes = AUTHORITY.roots) -> None:
        self.channel = grpc.secure_channel(
            f"127.0.0.1:{port}",
            grpc.ssl_channel_credentials(roots),
            options=[
                ("grpc.ssl_target_name_override", "server"),
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.enable_http_proxy", 0),
            ],
        )

    def call(self, octets: bytes, token: str = "good") -> bytes:
        method = self.channel.unary_unary("/test.Service/Call", None, None)
        answer: bytes = method(
            octets, metadata=(("authorization", f"Bearer {token}"),), timeout=PATIENCE_S
        )
        return answer

    def stream(self, token: str = "good") -> "Stream":
        return Stream(self.channel, token)


class Stream:
    """An open stream of a stock client."""

    def __init__(self, channel: grpc.Channel, token: str) -> None:
        self.requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.call = channel.stream_stream("/test.Service/Stream", None, None)(
            self._sent(),
            metadata=(("authorization", f"Bearer {token}"),),
            timeout=PATIENCE_S * 3,
        )

    def _sent(self) -> Iterator[bytes]:
        yield from iter(self.requests.get, None)

    def ask(self, octets: bytes) -> bytes:
        self.requests.put(octets)
        answer: bytes = next(iter(self.call))
        return answer

    def failure(self) -> tuple[str, str]:
        """How it ends, when it does not end well."""
        return failure_of(lambda: next(iter(self.call)))


def key_pair() -> KeyPair:
    issued = AUTHORITY.issue(None, dns=["server"])
    return KeyPair(issued.key, issued.chain)


@contextlib.asynccontextmanager
async def serving(
    limits: Limits = QUICK, keys: Callable[[], KeyPair] | None = None
) -> AsyncIterator[int]:
    pair = key_pair()
    server = GrpcServer(
        address="127.0.0.1:0",
        key_pair=keys or (lambda: pair),
        unary=[UnaryMethod("test.Service", "Call", accept_call)],
        streams=[StreamMethod("test.Service", "Stream", accept_stream)],
        status_of=status_of,
        limits=limits,
    )
    async with trio.open_nursery() as nursery:
        port = await nursery.start(server.serve)
        yield port
        nursery.cancel_scope.cancel()


async def in_thread(action: Callable[[], object]) -> None:
    with trio.fail_after(PATIENCE_S):
        await trio.to_thread.run_sync(action)


def failure_of(action: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        action()
    return how(caught.value)


def how(error: object) -> tuple[str, str]:
    """A failed call's status."""
    return error.code().name, error.details()  # type: ignore[attr-defined]  # grpcio's errors are calls as well


def when_there_is_room(client: "Client") -> "Stream":
    """A stream that is served: a place is free when its thread has come back, a moment later."""
    while True:
        stream = client.stream()
        try:
            stream.ask(b"a")
        except grpc.RpcError as error:
            if how(error)[0] != "RESOURCE_EXHAUSTED":
                raise
        else:
            return stream


async def test_calls_and_streams_are_answered_on_one_port() -> None:
    def client(port: int) -> None:
        one = Client(port)
        assert one.call(b"hello") == b"HELLO"
        stream = one.stream()
        assert [stream.ask(b"a"), stream.ask(b"b")] == [b"A", b"B"]
        assert [stream.ask(b"thrice"), next(iter(stream.call)), next(iter(stream.call))] == [
            b"THRICE"
        ] * 3
        stream.requests.put(None)
        assert list(stream.call) == []
        assert stream.call.code() is grpc.StatusCode.OK
        one.channel.close()

    async with serving() as port:
        await in_thread(lambda: client(port))


async def test_who_is_not_welcome_is_told_so_before_it_says_anything() -> None:
    def client(port: int) -> None:
        one = Client(port)
        assert failure_of(lambda: one.call(b"x", "bad")) == ("UNAUTHENTICATED", "who?")
        assert one.stream("bad").failure() == ("UNAUTHENTICATED", "who?")
        silent = one.channel.stream_unary("/test.Service/Call", None, None)
        never: queue.SimpleQueue[None] = queue.SimpleQueue()
        call = silent.future(iter(never.get, None), timeout=PATIENCE_S)
        assert how(call.exception())[0] == "UNAUTHENTICATED"
        never.put(None)
        one.channel.close()

    async with serving() as port:
        await in_thread(lambda: client(port))


async def test_an_error_or_a_bug_ends_its_own_call_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def client(port: int) -> None:
        one = Client(port)
        stream, second, third = one.stream(), one.stream(), one.stream()
        assert stream.ask(b"a") == b"A"
        assert failure_of(lambda: one.call(b"bug"))[0] == "INTERNAL"
        second.requests.put(b"refuse")
        assert second.failure() == ("UNAUTHENTICATED", "who?")
        third.requests.put(b"bug")
        assert third.failure()[0] == "INTERNAL"
        assert stream.ask(b"b") == b"B"
        one.channel.close()

    async with serving() as port:
        await in_thread(lambda: client(port))
    assert [record.message for record in caplog.records].count("call failed") == 2


async def test_full_of_streams_it_refuses_more_and_answers_calls_all_the_same() -> None:
    """Also when many more streams than threads come at once."""

    def client(port: int) -> None:
        one = Client(port)
        streams = [one.stream() for _ in range(3)]
        assert {stream.ask(b"a") for stream in streams} == {b"A"}
        refused = [one.stream() for _ in range(40)]
        assert one.call(b"x") == b"X"
        assert {stream.failure()[0] for stream in refused} == {"RESOURCE_EXHAUSTED"}
        assert [one.call(b"y") for _ in range(20)] == [b"Y"] * 20
        assert {stream.ask(b"b") for stream in streams} == {b"B"}
        streams[0].requests.put(None)
        assert list(streams[0].call) == []
        assert when_there_is_room(one).ask(b"c") == b"C"
        one.channel.close()

    async with serving(Limits(streams=3, unary_threads=2, grace_s=0.2)) as port:
        await in_thread(lambda: client(port))


@pytest.mark.slow
async def test_calls_that_send_nothing_are_cut_off_and_hold_nobody_up() -> None:
    def client(port: int) -> None:
        one = Client(port)
        silent = one.channel.stream_unary("/test.Service/Call", None, None)
        never: queue.SimpleQueue[None] = queue.SimpleQueue()
        calls = [
            silent.future(
                iter(never.get, None),
                metadata=(("authorization", "Bearer good"),),
                timeout=PATIENCE_S,
            )
            for _ in range(2)
        ]
        assert one.call(b"x") == b"X"
        assert {how(call.exception())[0] for call in calls} == {"CANCELLED"}
        for _ in calls:
            never.put(None)
        one.channel.close()

    async with serving(Limits(unary_threads=2, read_s=0.1, grace_s=0.2)) as port:
        await in_thread(lambda: client(port))


async def test_a_client_that_leaves_frees_its_place() -> None:
    def client(port: int) -> None:
        for _ in range(5):
            one = Client(port)
            assert when_there_is_room(one).ask(b"b") == b"B"
            one.channel.close()

    async with serving(Limits(streams=1, grace_s=0.2)) as port:
        await in_thread(lambda: client(port))


@pytest.mark.slow
async def test_a_client_that_does_not_read_stops_the_sender() -> None:
    """The task's `send` waits: nothing is queued beyond what HTTP/2's windows hold."""
    sent = []

    async def flood(stream: ServerStream) -> None:
        while True:
            await stream.send(bytes(256 * 1024))
            sent.append(1)

    pair = key_pair()
    server = GrpcServer(
        address="127.0.0.1:0",
        key_pair=lambda: pair,
        unary=[],
        streams=[StreamMethod("test.Service", "Stream", lambda _: flood)],
        status_of=status_of,
        limits=Limits(grace_s=0.2),
    )
    async with trio.open_nursery() as nursery:
        one = Client(await nursery.start(server.serve))
        stream = one.stream()
        await in_thread(lambda: next(iter(stream.call)))
        seen = -1
        while seen != len(sent):
            seen = len(sent)
            await trio.sleep(0.15)
        assert len(sent) < 200
        one.channel.close()
        nursery.cancel_scope.cancel()


async def test_the_key_pair_is_renewed_without_a_restart() -> None:
    other = Authority()
    pairs = [key_pair()]

    def client(port: int) -> None:
        one = Client(port)
        assert one.call(b"a") == b"A"
        stream = one.stream()
        assert stream.ask(b"a") == b"A"
        issued = other.issue(None, dns=["server"])
        pairs[0] = KeyPair(issued.key, issued.chain)
        new, old = Client(port, other.roots), Client(port)
        assert new.call(b"b") == b"B"
        assert failure_of(lambda: old.call(b"b"))[0] == "UNAVAILABLE"
        assert stream.ask(b"c") == b"C"
        for each in (one, new, old):
            each.channel.close()

    async with serving(keys=lambda: pairs[0]) as port:
        await in_thread(lambda: client(port))


async def test_a_server_that_stops_ends_its_streams_as_unavailable() -> None:
    streams: list[Stream] = []
    opened = threading.Event()

    def client(port: int) -> None:
        one = Client(port)
        streams.append(one.stream())
        assert streams[0].ask(b"a") == b"A"
        opened.set()

    async with serving() as port:
        await in_thread(lambda: client(port))
    await in_thread(streams[0].failure)
    assert streams[0].call.code() is grpc.StatusCode.UNAVAILABLE
    assert opened.is_set()


async def test_a_port_in_use_or_a_strange_address_is_an_error_that_names_it() -> None:
    async def start(address: str) -> None:
        pair = key_pair()
        server = GrpcServer(
            address=address, key_pair=lambda: pair, unary=[], streams=[], status_of=status_of
        )
        with pytest.raises(ExceptionGroup) as caught:
            await server.serve()
        assert caught.group_contains(GrpcListenFailedError, match=address)

    with socket.create_server(("127.0.0.1", 0)) as taken:
        await start(f"127.0.0.1:{taken.getsockname()[1]}")
    async with serving() as port:
        await start(f"127.0.0.1:{port}")
    await start("192.0.2.1:1")
