"""Content in chunks (RFC 9112 section 7.1), decoded by `httptools`.

1. The library gets a head of ours first, and then nothing but the chunks.
2. It does not say where a message ends, and would read on. But the last octets of chunked content
   are always CR LF CR LF: it is fed up to each of these, and then either is done or is not.
3. Octets that carry no content (sizes, extensions, trailers) are limited.
"""

import re
from typing import Final

from httptools import HttpParserError, HttpRequestParser

from mesh.wire.http.messages import Fields
from mesh.wire.http1.errors import BodySyntaxError, HeadTooLargeError
from mesh.wire.http1.fields import MAX_FIELDS
from mesh.wire.http1.own import forbidden_trailer

OVERHEAD_OCTETS: Final = 64 * 1024
"""Octets that carry no content, and OVERHEAD_FACTOR for each one that does."""
OVERHEAD_FACTOR: Final = 8

_HEAD: Final = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
_FIND_END: Final = re.compile(b"\r\n\r\n").search


class IncomingChunks:
    """One message's content.

    Attributes:
        ended: all of it has come.
        trailers: what has come behind it.
    """

    __slots__ = ("_content", "_parser", "_pieces", "_tail", "_taken", "ended", "trailers")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._tail = b""
        self._taken = 0
        self._content = 0
        self.ended = False
        self.trailers: Fields = []
        self._parser = HttpRequestParser(self)
        self._parser.feed_data(_HEAD)
        self.trailers.clear()

    def receive(self, octets: memoryview, at: int) -> tuple[list[bytes], int]:
        """Decode from `at` on: the pieces of content, and where the octets behind it begin.

        Raises:
            BodySyntaxError: these are no chunks.
            HeadTooLargeError: too much that is not content.
        """
        begin, size = at, len(octets)
        while at < size and not self.ended:
            stop = self._next_stop(octets, at)
            self._feed(octets[at:stop])
            at = stop
        pieces, self._pieces = self._pieces, []
        self._taken += at - begin
        self._content += sum(map(len, pieces))
        overhead = self._taken - self._content
        if overhead > OVERHEAD_OCTETS + OVERHEAD_FACTOR * self._content:
            raise HeadTooLargeError("octets around the chunks")
        return pieces, at

    def _next_stop(self, octets: memoryview, at: int) -> int:
        """Behind the next CR LF CR LF, which may have begun in earlier octets; or the end."""
        tail = self._tail
        if tail:
            joined = tail + bytes(octets[at : at + 3])
            if (found := _FIND_END(joined)) is not None:
                self._tail = b""
                return at + found.end() - len(tail)
        found = _FIND_END(octets, at)
        if found is not None:
            self._tail = b""
            return found.end()
        last = bytes(octets[max(at, len(octets) - 3) :])
        self._tail = (tail + last)[-3:]
        return len(octets)

    def _feed(self, octets: memoryview) -> None:
        try:
            self._parser.feed_data(octets)
        except HttpParserError as error:
            raise BodySyntaxError(str(error)) from error
        if len(self.trailers) > MAX_FIELDS:
            raise HeadTooLargeError(f"more than {MAX_FIELDS} trailers")
        if self.ended:
            if self._tail:
                raise BodySyntaxError("the content ends elsewhere")
            if (name := forbidden_trailer(self.trailers)) is not None:
                raise BodySyntaxError(f"{name.decode('latin-1')} among the trailers")

    # What the library calls.

    def on_body(self, piece: bytes) -> None:
        """Some content."""
        self._pieces.append(piece)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A trailer, or our own head's field."""
        self.trailers.append((name.lower(), value.rstrip(b" \t")))

    def on_message_complete(self) -> None:
        """The end."""
        self.ended = True
