"""15053: a pod's DNS queries. Names of the mesh are answered here, all others carried on.

1. Listeners are at the loopback addresses, where the pod's rules redirect queries to: from another
   one the answer would leave by the pod's address, and the kernel would not know it for an answer.
2. What can be answered now gets no task: names that are ours, kept answers, and refusals.
3. A pod may have MOST_QUERIES waiting, and MOST_STREAMS connections: what is more is refused, and
   the other pods of the node do not notice.
"""

import logging
import random
import socket
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from mesh.errors import MeshError
from mesh.model.names import DNS_PORT
from mesh.model.workload import Workload
from mesh.observe.dns_metrics import (
    REQUESTS,
    UPSTREAM_FAILURES,
    UPSTREAM_REQUESTS,
    labels_of,
)
from mesh.routing.names import V4_OCTETS, V6_OCTETS, Naming, resolve
from mesh.runtime.worker.sockets import SocketName
from mesh.wire.dns import (
    CLASS_IN,
    HEADER_OCTETS,
    TYPE_A,
    TYPE_AAAA,
    DnsMalformedError,
    Question,
    Rcode,
    failure,
    is_response,
    opcode_of,
    rcode_of,
    read_question,
)
from mesh.wire.dns_answer import own_answer
from ztunnel.worker.context import Context
from ztunnel.worker.dns_cache import Cache
from ztunnel.worker.dns_forward import Forwarder
from ztunnel.worker.dns_servers import Servers
from ztunnel.worker.dns_sockets import DnsSockets
from ztunnel.worker.local import LocalWorkload

MAX_QUERY_OCTETS: Final = 65_535
MOST_QUERIES: Final = 256
MOST_STREAMS: Final = 64
BURST: Final = 64
"""How many queries are taken before others have their turn."""
IDLE_SECONDS: Final = 10.0
NEW_POD_SECONDS: Final = 2.0
"""How long a query waits for the control plane to know the pod."""
_FAMILIES: Final = {TYPE_A: V4_OCTETS, TYPE_AAAA: V6_OCTETS}

BUG: Final = "a bug in the DNS proxy; its query fails"

log = logging.getLogger("dns")


@dataclass(slots=True)
class _Load:
    queries: int = 0
    streams: int = 0


class PodDns:
    """The DNS server of one pod."""

    def __init__(
        self, context: Context, local: LocalWorkload, netns: int, listening: DnsSockets
    ) -> None:
        """Answer from now on, once `run` does; the sockets are this one's, `netns` is not."""
        config = context.config
        self._context = context
        self._local = local
        self._sockets = listening
        self._naming = Naming(
            domain=config.cluster_domain,
            network=config.network,
            preferred_namespace=config.preferred_service_namespace,
            ipv6=config.ipv6_enabled,
        )
        self._servers = Servers(config.dns_servers)
        self._forwarder = Forwarder(netns, config.packet_mark)
        self._cache = Cache()
        self._load = _Load()
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        """Serve until `stop`.

        Cancellation: as `stop`.
        """
        try:
            with self._scope:
                async with trio.open_nursery() as queries:
                    for datagrams in self._sockets.datagrams:
                        queries.start_soon(self._serve_datagrams, datagrams, queries)
                    listeners = [
                        trio.SocketListener(trio.socket.from_stdlib_socket(each))
                        for each in self._sockets.listeners
                    ]
                    if listeners:
                        await trio.serve_listeners(self._serve_stream, listeners)
        finally:
            self._sockets.close()

    def stop(self) -> None:
        """Answer nothing any more. Twice is fine."""
        self._scope.cancel()

    async def _serve_datagrams(self, datagrams: socket.socket, queries: trio.Nursery) -> None:
        while True:
            await trio.lowlevel.wait_readable(datagrams)
            for _ in range(BURST):
                try:
                    query, client = datagrams.recvfrom(MAX_QUERY_OCTETS)
                except BlockingIOError:
                    break
                except OSError as error:
                    log.debug("a query is lost: %s", error)
                    continue
                if len(query) < HEADER_OCTETS:
                    continue
                response = self._answer_now(query, is_stream=False)
                if response is None:
                    queries.start_soon(self._answer_datagram, datagrams, query, client)
                else:
                    _send(datagrams, response, client)

    async def _answer_datagram(
        self, datagrams: socket.socket, query: bytes, client: SocketName
    ) -> None:
        _send(datagrams, await self._answer_later(query, is_stream=False), client)

    async def _serve_stream(self, stream: trio.SocketStream) -> None:
        if self._load.streams >= MOST_STREAMS:
            await trio.aclose_forcefully(stream)
            return
        self._load.streams += 1
        try:
            async with stream, trio.open_nursery() as queries:
                sending = trio.Lock()
                reader = _Messages(stream)
                while (query := await reader.next()) is not None:
                    response = self._answer_now(query, is_stream=True)
                    if response is None:
                        queries.start_soon(self._answer_stream, stream, sending, query)
                    else:
                        await _send_stream(stream, sending, response)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as ended:
            log.debug("a client's connection ended: %s", ended)
        finally:
            self._load.streams -= 1

    async def _answer_stream(
        self, stream: trio.SocketStream, sending: trio.Lock, query: bytes
    ) -> None:
        response = await self._answer_later(query, is_stream=True)
        await _send_stream(stream, sending, response)

    def _answer_now(self, query: bytes, *, is_stream: bool) -> bytes | None:
        """The answer, when nobody has to be asked or waited for; else a place is taken for it."""
        try:
            question = _checked(query)
        except DnsMalformedError:
            is_odd = not is_response(query) and opcode_of(query)
            return failure(query, Rcode.NOTIMP if is_odd else Rcode.FORMERR)
        client = self._local.now()
        labels = labels_of(question.kind, client, is_stream=is_stream)
        self._context.metrics.dns.count(REQUESTS, labels)
        if client is not None:
            response = self._own(client, query, question, is_stream=is_stream)
            if response is None:
                now = trio.current_time()
                response = self._cache.find(query, now, is_stream=is_stream)
            if response is not None:
                return response
        if self._load.queries >= MOST_QUERIES:
            _log(question, "refused", failure(query, Rcode.REFUSED), code="dns_limit")
            return failure(query, Rcode.REFUSED)
        self._load.queries += 1
        return None

    async def _answer_later(self, query: bytes, *, is_stream: bool) -> bytes:
        """The answer to a query that `_answer_now` took a place for."""
        try:
            question = read_question(query)
            client = await self._client()
            if client is None:
                return failure(query, Rcode.SERVFAIL)
            response = self._own(client, query, question, is_stream=is_stream)
            if response is not None:
                return response
            return await self._carry_on(client, query, question, is_stream=is_stream)
        except Exception:
            log.exception(BUG)  # about one query: it is that query's
            return failure(query, Rcode.SERVFAIL)
        finally:
            self._load.queries -= 1

    async def _client(self) -> Workload | None:
        if (client := self._local.now()) is not None:
            return client
        try:
            with trio.move_on_after(NEW_POD_SECONDS):
                return await self._local.wait()
        except MeshError:
            pass
        return None

    def _own(
        self, client: Workload, query: bytes, question: Question, *, is_stream: bool
    ) -> bytes | None:
        octets = _FAMILIES.get(question.kind)
        if octets is None or question.dns_class != CLASS_IN:
            return None
        try:
            found = resolve(self._context.world, self._naming, client, question.name, octets)
            if found is None:
                return None
            addresses = list(found.addresses)
            random.shuffle(addresses)
            response = own_answer(query, question, found.alias, addresses, is_stream=is_stream)
        except DnsMalformedError:
            return failure(query, Rcode.FORMERR)
        except Exception:
            log.exception(BUG)  # about one query: it is that query's
            return failure(query, Rcode.SERVFAIL)
        _log(question, "answered", response)
        return response

    async def _carry_on(
        self, client: Workload, query: bytes, question: Question, *, is_stream: bool
    ) -> bytes:
        metrics = self._context.metrics.dns
        labels = labels_of(question.kind, client, is_stream=is_stream)
        metrics.count(UPSTREAM_REQUESTS, labels)
        began = trio.current_time()
        ask = partial(self._forwarder.ask, self._servers.now(began), is_stream=is_stream)
        try:
            response = await ask(query, question)
        except MeshError as error:
            metrics.count(UPSTREAM_FAILURES, labels)
            response = failure(query, Rcode.SERVFAIL)
            _log(question, "failed", response, code=error.code, error=str(error))
            return response
        now = trio.current_time()
        metrics.observe_upstream(labels, now - began)
        self._cache.keep(query, question, response, now, is_stream=is_stream)
        _log(question, "carried on", response)
        return response


class _Messages:
    """The messages of a stream (RFC 1035 section 4.2.2)."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._got = bytearray()

    async def next(self) -> bytes | None:
        """The next one; None at the end, after a pause, and where there is none."""
        while (message := self._take()) is None:
            with trio.move_on_after(IDLE_SECONDS):
                if part := await self._stream.receive_some():
                    self._got += part
                    continue
            return None
        return message if len(message) >= HEADER_OCTETS else None

    def _take(self) -> bytes | None:
        end = 2 + int.from_bytes(self._got[:2])
        if len(self._got) < max(2, end):
            return None
        message = bytes(self._got[2:end])
        del self._got[:end]
        return message


def _checked(query: bytes) -> Question:
    if is_response(query) or opcode_of(query):
        raise DnsMalformedError("not a query")
    return read_question(query)


def _send(datagrams: socket.socket, response: bytes, client: SocketName) -> None:
    if client[1] == DNS_PORT:
        return  # two servers that refuse each other's refusals would never end
    try:
        datagrams.sendto(response, client)
    except OSError as error:
        log.debug("an answer is lost: %s", error)


async def _send_stream(stream: trio.SocketStream, sending: trio.Lock, response: bytes) -> None:
    with trio.fail_after(IDLE_SECONDS):
        async with sending:
            await stream.send_all(len(response).to_bytes(2) + response)


def _log(question: Question, what: str, response: bytes, **fields: str) -> None:
    if log.isEnabledFor(logging.DEBUG):
        rcode = rcode_of(response)
        told = {"name_asked": question.name, "type": question.kind, "rcode": rcode, **fields}
        log.debug(what, extra=told)
