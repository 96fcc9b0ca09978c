"""Responses with our own records, written by dnspython."""

from collections.abc import Sequence
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from mesh.model.address import Ip, format_ip
from mesh.wire.dns import DnsMalformedError, Question, Rcode, failure

TTL_SECONDS: Final = 30
SMALLEST_LIMIT: Final = 512
"""What a client takes over UDP without EDNS."""
STREAM_LIMIT: Final = 65_535


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
    try:
        asked = dns.message.from_wire(query)
        response = dns.message.make_response(asked, recursion_available=True)
    except (dns.exception.DNSException, ValueError) as error:
        raise DnsMalformedError(f"a query cannot be read: {error}") from error
    response.flags |= dns.flags.AA
    owner, kind = asked.question[0].name, dns.rdatatype.RdataType(question.kind)
    if alias:
        target = dns.name.from_text(f"{alias}.")
        response.answer.append(_records(owner, dns.rdatatype.CNAME, target.to_text()))
        owner = target
    if addresses:
        response.answer.append(_records(owner, kind, *map(format_ip, addresses)))
    limit = STREAM_LIMIT if is_stream else max(asked.payload, SMALLEST_LIMIT)
    try:
        return response.to_wire(max_size=limit, prefer_truncation=True)
    except dns.exception.DNSException:
        return failure(query, Rcode.SERVFAIL)


def _records(owner: dns.name.Name, kind: dns.rdatatype.RdataType, *texts: str) -> dns.rrset.RRset:
    return dns.rrset.from_text(owner, TTL_SECONDS, dns.rdataclass.IN, kind, *texts)
