"""Responses with our own records, written by dnspython.

Writing one takes it half a millisecond, so small ones are remembered by all that they are made of:
who asks the same, and is to hear the same, hears the same octets.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from mesh.model.address import Ip, format_ip
from mesh.wire.dns import DnsMalformedError, Question, Rcode, failure, with_id

TTL_SECONDS: Final = 30
SMALLEST_LIMIT: Final = 512
"""What a client takes over UDP without EDNS."""
STREAM_LIMIT: Final = 65_535
REMEMBERED: Final = 2048
"""How many responses; each has below a kilobyte."""
_SMALL_QUERY_OCTETS: Final = 512
_FEW_ADDRESSES: Final = 8


def own_answer(
    query: bytes, question: Question, alias: str, addresses: Sequence[Ip], *, is_stream: bool
) -> bytes:
    """The response to a question for addresses whose name is ours.

    Args:
        query: the message.
        question: what it asks.
        alias: not empty: the name that it stands for, as a CNAME before the addresses.
        addresses: of the family that was asked for, in the response's order; there may be none.
        is_stream: whether it came over TCP. Over UDP a response that is too large is cut off, and
            says so.

    Raises:
        DnsMalformedError: something behind the question cannot be read.
    """
    number, rest = int.from_bytes(query[:2]), b"\0\0" + query[2:]
    is_small = len(query) <= _SMALL_QUERY_OCTETS and len(addresses) <= _FEW_ADDRESSES
    limit = STREAM_LIMIT if is_stream else 0
    write = _remembered if is_small else _written
    return with_id(write(rest, question.kind, alias, tuple(addresses), limit), number)


@lru_cache(REMEMBERED)
def _remembered(
    query: bytes, kind: int, alias: str, addresses: tuple[Ip, ...], limit: int
) -> bytes:
    return _written(query, kind, alias, addresses, limit)


def _written(query: bytes, kind: int, alias: str, addresses: tuple[Ip, ...], limit: int) -> bytes:
    try:
        asked = dns.message.from_wire(query)
        response = dns.message.make_response(asked, recursion_available=True)
    except (dns.exception.DNSException, ValueError) as error:
        raise DnsMalformedError(f"a query cannot be read: {error}") from error
    response.flags |= dns.flags.AA
    owner = asked.question[0].name
    if alias:
        target = dns.name.from_text(f"{alias}.")
        response.answer.append(_record(owner, dns.rdatatype.CNAME, target.to_text()))
        owner = target
    # Each in a set of its own: dnspython shuffles within one.
    for ip in addresses:
        response.answer.append(_record(owner, dns.rdatatype.RdataType(kind), format_ip(ip)))
    limit = limit or max(asked.payload, SMALLEST_LIMIT)
    try:
        return response.to_wire(max_size=limit, prefer_truncation=True)
    except dns.exception.DNSException:
        return failure(query, Rcode.SERVFAIL)


def _record(owner: dns.name.Name, kind: dns.rdatatype.RdataType, text: str) -> dns.rrset.RRset:
    return dns.rrset.from_text(owner, TTL_SECONDS, dns.rdataclass.IN, kind, text)
