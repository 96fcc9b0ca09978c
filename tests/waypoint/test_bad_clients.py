"""Clients that do what none should: their answer, the log's code, and nobody else hurt."""

import itertools
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress

import hpack
import pytest
from OpenSSL import SSL

from mesh.model.identity import Identity
from mesh.model.workload import AppProtocol
from tests.pki import Authority, Issued
from tests.waypoint.badness import good, read_head, resetting, spoken, undisturbed
from tests.waypoint.edge import Edge
from tests.ztunnel.worker.raw import RawPeer
from tests.ztunnel.worker.town import MESH

pytestmark = [pytest.mark.netns, pytest.mark.slow]

SHOP = "10.80.0.75"
FINE = "10.80.0.76"
POUR = "10.80.0.77"
NUMBERS = itertools.count()
GET = b"GET / HTTP/1.1\r\n"
POST = b"POST / HTTP/1.1\r\nhost: a\r\n"
HUNDRED_MB = 100_000_000


def echo(connection: socket.socket) -> None:
    """Answers with the request's head, and reads contents by length only."""
    while True:
        head, _, rest = read_head(connection).partition(b"\r\n\r\n")
        length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-len")]
        if b"expect: 100" in head.lower():
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        left = int(length[0].partition(b":")[2]) - len(rest) if length else 0
        while left > 0:
            left -= len(connection.recv(65_536)) or left
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(head), head))


class Pour:
    """A server whose answer does not end, and how much of it went out."""

    def __init__(self) -> None:
        self.octets = 0
        self._stuck = threading.Event()

    def serve(self, connection: socket.socket) -> None:
        read_head(connection)
        connection.settimeout(0.3)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % HUNDRED_MB)
        try:
            while self.octets < HUNDRED_MB:
                self.octets += connection.send(bytes(65_536))
        except TimeoutError:
            self._stuck.set()

    def wait(self, seconds: float) -> bool:
        """Until nobody takes any more."""
        return self._stuck.wait(seconds)


@pytest.fixture(scope="module")
def world(shared: Edge) -> Iterator[Edge]:
    shop, pods = spoken(shared, "shop", SHOP, "shop", AppProtocol.HTTP11)
    fine, others = spoken(shared, "fine", FINE, "bakery", AppProtocol.HTTP11)
    pour, more = spoken(shared, "pour", POUR, "gate", AppProtocol.HTTP11)
    shared.tell([*pods, *others, *more], [shop, fine, pour])
    place = shared.place
    with place.pod("bakery").serving(8080, good), place.pod("shop").serving(8080, echo):
        yield shared
    shared.tell()


def said_to(edge: Edge, octets: bytes) -> bytes:
    """All that comes back to these octets, until the other side closes."""
    with edge.place.pod("web").dial(SHOP, 80) as client:
        with suppress(ConnectionError):
            client.sendall(octets)
        whole = b""
        with suppress(ConnectionResetError):
            while piece := client.recv(65_536):
                whole += piece
    return whole


CHUNKED = b"transfer-encoding: chunked\r\n"
ZERO = b"0\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"
BAD = {
    "garbage": (bytes(range(256)) * 8, 400, "http1_head_syntax"),
    "TLS": (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(500), 400, "http1_head_syntax"),
    "no host": (GET + b"\r\n", 400, "http1_host"),
    "two hosts": (GET + b"host: a\r\nhost: b\r\n\r\n", 400, "http1_host"),
    "a bad host": (GET + b"host: a b\r\n\r\n", 400, "http1_host"),
    "length and chunks": (
        POST + b"content-length: 5\r\n" + CHUNKED + b"\r\n" + ZERO + SMUGGLED,
        400,
        "http1_framing",
    ),
    "chunks and length": (
        POST + CHUNKED + b"content-length: 5\r\n\r\n" + ZERO + SMUGGLED,
        400,
        "http1_framing",
    ),
    "two lengths": (
        POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello" + SMUGGLED,
        400,
        "http1_framing",
    ),
    "a list of lengths": (
        POST + b"content-length: 5, 6\r\n\r\nhello" + SMUGGLED,
        400,
        "http1_framing",
    ),
    "a signed length": (POST + b"content-length: +5\r\n\r\nhello", 400, "http1_framing"),
    "a huge length": (POST + b"content-length: 99999999999999999999\r\n\r\n", 400, "http1_framing"),
    "a coding with a tab": (
        POST + b"transfer-encoding:\x0bchunked\r\n\r\n" + ZERO + SMUGGLED,
        400,
        "http1_",
    ),
    "an unknown coding": (
        POST + b"transfer-encoding: gzip, chunked\r\n\r\n" + ZERO + SMUGGLED,
        501,
        "http1_coding_unknown",
    ),
    "chunked twice": (
        POST + b"transfer-encoding: chunked, chunked\r\n\r\n" + ZERO + SMUGGLED,
        400,
        "http1_framing",
    ),
    "chunked, and then not": (
        POST + b"transfer-encoding: chunked, identity\r\n\r\n" + ZERO + SMUGGLED,
        400,
        "http1_framing",
    ),
    "chunked in HTTP/1.0": (
        b"POST / HTTP/1.0\r\nhost: a\r\n" + CHUNKED + b"\r\n" + ZERO + SMUGGLED,
        400,
        "http1_framing",
    ),
    "a space before the colon": (
        POST + b"transfer-encoding : chunked\r\n\r\n" + ZERO + SMUGGLED,
        400,
        "http1_head_syntax",
    ),
    "bare line feeds": (b"GET / HTTP/1.1\nhost: a\n\n" + SMUGGLED, 400, "http1_head_syntax"),
    "a folded line": (GET + b"host: a\r\nx-a: b\r\n c\r\n\r\n", 400, "http1_head_syntax"),
    "a bad name": (GET + b"host: a\r\nx@a: b\r\n\r\n", 400, "http1_head_syntax"),
    "an empty name": (GET + b"host: a\r\n: b\r\n\r\n", 400, "http1_head_syntax"),
    "a zero in a value": (GET + b"host: a\r\nx: a\0b\r\n\r\n", 400, "http1_head_syntax"),
    "a carriage return alone": (GET + b"host: a\r\nx: a\rb\r\n\r\n", 400, "http1_head_syntax"),
    "an unknown method": (b"FROB / HTTP/1.1\r\nhost: a\r\n\r\n", 501, "http1_method_unknown"),
    "an unknown version": (b"GET / HTTP/3.0\r\nhost: a\r\n\r\n", 505, "http1_version_unknown"),
    "a version of old": (b"GET /\r\n\r\n", 400, "http1_head_syntax"),
    "a long target": (b"GET /" + b"a" * 70_000, 414, "http1_target_too_long"),
    "a large head": (GET + b"x: " + b"a" * 200_000, 431, "http1_head_too_large"),
    "many fields": (GET + b"x: a\r\n" * 5_000 + b"host: a\r\n\r\n", 431, "http1_head_too_large"),
    "another expectation": (POST + b"expect: miracles\r\n\r\n", 417, "http1_expectation"),
    "a bad chunk": (POST + CHUNKED + b"\r\nzz\r\n" + SMUGGLED, 400, "http1_body_syntax"),
    "a chunk that is longer than it says": (
        POST + CHUNKED + b"\r\n1\r\nabc\r\n" + ZERO + SMUGGLED,
        400,
        "http1_body_syntax",
    ),
    "a chunk with a line feed": (
        POST + CHUNKED + b"\r\n1\nx\r\n" + ZERO + SMUGGLED,
        400,
        "http1_body_syntax",
    ),
    "chunks that are mostly extensions": (
        POST + CHUNKED + b"\r\n1;" + b"a" * 200_000 + b"\r\nx\r\n" + ZERO,
        431,
        "http1_head_too_large",
    ),
    "a connect": (
        b"CONNECT b:80 HTTP/1.1\r\nhost: b:80\r\nconnection: close\r\n\r\n",
        501,
        "http_connect_method",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_request_has_its_status_and_its_line(world: Edge, what: str) -> None:
    octets, status, code = BAD[what]
    before = len(world.proxy.lines)
    with undisturbed(world, FINE):
        said = said_to(world, octets)
    assert said.startswith(b"HTTP/1.1 %d " % status)
    assert said.count(b"HTTP/1.1 ") == 1
    world.proxy.wait_line(rf'request complete\t.*response_code={status} .*code="{code}')
    assert not [one for one in world.proxy.lines[before:] if "/smuggled" in one]


CLOSE = b"connection: close\r\n\r\n"
GOOD = {
    "an absolute target": (
        b"GET http://b/x HTTP/1.1\r\nhost: a\r\n",
        b"GET /x HTTP/1.1\r\nhost: b",
    ),
    "a path that climbs": (b"GET /a/../../etc HTTP/1.1\r\nhost: a\r\n", b"GET /etc HTTP/1.1"),
    "an empty line first": (b"\r\n\r\nGET /x HTTP/1.1\r\nhost: a\r\n", b"GET /x HTTP/1.1"),
    "HTTP/1.0 without a host": (b"GET /x HTTP/1.0\r\n", b"GET /x HTTP/1.1"),
    "every server": (b"OPTIONS * HTTP/1.1\r\nhost: a\r\n", b"OPTIONS * HTTP/1.1"),
}


@pytest.mark.parametrize("what", GOOD)
def test_what_is_odd_and_right_is_served(world: Edge, what: str) -> None:
    octets, seen = GOOD[what]
    said = said_to(world, octets + CLOSE)
    assert said.startswith(b"HTTP/1.1 200 ")
    assert seen in said


def test_what_a_client_says_of_itself_is_not_believed_and_of_its_hop_not_passed_on(
    world: Edge,
) -> None:
    said = said_to(
        world,
        GET + b"host: a\r\nforwarded: for=1.2.3.4\r\nx-forwarded-client-cert: URI=spiffe://x\r\n"
        b"keep-alive: 5\r\nproxy-connection: x\r\nx-mine: secret\r\nte: gzip\r\n"
        b"connection: close, x-mine\r\n\r\n",
    )
    lower = said.lower()
    identity = str(MESH.identity("town", "web")).encode()
    assert b'forwarded: for=1.2.3.4, for=10.79.0.2;identity="' + identity in said  # ours is last
    assert b"spiffe://x" not in said
    for name in (b"keep-alive:", b"proxy-connection:", b"x-mine:", b"te: gzip"):
        assert name not in lower


def test_a_client_that_goes_in_the_middle_of_its_body_is_told_of(world: Edge) -> None:
    with undisturbed(world, FINE), world.place.pod("web").dial(SHOP, 80) as client:
        client.sendall(
            b"POST /gone HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n"
        )
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        resetting(client)
    said = world.proxy.wait_line(r'request complete\t.*path="/gone".*')[0]
    assert 'code="http_client_gone"' in said
    assert 'response_flags="DC"' in said


def test_a_client_that_does_not_read_holds_its_backend_back(world: Edge) -> None:
    """An answer of 100 MB of which the client reads nothing: it waits where it comes from."""
    poured = Pour()
    with (
        world.place.pod("gate").serving(8080, poured.serve),
        undisturbed(world, FINE),
        world.place.pod("web").dial(POUR, 80) as client,
    ):
        client.sendall(GET + b"host: a\r\n\r\n")
        assert poured.wait(5)
    assert 0 < poured.octets < HUNDRED_MB // 2


# By HTTP/2.

SETTINGS = b"\0\0\0\4\0\0\0\0\0"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS
ASKS = ((b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a"))


def frame(kind: int, flags: int, payload: bytes, stream: int = 1) -> bytes:
    begins = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")
    return begins + payload


def head(*fields: tuple[bytes, bytes], flags: int = 5) -> bytes:
    """The frame of a request's head, which may be wrong."""
    return frame(1, flags, hpack.Encoder().encode(fields, huffman=False))


def answer_of(edge: Edge, octets: bytes) -> tuple[int, bytes]:
    """The kind and payload of the first frame of stream 1, or of a GOAWAY."""
    with edge.place.pod("web").dial(SHOP, 80) as client, client.makefile("rb") as reader:
        with suppress(ConnectionError):
            client.sendall(PREFACE + octets)
        while begins := reader.read(9):
            payload = reader.read(int.from_bytes(begins[:3], "big"))
            if begins[5:] == b"\0\0\0\1" or begins[3] == 7:
                return begins[3], payload
    return 0, b""


RESET, GOAWAY = 3, 7
PROTOCOL_ERROR = b"\0\0\0\1"
CALM = b"\0\0\0\x0b"
SECONDS = {
    "a name in capitals": (head(*ASKS, (b"X-A", b"b")), RESET, PROTOCOL_ERROR),
    "a name with a colon": (head(*ASKS, (b"x:a", b"b")), RESET, PROTOCOL_ERROR),
    "a value with a line break": (head(*ASKS, (b"x", b"b\r\nc: d")), RESET, PROTOCOL_ERROR),
    "a field of the connection": (head(*ASKS, (b"connection", b"x")), RESET, PROTOCOL_ERROR),
    "a transfer coding": (head(*ASKS, (b"transfer-encoding", b"chunked")), RESET, PROTOCOL_ERROR),
    "no path": (head(*ASKS[:2]), RESET, PROTOCOL_ERROR),
    "an empty path": (head(*ASKS[:2], (b":path", b"")), RESET, PROTOCOL_ERROR),
    "two methods": (head(ASKS[0], *ASKS), RESET, PROTOCOL_ERROR),
    "a pseudo-field behind": (head((b"x", b"y"), *ASKS), RESET, PROTOCOL_ERROR),
    "a pseudo-field of answers": (head((b":status", b"200"), *ASKS), RESET, PROTOCOL_ERROR),
    "two lengths": (
        head(*ASKS, (b"content-length", b"1"), (b"content-length", b"2"), flags=4),
        RESET,
        PROTOCOL_ERROR,
    ),
    "more than its length": (
        head(*ASKS, (b"content-length", b"1"), flags=4) + frame(0, 1, b"abc"),
        RESET,
        PROTOCOL_ERROR,
    ),
    "a frame that is too large": (b"\xff\xff\xff\0\0\0\0\0\1", GOAWAY, b""),
    "content before a head": (frame(0, 1, b"abc"), GOAWAY, b""),
    "garbage": (bytes(range(256)) * 8, GOAWAY, b""),
    "a header block that is none": (frame(1, 5, b"\xff\xff\xff\xff\xff\xff"), GOAWAY, b""),
    "an endless head": (
        frame(1, 0, b"\0\1a\1b") + frame(9, 0, b"\0\1a\1b" * 4000) * 200,
        GOAWAY,
        b"",
    ),
    "opened and reset without end": (
        b"".join(
            frame(1, 5, hpack.Encoder().encode(ASKS), n) + frame(3, 0, b"\0\0\0\x08", n)
            for n in range(1, 20_001, 2)
        ),
        GOAWAY,
        b"",
    ),
    "pings without end": (frame(6, 0, bytes(8), 0) * 50_000, GOAWAY, b""),
}


@pytest.mark.parametrize("what", SECONDS)
def test_what_is_no_request_of_http_2_is_reset(world: Edge, what: str) -> None:
    octets, kind, says = SECONDS[what]
    with undisturbed(world, FINE):
        found, payload = answer_of(world, octets)
    assert found == kind
    assert says in payload


# At the tunnel's port.


def is_let_in(edge: Edge, papers: Issued) -> bool:
    """Whether a client with this certificate gets an answer to a CONNECT."""
    try:
        with RawPeer(edge.pod, edge.pod.ip, papers, MESH.roots) as client:
            return client.answer(client.connect(f"{SHOP}:80"))[b":status"] == b"200"
    except (SSL.Error, ConnectionError):
        return False


def test_only_the_meshs_certificates_are_let_in(world: Edge) -> None:
    strangers = Authority()
    with undisturbed(world, FINE):
        assert is_let_in(world, MESH.issue(MESH.identity("town", "web")))
        assert not is_let_in(world, MESH.issue(Identity("elsewhere", "town", "web")))
        world.proxy.wait_line(r'connection failed\t.*code="tls_trust_domain"')
        assert not is_let_in(world, strangers.issue(strangers.identity("town", "web")))
        world.proxy.wait_line(r'connection failed\t.*code="tls_')


def test_without_a_certificate_nobody_is_let_in(world: Edge) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    said = b""
    with (
        undisturbed(world, FINE),
        world.pod.dial(world.pod.ip, 15008) as plain,
        suppress(ssl.SSLError, ConnectionError),
        context.wrap_socket(plain) as client,
    ):
        client.sendall(PREFACE)
        while piece := client.recv(100):
            said += piece
    assert said == b""
    world.proxy.wait_line(r'connection failed\t.*code="tls_')
