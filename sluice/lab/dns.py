"""Cluster DNS: answers for the names of the zone, and says of all others that there are none."""

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import trio

from mesh.runtime.netns import inside, open_netns
from sluice.lab.store import Store
from sluice.lab.zone import Answer, Zone

DNS_PORT: Final = 53
_TTL_S: Final = 5
_MAX_QUERY_OCTETS: Final = 4096
_SMALLEST_LIMIT: Final = 512
_TYPES: Final = {
    dns.rdatatype.A: "A",
    dns.rdatatype.AAAA: "AAAA",
    dns.rdatatype.SRV: "SRV",
    dns.rdatatype.CNAME: "CNAME",
}
_IDLE_S: Final = 10.0
_AUTHORITY: Final = "ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5"

log = logging.getLogger(__name__)


def answer(octets: bytes, zone: Zone, *, is_stream: bool) -> bytes | None:
    """The response to a query; None to what is no query.

    Args:
        octets: one message (RFC 1035 section 4).
        zone: the names.
        is_stream: whether it came over TCP, where an answer may have any length.
    """
    try:
        query = dns.message.from_wire(octets)
        if query.flags & dns.flags.QR or len(query.question) != 1:
            return None
        response = dns.message.make_response(query, recursion_available=True)
    except (dns.exception.DNSException, ValueError):
        return None
    response.flags |= dns.flags.AA
    question = query.question[0]
    found = zone.find(str(question.name).rstrip("."))
    if found is None:
        response.set_rcode(dns.rcode.NXDOMAIN)
    else:
        response.answer.extend(_records(question.name, question.rdtype, found, zone))
    if not response.answer:
        response.authority.append(
            dns.rrset.from_text("cluster.local.", _TTL_S, "IN", "SOA", _AUTHORITY)
        )
    limit = 65535 if is_stream else max(query.payload, _SMALLEST_LIMIT)
    try:
        return response.to_wire(max_size=limit)
    except dns.exception.TooBig:
        return _truncated(response)


def _truncated(response: dns.message.Message) -> bytes:
    response.answer.clear()
    response.authority.clear()
    response.flags |= dns.flags.TC
    return response.to_wire()


def _records(
    name: dns.name.Name, wanted: dns.rdatatype.RdataType, found: Answer, zone: Zone
) -> Iterator[dns.rrset.RRset]:
    kind = _TYPES.get(wanted, "")
    ips = found.ips
    owner = str(name)
    if found.alias:
        yield dns.rrset.from_text(owner, _TTL_S, "IN", "CNAME", f"{found.alias}.")
        owner, ips = f"{found.alias}.", list(zone.addresses(found.alias))
    if kind in ("A", "AAAA"):
        fitting = [ip for ip in ips if (":" in ip) == (kind == "AAAA")]
        if fitting:
            yield dns.rrset.from_text(owner, _TTL_S, "IN", kind, *fitting)
    elif kind == "SRV" and found.ports:
        texts = [f"0 {100 // len(found.ports)} {port} {host}." for port, host in found.ports]
        yield dns.rrset.from_text(owner, _TTL_S, "IN", "SRV", *texts)


class _Names:
    """The zone of the store as it is now, made anew only when something has changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen = store.changed.count
        self._zone = Zone(store.objects)

    def zone(self) -> Zone:
        if self._seen != self._store.changed.count:
            self._seen = self._store.changed.count
            self._zone = Zone(self._store.objects)
        return self._zone


def _open(path: Path, address: str) -> tuple[socket.socket, socket.socket]:
    netns = open_netns(path)
    try:
        with inside(netns):
            datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            datagrams.bind((address, DNS_PORT))
            return datagrams, socket.create_server((address, DNS_PORT), backlog=128)
    finally:
        os.close(netns)


async def serve(path: Path, address: str, store: Store) -> None:
    """Answer for ever over UDP and TCP.

    Args:
        path: the namespace to listen in.
        address: where.
        store: what there is.

    Raises:
        OSError: the port is in use.

    Cancellation: stops at once.
    """
    datagrams, listener = _open(path, address)
    names = _Names(store)
    trio_listener = trio.SocketListener(_trio_socket(listener))
    async with trio.open_nursery() as both:
        both.start_soon(_serve_datagrams, _trio_socket(datagrams), names)
        both.start_soon(trio.serve_listeners, lambda s: _serve_stream(s, names), [trio_listener])


def _trio_socket(made: socket.socket) -> trio.socket.SocketType:
    return trio.socket.from_stdlib_socket(made)


async def _serve_datagrams(datagrams: trio.socket.SocketType, names: _Names) -> None:
    with datagrams:
        while True:
            octets, client = await datagrams.recvfrom(_MAX_QUERY_OCTETS)
            response = answer(octets, names.zone(), is_stream=False)
            if response is not None:
                try:
                    await datagrams.sendto(response, client)
                except OSError as error:
                    log.warning("answer to %s: %s", client[0], error)


async def _serve_stream(stream: trio.SocketStream, names: _Names) -> None:
    buffer = bytearray()
    try:
        async with stream:
            while True:
                with trio.fail_after(_IDLE_S):
                    octets = await stream.receive_some()
                if not octets:
                    return
                buffer += octets
                while (message := _message(buffer)) is not None:
                    response = answer(message, names.zone(), is_stream=True)
                    if response is None:
                        return
                    await stream.send_all(len(response).to_bytes(2) + response)
    except (trio.BrokenResourceError, trio.TooSlowError):
        return  # the client's affair


def _message(buffer: bytearray) -> bytes | None:
    """Take the first whole message out of a stream's octets (RFC 1035 section 4.2.2)."""
    length = int.from_bytes(buffer[:2])
    if len(buffer) < 2 or len(buffer) < 2 + length:
        return None
    message = bytes(buffer[2 : 2 + length])
    del buffer[: 2 + length]
    return message
