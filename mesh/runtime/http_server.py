"""A small HTTP/1.1 server for admin, metrics and readiness pages.

1. One request per connection: the answer says `Connection: close`, so that nothing is ever parsed
   after a body.
2. A client is never waited for without a deadline, and never read beyond a limit.
3. A handler that fails costs one 500 and one line in the log, never the server.
"""

import gzip
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import trio

from mesh.errors import ConfigError, PeerError
from mesh.model.address import AddressInvalidError, Ip, parse_ip

HEADER_DEADLINE_S: Final = 2.0
"""For the whole head of a request, and again for its body."""

ANSWER_DEADLINE_S: Final = 30.0
"""For the handler and for sending what it answered."""

MAX_HEAD_OCTETS: Final = 8 * 1024
MAX_BODY_OCTETS: Final = 64 * 1024
MAX_CONNECTIONS: Final = 64
COMPRESSION: Final = 5
CHUNK_OCTETS: Final = 4096
METHODS: Final = frozenset({"GET", "HEAD", "POST"})
LOOPBACK_V6: Final = bytes(15) + b"\x01"

log = logging.getLogger(__name__)


class HttpListenFailedError(ConfigError):
    """An admin, metrics or readiness port cannot be opened."""

    code = "http_listen_failed"

    def __init__(self, host: str, port: int, reason: str) -> None:
        """Keep where, and the kernel's reason."""
        where = f"{host or 'every address'}, port {port}"
        super().__init__((f"cannot listen on {where}: {reason}; free the port or choose another",))
        self.host, self.port, self.reason = host, port, reason


class HttpRequestInvalidError(PeerError):
    """A request that is no HTTP/1, too large, too slow, or of a method that no page has."""

    code = "http_request_invalid"

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        """Keep the answer and why."""
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client asked for. Header names are lower case; of a repeated one the last counts."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    peer: Ip

    @property
    def is_from_loopback(self) -> bool:
        """Whether the client is on this machine, in this network namespace."""
        return is_loopback(self.peer)


@dataclass(frozen=True, slots=True)
class Response:
    """What a handler answers."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    content_encoding: str = ""


Handler = Callable[[Request], Awaitable[Response]]


def is_loopback(ip: Ip) -> bool:
    """127.0.0.0/8 or ::1."""
    return ip == LOOPBACK_V6 or (len(ip) == 4 and ip[0] == 127)


def text(words: str, status: int = 200) -> Response:
    """A plain answer; a line end is added."""
    return Response(status, f"{words}\n".encode())


def accepts_gzip(request: Request) -> bool:
    """Whether the client has said so (RFC 9110 section 12.5.3)."""
    for offer in request.headers.get("accept-encoding", "").split(","):
        coding, _, weight = offer.replace(" ", "").partition(";")
        if coding.lower() in ("gzip", "x-gzip"):
            return not _is_zero(weight)
    return False


def _is_zero(weight: str) -> bool:
    digits = weight.lower().removeprefix("q=")
    return bool(digits) and set(digits) <= {"0", "."}


async def compressed(request: Request, response: Response) -> Response:
    """The same answer, smaller where the client can read that; made in a thread.

    Cancellation: the thread goes on, for nobody.
    """
    if not accepts_gzip(request):
        return response
    body = await trio.to_thread.run_sync(
        partial(gzip.compress, response.body, COMPRESSION, mtime=0), abandon_on_cancel=True
    )
    return replace(response, body=body, content_encoding="gzip")


async def listen_http(host: str, port: int) -> Sequence[trio.SocketListener]:
    """Open a port at one address, or with an empty host at all of this namespace's.

    Raises:
        HttpListenFailedError: taken, not allowed, or no such address.

    Cancellation: nothing is left open.
    """
    try:
        return await trio.open_tcp_listeners(port, host=host or None)
    except OSError as error:
        raise HttpListenFailedError(host, port, error.strerror or str(error)) from error


async def serve_http(
    listeners: Iterable[trio.SocketListener],
    handler: Handler,
    *,
    answer_s: float = ANSWER_DEADLINE_S,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer requests until cancelled. Owns the listeners. Started: connections are accepted.

    Args:
        listeners: where clients come.
        handler: what answers them.
        answer_s: how long a handler and sending what it answered may take, together.
        task_status: trio's.

    Cancellation: stops at once; answers that are on the way are cut.
    """
    places = trio.CapacityLimiter(MAX_CONNECTIONS)

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            try:
                places.acquire_nowait()
            except trio.WouldBlock:
                return  # more than anybody's monitoring needs: hang up
            try:
                await _serve_one(stream, handler, answer_s)
            except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
                pass  # the client went away, or sleeps: nobody is left to tell
            finally:
                places.release()

    async with trio.open_nursery() as connections:
        await connections.start(trio.serve_listeners, serve, list(listeners))
        task_status.started()


async def _serve_one(stream: trio.SocketStream, handler: Handler, answer_s: float) -> None:
    try:
        request = await _read(stream)
    except HttpRequestInvalidError as error:
        with trio.fail_after(HEADER_DEADLINE_S):
            await _answer(stream, text(error.reason, error.status), with_body=True)
        return
    if request is None:
        return
    with trio.fail_after(answer_s):
        response = await _handled(handler, request)
        await _answer(stream, response, with_body=request.method != "HEAD")


async def _handled(handler: Handler, request: Request) -> Response:
    try:
        return await handler(request)
    except Exception:  # the firewall: a bug of one page is that page's alone
        log.exception("page failed", extra={"code": "http_page_failed", "path": request.path})
        return text("internal error; the log has it", HTTPStatus.INTERNAL_SERVER_ERROR)


async def _read(stream: trio.SocketStream) -> Request | None:
    """One request; None when the client left without asking."""
    try:
        with trio.fail_after(HEADER_DEADLINE_S):
            head, rest = await _read_head(stream)
        if not head:
            return None
        request, body_octets = parse_head(head, _peer(stream))
        with trio.fail_after(HEADER_DEADLINE_S):
            while len(rest) < body_octets:
                chunk = await stream.receive_some(CHUNK_OCTETS)
                if not chunk:
                    raise HttpRequestInvalidError(HTTPStatus.BAD_REQUEST, "half a body")
                rest += chunk
    except trio.TooSlowError:
        raise HttpRequestInvalidError(HTTPStatus.REQUEST_TIMEOUT, "too slow") from None
    return Request(
        method=request.method,
        path=request.path,
        query=request.query,
        headers=request.headers,
        body=bytes(rest[:body_octets]),
        peer=request.peer,
    )


async def _read_head(stream: trio.SocketStream) -> tuple[bytes, bytearray]:
    """The head without its empty line, and what came after it."""
    seen = bytearray()
    while (end := seen.find(b"\r\n\r\n")) < 0:
        if len(seen) > MAX_HEAD_OCTETS:
            raise HttpRequestInvalidError(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"over {MAX_HEAD_OCTETS} octets of head"
            )
        chunk = await stream.receive_some(CHUNK_OCTETS)
        if not chunk:
            return b"", seen
        seen += chunk
    return bytes(seen[:end]), seen[end + 4 :]


def parse_head(head: bytes, peer: Ip) -> tuple[Request, int]:
    """Read a request's head (without the empty line at its end).

    Returns:
        The request without its body, and the length that it announces for it.

    Raises:
        HttpRequestInvalidError: with the status to answer.
    """
    first, *lines = head.decode("latin-1").split("\r\n")
    match first.split(" "):
        case [method, target, "HTTP/1.1" | "HTTP/1.0"] if target.startswith("/"):
            pass
        case _:
            raise HttpRequestInvalidError(HTTPStatus.BAD_REQUEST, "not an HTTP/1 request")
    if method not in METHODS:
        raise HttpRequestInvalidError(HTTPStatus.METHOD_NOT_ALLOWED, "GET, HEAD or POST only")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines)
    }
    path, query = _target(target)
    request = Request(method=method, path=path, query=query, headers=headers, peer=peer)
    return request, _body_octets(headers)


def _target(target: str) -> tuple[str, dict[str, str]]:
    try:
        parts = urlsplit("http://sluice" + target)
        return parts.path, dict(parse_qsl(parts.query, keep_blank_values=True, max_num_fields=100))
    except ValueError:
        raise HttpRequestInvalidError(HTTPStatus.BAD_REQUEST, "no such target") from None


def _body_octets(headers: Mapping[str, str]) -> int:
    length = headers.get("content-length", "0")
    if "transfer-encoding" in headers:
        raise HttpRequestInvalidError(HTTPStatus.LENGTH_REQUIRED, "say Content-Length")
    if not (length.isascii() and length.isdecimal()):
        raise HttpRequestInvalidError(HTTPStatus.BAD_REQUEST, "Content-Length is not a number")
    if len(length) > 9 or int(length) > MAX_BODY_OCTETS:
        raise HttpRequestInvalidError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"over {MAX_BODY_OCTETS} octets of body"
        )
    return int(length)


def _peer(stream: trio.SocketStream) -> Ip:
    try:
        host = str(stream.socket.getpeername()[0])
        return parse_ip(host.partition("%")[0])
    except (OSError, AddressInvalidError):
        raise HttpRequestInvalidError(HTTPStatus.BAD_REQUEST, "the client has gone") from None


async def _answer(stream: trio.SocketStream, response: Response, *, with_body: bool) -> None:
    status = HTTPStatus(response.status)
    encoding = response.content_encoding
    coded = f"Content-Encoding: {encoding}\r\nVary: Accept-Encoding\r\n" if encoding else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"{coded}"
        f"Content-Type: {response.content_type}\r\n"
        f"Content-Length: {len(response.body)}\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "Connection: close\r\n\r\n"
    ).encode("latin-1")
    await stream.send_all(head + response.body if with_body else head)
    await stream.send_eof()
    # Unread octets would turn the close into a reset, which can overtake the answer.
    with trio.move_on_after(HEADER_DEADLINE_S):
        for _ in range(MAX_BODY_OCTETS // CHUNK_OCTETS):
            if not await stream.receive_some(CHUNK_OCTETS):
                break
