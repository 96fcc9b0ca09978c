"""DNS messages as far as a proxy has to see into them (RFC 1035 section 4), and no farther.

```
id 2 | QR 1, opcode 4, AA TC RD 1 each | RA 1, Z 3, rcode 4 | QDCOUNT ANCOUNT NSCOUNT ARCOUNT
then the question: labels, type 2, class 2; then records: name, type 2, class 2, TTL 4, length 2
```

1. What is carried on stays as it is: only the id (each hop's own) and, out of a cache, the TTLs
   are written over, at their places.
2. Nothing here follows a compression pointer: a name is skipped, never read beyond its end.
3. What we answer ourselves is written by `mesh.wire.dns_answer`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from mesh.errors import PeerError

HEADER_OCTETS: Final = 12
MAX_NAME_OCTETS: Final = 255
TYPE_SOA: Final = 6
TYPE_OPT: Final = 41
TYPE_A: Final = 1
TYPE_AAAA: Final = 28
CLASS_IN: Final = 1

_IS_RESPONSE: Final = 0x80
_OPCODE: Final = 0x78
_RECURSION_DESIRED: Final = 0x01
_TRUNCATED: Final = 0x02
_RECURSION_AVAILABLE: Final = 0x80
_RCODE: Final = 0x0F
_POINTER: Final = 0xC0
_FIXED_OCTETS: Final = 10
_SOA_TAIL_OCTETS: Final = 20


class Rcode(IntEnum):
    """How a response went (RFC 1035 section 4.1.1)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5


class DnsMalformedError(PeerError):
    """Octets that are not a DNS message, or not one with a single question."""

    code = "dns_malformed"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked."""

    name: str
    """Lower case, without the last dot; empty for the root, and for a name that is no hostname
    (a label with a dot or an octet beyond ASCII): none of our names is such a one."""
    kind: int
    """The record type."""
    dns_class: int
    end: int
    """How many octets header and question have."""


def read_question(message: bytes) -> Question:
    """The one question of a message.

    Raises:
        DnsMalformedError: it is cut off, or there is none, or several.
    """
    if len(message) < HEADER_OCTETS:
        raise DnsMalformedError(f"a message of {len(message)} octets")
    if (count := int.from_bytes(message[4:6])) != 1:
        raise DnsMalformedError(f"{count} questions in a message")
    labels, at = _labels(message)
    if len(message) < at + 4:
        raise DnsMalformedError("a question is cut off")
    kind, dns_class = int.from_bytes(message[at : at + 2]), int.from_bytes(message[at + 2 : at + 4])
    plain = all(label.isascii() and b"." not in label for label in labels)
    name = b".".join(labels).lower().decode("ascii") if plain else ""
    return Question(name, kind, dns_class, at + 4)


def _labels(message: bytes) -> tuple[list[bytes], int]:
    labels: list[bytes] = []
    at = HEADER_OCTETS
    while True:
        if at >= len(message):
            raise DnsMalformedError("a name is cut off")
        length = message[at]
        if length & _POINTER:
            raise DnsMalformedError("a pointer in a question")
        at += 1 + length
        if at - HEADER_OCTETS > MAX_NAME_OCTETS:
            raise DnsMalformedError(f"a name of over {MAX_NAME_OCTETS} octets")
        if not length:
            return labels, at
        labels.append(message[at - length : at])


def is_response(message: bytes) -> bool:
    """Whether a message (of at least HEADER_OCTETS) answers, rather than asks."""
    return bool(message[2] & _IS_RESPONSE)


def is_truncated(message: bytes) -> bool:
    """Whether a response says that there is more, over TCP."""
    return bool(message[2] & _TRUNCATED)


def opcode_of(message: bytes) -> int:
    """0 is a query."""
    return (message[2] & _OPCODE) >> 3


def rcode_of(message: bytes) -> int:
    """The four bits of the header."""
    return message[3] & _RCODE


def with_id(message: bytes, number: int) -> bytes:
    """The same message with another id."""
    return number.to_bytes(2) + message[2:]


def is_answer_to(response: bytes, query: bytes, question: Question) -> bool:
    """Whether a response is one to a query: same id, same question (in any case of letters).

    A server that could not read the question may leave it out, when it says so by its rcode.
    """
    if len(response) < HEADER_OCTETS or not is_response(response) or response[:2] != query[:2]:
        return False
    if response[4:6] == b"\0\0":
        return rcode_of(response) not in (Rcode.NOERROR, Rcode.NXDOMAIN)
    try:
        answered = read_question(response)
    except DnsMalformedError:
        return False
    start, end = HEADER_OCTETS, question.end
    return answered.end == end and response[start:end].lower() == query[start:end].lower()


def failure(query: bytes, rcode: Rcode) -> bytes:
    """A response to a query (of at least HEADER_OCTETS) that says only how it went.

    It has the question, when there is one that can be read.
    """
    try:
        question = query[HEADER_OCTETS : read_question(query).end]
    except DnsMalformedError:
        question = b""
    flags = bytes(
        (
            _IS_RESPONSE | query[2] & (_OPCODE | _RECURSION_DESIRED),
            _RECURSION_AVAILABLE | rcode,
        )
    )
    return query[:2] + flags + (b"\0\1" if question else b"\0\0") + bytes(6) + question


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a response may be kept, and where its TTLs are."""

    seconds: int
    """0: not at all."""
    places: tuple[int, ...]


NOT_KEPT: Final = Lifetime(0, ())


def lifetime(response: bytes, question: Question) -> Lifetime:
    """How long a response may be kept (RFC 2308 section 5 for those that say that there is none).

    Only whole answers and denials are kept, and denials only with the record that says how long.
    """
    if is_truncated(response) or rcode_of(response) not in (Rcode.NOERROR, Rcode.NXDOMAIN):
        return NOT_KEPT
    answers = int.from_bytes(response[6:8])
    try:
        records = list(_records(response, question.end))
    except DnsMalformedError:
        return NOT_KEPT
    kept = [record for record in records if record.kind != TYPE_OPT]
    times = [record.ttl for record in kept]
    if not answers or rcode_of(response) == Rcode.NXDOMAIN:
        denials = [record.least for record in kept if record.kind == TYPE_SOA]
        if not denials:
            return NOT_KEPT
        times += denials
    if not times or len(response) > records[-1].end:
        return NOT_KEPT
    return Lifetime(min(times), tuple(record.ttl_at for record in kept))


def aged(response: bytes, places: tuple[int, ...], seconds: int) -> bytes:
    """A response as it is after it was kept for some seconds."""
    octets = bytearray(response)
    for place in places:
        ttl = int.from_bytes(octets[place : place + 4])
        octets[place : place + 4] = max(0, ttl - seconds).to_bytes(4)
    return bytes(octets)


@dataclass(frozen=True, slots=True)
class _Record:
    kind: int
    ttl_at: int
    ttl: int
    least: int
    """Of an SOA: how long a denial holds."""
    end: int


def _records(message: bytes, at: int) -> Iterator[_Record]:
    for _ in range(sum(int.from_bytes(message[i : i + 2]) for i in (6, 8, 10))):
        at = _skip_name(message, at)
        end = at + _FIXED_OCTETS
        if end > len(message):
            raise DnsMalformedError("a record is cut off")
        kind, ttl = int.from_bytes(message[at : at + 2]), int.from_bytes(message[at + 4 : at + 8])
        end += int.from_bytes(message[at + 8 : end])
        if end > len(message):
            raise DnsMalformedError("a record is cut off")
        is_soa = kind == TYPE_SOA and end - at >= _FIXED_OCTETS + _SOA_TAIL_OCTETS
        # A TTL with its highest bit set is none (RFC 2181 section 8).
        ttl = ttl if ttl < 1 << 31 else 0
        yield _Record(
            kind, at + 4, ttl, int.from_bytes(message[end - 4 : end]) if is_soa else 0, end
        )
        at = end


def _skip_name(message: bytes, at: int) -> int:
    while at < len(message):
        length = message[at]
        if length & _POINTER == _POINTER:
            return at + 2
        if length & _POINTER:
            break
        at += 1 + length
        if not length:
            return at
    raise DnsMalformedError("a record's name is cut off")
