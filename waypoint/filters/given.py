"""What a filter gave back, read as what a stranger sends: wrong until it is known to be right.

1. Filters see no field that is the connection's or the framing's, and set none: a head keeps its
   own.
2. Who has called is shown to them, and is not theirs to say.
3. Nothing that they give can change where a message ends: neither a line in a name or a value, nor
   a method or a status by which there is content, or none.
"""

import re
from dataclasses import dataclass
from typing import Final

from mesh.routing.http.filters import UNTOUCHABLE
from mesh.wire.http.messages import Fields, RequestHead, ResponseHead
from mesh.wire.http1.fields import MAX_FIELDS, MAX_HEAD_OCTETS, MAX_LINE_OCTETS
from mesh.wire.http1.targets import is_authority
from mesh.wire.pack import Packed
from waypoint.filters.failures import FilterFailedError
from waypoint.filters.messages import MAX_PIECE_OCTETS
from waypoint.filters.process import Results

OURS: Final = frozenset((b"forwarded", b"x-forwarded-client-cert"))
"""Say who has called."""
WITHOUT_CONTENT: Final = frozenset((204, 205, 304))
MAX_CHANGED_OCTETS: Final = 2 * MAX_PIECE_OCTETS
"""What may become of one piece."""

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_PATH: Final = re.compile(rb"/[\x21\x22\x24-\x7e]*")
_UNCHANGED_METHODS: Final = frozenset((b"HEAD", b"CONNECT"))


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of a filter's own."""

    status: int
    fields: Fields
    content: bytes


def shown(fields: Fields) -> tuple[Packed, ...]:
    """A head's fields, as a filter sees them."""
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in fields
        if name not in UNTOUCHABLE
    )


def take_request(results: Results, head: RequestHead) -> Reply | None:
    """Do to a request's head what `request()` gave; its reply if it answers by itself.

    Args:
        results: from the filters' process.
        head: changed in place, and only when all of it is right.

    Raises:
        FilterFailedError: it is not right.
    """
    match results:
        case (str(method), str(target), str(authority), tuple(pairs), answer):
            pass
        case _:
            raise FilterFailedError("request() gave no head")
    verb = _method(_octets(method, "method"), head.method)
    path = _target(_octets(target, "target"), verb)
    host = _octets(authority, "authority")
    if host != head.authority and not is_authority(host):
        raise FilterFailedError(f"the authority {authority!r:.80} is none")
    if len(verb) + len(path) + len(host) > MAX_LINE_OCTETS:
        raise FilterFailedError(f"method, target and authority exceed {MAX_LINE_OCTETS} octets")
    fields = _kept(head.fields, UNTOUCHABLE | OURS) + _fields(pairs, UNTOUCHABLE | OURS)
    reply = None if answer is None else _reply(answer)
    head.method, head.target, head.authority = verb, path, host
    head.fields[:] = fields
    return reply


def take_response(results: Results, head: ResponseHead) -> None:
    """Do to an answer's head what `response()` gave.

    Args:
        results: from the filters' process.
        head: changed in place, and only when all of it is right.

    Raises:
        FilterFailedError: it is not right.
    """
    match results:
        case (int(number), tuple(pairs)):
            status = _status(number)
        case _:
            raise FilterFailedError("response() gave no head")
    if (status in WITHOUT_CONTENT or head.status in WITHOUT_CONTENT) and status != head.status:
        raise FilterFailedError(f"the status cannot become {status}: it was {head.status}")
    fields = _kept(head.fields, UNTOUCHABLE) + _fields(pairs, UNTOUCHABLE)
    head.status, head.fields[:] = status, fields


def take_piece(results: Results) -> bytes:
    """What became of a piece of content.

    Raises:
        FilterFailedError: it is no piece, or too large.
    """
    match results:
        case (bytes(piece),) if len(piece) <= MAX_CHANGED_OCTETS:
            return piece
        case (bytes(),):
            raise FilterFailedError(f"a piece became more than {MAX_CHANGED_OCTETS} octets")
        case _:
            raise FilterFailedError("a piece became no octets")


def _reply(answer: Packed) -> Reply:
    match answer:
        case (int(number), tuple(pairs), bytes(content)):
            status = _status(number)
        case _:
            raise FilterFailedError("the answer is none")
    if content and status in WITHOUT_CONTENT:
        raise FilterFailedError(f"an answer with {status} has no content")
    return Reply(status, _fields(pairs, UNTOUCHABLE), content)


def _octets(text: str, what: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise FilterFailedError(f"the {what} {text!r:.80} is not Latin-1") from None


def _method(method: bytes, before: bytes) -> bytes:
    if method == before:
        return method
    if not _TOKEN.fullmatch(method):
        raise FilterFailedError(f"the method {method!r:.80} is none")
    # An answer to HEAD has no content, and to CONNECT it is a tunnel: the client would not know.
    for each in (before, method):
        if each.upper() in _UNCHANGED_METHODS:
            raise FilterFailedError(f"the method cannot become {method!r}: it was {before!r}")
    return method


def _target(target: bytes, method: bytes) -> bytes:
    if not _PATH.fullmatch(target) and (target, method) != (b"*", b"OPTIONS"):
        raise FilterFailedError(f"the target {target!r:.80} is no path")
    return target


def _status(number: int) -> int:
    if isinstance(number, bool) or not 200 <= number <= 599:
        raise FilterFailedError(f"the status {number!r} is not one from 200 to 599")
    return number


def _kept(fields: Fields, own: frozenset[bytes]) -> Fields:
    return [field for field in fields if field[0] in own]


def _fields(pairs: tuple[Packed, ...], own: frozenset[bytes]) -> Fields:
    if len(pairs) > MAX_FIELDS:
        raise FilterFailedError(f"more than {MAX_FIELDS} headers")
    fields = [field for field in map(_field, pairs) if field[0] not in own]
    if sum(len(name) + len(value) + 4 for name, value in fields) > MAX_HEAD_OCTETS:
        raise FilterFailedError(f"headers of more than {MAX_HEAD_OCTETS} octets")
    return fields


def _field(pair: Packed) -> tuple[bytes, bytes]:
    match pair:
        case (str(given_name), str(given_value)):
            name, value = _octets(given_name, "header"), _octets(given_value, "header")
        case _:
            raise FilterFailedError("a header is no pair of texts")
    if not _NAME.fullmatch(name := name.lower()):
        raise FilterFailedError(f"the header {given_name!r:.80} has what no name may have")
    if not _VALUE.fullmatch(value):
        raise FilterFailedError(f"the header {given_name!r:.80} has what no value may have")
    return name, value.strip(b" \t")
