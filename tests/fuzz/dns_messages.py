"""Invariant: any octets are a question or a DnsMalformedError; a response keeps its length."""

import dns.message
import dns.rrset

from mesh.wire.dns import (
    HEADER_OCTETS,
    DnsMalformedError,
    Rcode,
    aged,
    failure,
    is_answer_to,
    lifetime,
    read_question,
)
from mesh.wire.dns_answer import own_answer


def _seeds() -> tuple[bytes, ...]:
    query = dns.message.make_query("web.example.", "A", id=7, use_edns=0)
    response = dns.message.make_response(query)
    response.answer.append(dns.rrset.from_text("web.example.", 60, "IN", "A", "192.0.2.7"))
    return query.to_wire(), response.to_wire()


SEEDS = _seeds()


def one_input(octets: bytes) -> None:
    """Take the octets for a query, and for a response to one."""
    if len(octets) < HEADER_OCTETS:
        return
    failure(octets, Rcode.FORMERR)
    query = SEEDS[0]
    asked = read_question(query)
    is_answer_to(octets, query, asked)
    places = lifetime(octets, asked).places
    if len(aged(octets, places, 5)) != len(octets):
        raise AssertionError(f"{octets!r} has another length when it is older")
    try:
        own_answer(octets, read_question(octets), "", (), is_stream=False)
    except DnsMalformedError:
        return
