"""Carries queries that are not ours on to the servers, and their answers back, as they are.

1. Each query has a socket of its own, in the pod's namespace and with our mark: so the source port
   is the kernel's choice, the kernel lets in only what comes from the server, and what was asked by
   one query cannot be answered to another. The id is random, too.
2. What is no answer to the question is passed over, and the true one still waited for.
3. A server that says nothing for STAGGER_SECONDS gets company, not replaced: the first good answer
   counts, whoever gives it. Which one was good is remembered, so that a dead server is not asked
   first every time.
"""

import secrets
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from mesh.errors import MeshError, UnavailableError
from mesh.model.address import SocketAddress, format_ip
from mesh.runtime.netns import socket_in
from mesh.runtime.worker import sockets
from mesh.wire.dns import Question, Rcode, is_answer_to, rcode_of, with_id

ANSWER_SECONDS: Final = 5.0
STAGGER_SECONDS: Final = 1.0
ROUNDS: Final = 2
MAX_OCTETS: Final = 65_535
_HOPELESS: Final = frozenset({Rcode.SERVFAIL, Rcode.REFUSED})
_LOOPBACK_V4: Final = 127

Ask = Callable[[SocketAddress, bytes, Question], Awaitable[bytes]]


class DnsUnansweredError(UnavailableError):
    """No DNS server had an answer in time."""

    code = "dns_unanswered"


@dataclass(slots=True)
class _Race:
    """Several servers are asked the same."""

    response: bytes = b""
    is_good: bool = False
    asked: int = 0
    failed: int = 0
    changed: trio.Event = field(default_factory=trio.Event)

    def note(self) -> None:
        self.changed.set()
        self.changed = trio.Event()


class Forwarder:
    """The way to the servers for one pod."""

    def __init__(self, netns: int, packet_mark: int | None) -> None:
        """`netns` has to stay open as long as queries run."""
        self._netns = netns
        self._mark = packet_mark
        self._best: SocketAddress | None = None

    async def ask(
        self,
        servers: tuple[SocketAddress, ...],
        query: bytes,
        question: Question,
        *,
        is_stream: bool,
    ) -> bytes:
        """A server's answer, with the id of the query.

        Raises:
            DnsUnansweredError: there is none within ANSWER_SECONDS.

        Cancellation: nobody waits for the answer any more.
        """
        ask = self._ask_stream if is_stream else self._ask_datagram
        order = sorted(servers, key=lambda server: server != self._best)
        race = _Race()
        with trio.move_on_after(ANSWER_SECONDS):
            await self._run(race, ask, order * ROUNDS, query, question)
        if not race.response:
            raise DnsUnansweredError(f"no answer from {', '.join(map(str, servers)) or 'nobody'}")
        return with_id(race.response, int.from_bytes(query[:2]))

    async def _run(
        self, race: _Race, ask: Ask, order: list[SocketAddress], query: bytes, question: Question
    ) -> None:
        async with trio.open_nursery() as attempts:

            async def attempt(server: SocketAddress) -> None:
                sent = with_id(query, secrets.randbelow(1 << 16))
                try:
                    response = await ask(server, sent, question)
                except (OSError, MeshError, trio.BrokenResourceError):
                    response = b""
                if response:
                    race.response = response
                    race.is_good = rcode_of(response) not in _HOPELESS
                if race.is_good:
                    self._best = server
                    attempts.cancel_scope.cancel()
                race.failed += 1
                race.note()

            for server in order:
                race.asked += 1
                attempts.start_soon(attempt, server)
                with trio.move_on_after(STAGGER_SECONDS):
                    while race.failed < race.asked:
                        await race.changed.wait()
                # A refusal by everybody is an answer: asking again would not change it.
                if race.response and race.asked >= len(order) // ROUNDS:
                    break

    def _socket(self, server: SocketAddress, kind: int) -> socket.socket:
        family = socket.AF_INET if len(server.ip) == 4 else socket.AF_INET6
        if _is_loopback(server):  # of the proxy's own namespace: in the pod nobody is there
            made = socket.socket(family, kind)
            made.setblocking(False)
        else:
            made = socket_in(self._netns, family, kind)
        try:
            sockets.mark(made, self._mark)
        except OSError:
            made.close()
            raise
        return made

    async def _ask_datagram(self, server: SocketAddress, query: bytes, question: Question) -> bytes:
        with self._socket(server, socket.SOCK_DGRAM) as made:
            made.connect((format_ip(server.ip), server.port))
            made.send(query)
            while True:
                await trio.lowlevel.wait_readable(made)
                try:
                    response = made.recv(MAX_OCTETS)
                except BlockingIOError:
                    continue
                if is_answer_to(response, query, question):
                    return response

    async def _ask_stream(self, server: SocketAddress, query: bytes, question: Question) -> bytes:
        made = trio.socket.from_stdlib_socket(self._socket(server, socket.SOCK_STREAM))
        with made:
            await made.connect((format_ip(server.ip), server.port))
            stream = trio.SocketStream(made)
            await stream.send_all(len(query).to_bytes(2) + query)
            while True:
                length = int.from_bytes(await _exactly(stream, 2))
                response = await _exactly(stream, length)
                if is_answer_to(response, query, question):
                    return response


def _is_loopback(server: SocketAddress) -> bool:
    if len(server.ip) == 4:
        return server.ip[0] == _LOOPBACK_V4
    return server.ip == bytes(15) + b"\1"


async def _exactly(stream: trio.SocketStream, octets: int) -> bytes:
    got = bytearray()
    while len(got) < octets:
        part = await stream.receive_some(octets - len(got))
        if not part:
            raise DnsUnansweredError("the server ended the connection before its answer")
        got += part
    return bytes(got)
