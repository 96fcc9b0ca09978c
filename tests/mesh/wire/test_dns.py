"""DNS messages: what is read of them, what is refused, and what a cache may do with them."""

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.model.address import parse_ip
from mesh.wire.dns import (
    NOT_KEPT,
    DnsMalformedError,
    Rcode,
    aged,
    failure,
    is_answer_to,
    lifetime,
    opcode_of,
    rcode_of,
    read_question,
    with_id,
)
from mesh.wire.dns_answer import own_answer


def query(name: str = "Web.example.com.", kind: str = "A", *, payload: int = 0) -> bytes:
    made = dns.message.make_query(name, kind, id=0x1234)
    if payload:
        made.use_edns(0, payload=payload)
    return made.to_wire()


def reply(to: bytes, *records: str, rcode: int = 0, authority: str = "") -> bytes:
    made = dns.message.make_response(dns.message.from_wire(to))
    made.set_rcode(dns.rcode.Rcode(rcode))
    for record in records:
        made.answer.append(dns.rrset.from_text(*record.split(maxsplit=4)))  # type: ignore[arg-type]
    if authority:
        made.authority.append(dns.rrset.from_text(*authority.split(maxsplit=4)))  # type: ignore[arg-type]
    return made.to_wire()


def test_a_question_is_read_in_lower_case() -> None:
    question = read_question(query())
    assert (question.name, question.kind, question.dns_class) == ("web.example.com", 1, 1)
    assert question.end == len(query())


def test_names_that_are_no_hostnames_are_read_as_none() -> None:
    assert read_question(query("a\\.b.example.")).name == ""
    assert read_question(query("\\255.example.")).name == ""
    assert read_question(query(".")).name == ""


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        query()[:11],
        query()[:15],
        query()[:-1],
        query()[:4] + b"\0\0" + query()[6:],
        query()[:4] + b"\0\2" + query()[6:],
        query()[:12] + b"\xc0\x0c\0\1\0\1",
        query()[:12] + (b"\x3f" + b"a" * 63) * 5 + b"\0\0\1\0\1",
        query()[:12] + b"\x40" + b"a" * 64 + b"\0\0\1\0\1",
    ],
)
def test_what_is_no_question_is_refused(octets: bytes) -> None:
    with pytest.raises(DnsMalformedError):
        read_question(octets)


def test_only_the_same_id_and_question_make_an_answer() -> None:
    asked = query()
    question = read_question(asked)
    good = reply(asked, "web.example.com. 60 IN A 192.0.2.7")
    assert is_answer_to(good, asked, question)
    assert is_answer_to(good.replace(b"\3Web", b"\3wEB"), asked, question)
    assert not is_answer_to(with_id(good, 1), asked, question)
    assert not is_answer_to(asked, asked, question)
    assert not is_answer_to(reply(query("other.example.")), asked, question)
    assert not is_answer_to(reply(query(kind="AAAA")), asked, question)
    assert not is_answer_to(good[:20], asked, question)
    bare = good[:4] + bytes(8)
    assert not is_answer_to(bare, asked, question)
    assert is_answer_to(bare[:3] + b"\1" + bare[4:], asked, question)


def test_a_failure_keeps_id_opcode_and_question() -> None:
    asked = dns.message.make_query("web.example.", "A", id=7)
    asked.set_opcode(dns.opcode.NOTIFY)
    told = dns.message.from_wire(failure(asked.to_wire(), Rcode.NOTIMP))
    assert (told.id, told.opcode(), told.rcode()) == (7, dns.opcode.NOTIFY, dns.rcode.NOTIMP)
    assert told.question == asked.question
    assert told.flags & dns.flags.QR
    assert opcode_of(asked.to_wire()) == 4
    cut = failure(query()[:20], Rcode.FORMERR)
    assert (len(cut), rcode_of(cut)) == (12, Rcode.FORMERR)


def test_an_answer_is_kept_as_long_as_its_shortest_record() -> None:
    asked = query()
    told = reply(asked, "web.example.com. 60 IN A 192.0.2.7", "web.example.com. 20 IN TXT x")
    kept = lifetime(told, read_question(asked))
    assert kept.seconds == 20
    older = dns.message.from_wire(aged(told, kept.places, 15))
    assert [rrset.ttl for rrset in older.answer] == [45, 5]
    assert aged(told, kept.places, 0) == told


SOA = "example.com. 50 IN SOA ns.example. me.example. 1 2 3 4 9"


@pytest.mark.parametrize("rcode", [0, 3])
def test_a_denial_is_kept_as_long_as_its_zone_says(rcode: int) -> None:
    asked = query()
    denial = reply(asked, rcode=rcode, authority=SOA)
    assert lifetime(denial, read_question(asked)).seconds == 9
    assert lifetime(reply(asked, rcode=rcode), read_question(asked)) == NOT_KEPT


def test_failures_and_what_is_cut_off_are_not_kept() -> None:
    asked = query()
    question = read_question(asked)
    told = reply(asked, "web.example.com. 60 IN A 192.0.2.7")
    assert lifetime(reply(asked, rcode=2, authority=SOA), question) == NOT_KEPT
    assert lifetime(told[:2] + bytes((told[2] | 2,)) + told[3:], question) == NOT_KEPT
    assert lifetime(told[:-1], question) == NOT_KEPT
    assert lifetime(told + b"x", question) == NOT_KEPT
    assert lifetime(reply(asked, "web.example.com. 0 IN A 192.0.2.7"), question).seconds == 0


def answered(asked: bytes, *ips: str, alias: str = "", is_stream: bool = False) -> bytes:
    addresses = [parse_ip(ip) for ip in ips]
    return own_answer(asked, read_question(asked), alias, addresses, is_stream=is_stream)


def test_our_answer_is_authoritative_and_lasts_thirty_seconds() -> None:
    told = dns.message.from_wire(answered(query(payload=1232), "10.0.0.1", "10.0.0.2"))
    assert told.id == 0x1234
    assert told.flags & dns.flags.AA
    assert told.flags & dns.flags.RA
    assert told.flags & dns.flags.RD
    assert told.edns == 0
    assert [str(rrset) for rrset in told.answer] == [
        "Web.example.com. 30 IN A 10.0.0.1\nWeb.example.com. 30 IN A 10.0.0.2"
    ]


def test_an_alias_comes_before_the_addresses_of_what_it_stands_for() -> None:
    told = dns.message.from_wire(answered(query(kind="AAAA"), "fd00::1", alias="db.example.org"))
    assert [str(rrset) for rrset in told.answer] == [
        "Web.example.com. 30 IN CNAME db.example.org.",
        "db.example.org. 30 IN AAAA fd00::1",
    ]


def test_who_asks_again_hears_the_same_under_an_id_and_a_spelling_of_its_own() -> None:
    first, again = query(), with_id(query(), 7)
    assert answered(again, "10.0.0.1") == with_id(answered(first, "10.0.0.1"), 7)
    assert answered(first, "10.0.0.2") != answered(first, "10.0.0.1")
    other = dns.message.from_wire(answered(query("wEB.example.com."), "10.0.0.1"))
    assert str(other.question[0].name) == "wEB.example.com."


def test_no_address_is_an_answer_without_records() -> None:
    told = dns.message.from_wire(answered(query()))
    assert (told.rcode(), told.answer) == (dns.rcode.NOERROR, [])


def test_what_does_not_fit_a_datagram_is_cut_off_and_says_so() -> None:
    many = [f"10.0.{i}.1" for i in range(100)]
    short = answered(query(), *many)
    assert len(short) <= 512
    assert dns.message.from_wire(short).flags & dns.flags.TC
    assert len(dns.message.from_wire(answered(query(payload=4096), *many)).answer[0]) == 100
    assert len(dns.message.from_wire(answered(query(), *many, is_stream=True)).answer[0]) == 100


@given(st.binary(max_size=300))
def test_garbage_raises_only_our_own(octets: bytes) -> None:
    try:
        question = read_question(octets)
        own_answer(octets, question, "", (), is_stream=False)
    except DnsMalformedError:
        pass
    if len(octets) >= 12:
        failure(octets, Rcode.FORMERR)
        is_answer_to(octets, query(), read_question(query()))


@given(st.integers(0, 200), st.integers(0, 255), st.integers(0, 200))
def test_a_response_cut_or_changed_anywhere_is_kept_or_not(at: int, value: int, end: int) -> None:
    asked = query()
    octets = bytearray(reply(asked, "web.example.com. 60 IN A 192.0.2.7", authority=SOA))
    octets[at % len(octets)] = value
    cut = bytes(octets[: max(12, end)])
    kept = lifetime(cut, read_question(asked))
    assert len(aged(cut, kept.places, 5)) == len(cut)
