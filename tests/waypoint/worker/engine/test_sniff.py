import pytest

from mesh.errors import MeshError
from mesh.runtime.http.link import LinkUser
from tests.mesh.runtime.http.memory_link import Wire
from waypoint.worker.engine.sniff import PREFACE, Peek, Peeked, Spoken, spoken
from waypoint.worker.engine.timers import Timers


@pytest.mark.parametrize(
    ("octets", "found"),
    [
        (b"GET / HTTP/1.1\r\n", Spoken.HTTP1),
        (b"OPTIONS * HTTP/1.1\r\n", Spoken.HTTP1),
        (b"CONNECT a:80 HTTP/1.1\r\n", Spoken.HTTP1),
        (b"PATCH http://a/ HTTP/1.1\r\n", Spoken.HTTP1),
        (PREFACE, Spoken.HTTP2),
        (PREFACE + b"\0\0\0\4\0\0\0\0\0", Spoken.HTTP2),
        (b"\x16\x03\x01", Spoken.TLS),
        (b"*1\r\n$4\r\nPING\r\n", Spoken.OTHER),
        (b"PING\r\n", Spoken.OTHER),
        (b"EHLO mail.example.org\r\n", Spoken.OTHER),
        (b"get / HTTP/1.1\r\n", Spoken.OTHER),
        (b"GET me some tea please, will you", Spoken.OTHER),
        (b"PRI * HTTP/1.0\r\n\r\nSM\r\n\r\n", Spoken.OTHER),
        (b"\0\0\0", Spoken.OTHER),
        (b"GE", None),
        (b"GET ", None),
        (PREFACE[:10], None),
        (PREFACE[:23], None),
    ],
)
def test_the_first_octets_tell_what_is_spoken(octets: bytes, found: Spoken | None) -> None:
    assert spoken(octets, is_http=False) is found


@pytest.mark.parametrize(
    ("octets", "found"),
    [(b"G", Spoken.HTTP1), (b"x", Spoken.HTTP1), (PREFACE[:3], None), (PREFACE, Spoken.HTTP2)],
)
def test_of_http_only_the_version_is_asked(octets: bytes, found: Spoken | None) -> None:
    assert spoken(octets, is_http=True) is found


class Reader(LinkUser):
    def __init__(self) -> None:
        self.octets = b""
        self.has_ended = False
        self.losses = 0

    def received(self, octets: memoryview) -> None:
        self.octets += octets

    def ended(self) -> None:
        self.has_ended = True

    def lost(self, error: MeshError | None) -> None:
        del error
        self.losses += 1

    def writable(self) -> None:
        pass


class Scene:
    """A client that is listened to first, until it has said enough, or time is up."""

    def __init__(self, enough: int = 4) -> None:
        self.now = 0.0
        self.bugs: list[BaseException] = []
        self.timers = Timers(self.bugs.append, lambda: self.now)
        self.wire = Wire()
        self.reader = Reader()
        self.lost: list[MeshError | None] = []
        self.enough = enough
        self.peek = Peek(self.wire.right, self.decide, self.lost.append)
        self.peek.start(self.timers, 1.0)

    def decide(self, peek: Peek) -> bool:
        if len(peek.octets) < self.enough and not peek.is_late:
            return False
        Peeked(peek).use(self.reader)
        return True


def test_who_takes_over_hears_everything_from_the_first_octet() -> None:
    scene = Scene()
    scene.wire.left.write(b"ab")
    scene.wire.run()
    assert scene.reader.octets == b""
    scene.wire.left.write(b"cdef")
    scene.wire.left.write(b"gh")
    scene.wire.left.end()
    scene.wire.run()
    assert scene.reader.octets == b"abcdefgh"
    assert scene.reader.has_ended


def test_a_client_that_ends_early_has_said_enough() -> None:
    scene = Scene()
    scene.wire.left.write(b"ab")
    scene.wire.left.end()
    scene.wire.run()
    assert (scene.reader.octets, scene.reader.has_ended) == (b"ab", True)


def test_time_is_up_for_a_client_that_says_nothing() -> None:
    scene = Scene()
    scene.timers.on_time(1.0)
    scene.wire.left.write(b"abcdef")
    scene.wire.run()
    assert scene.reader.octets == b"abcdef"


def test_a_client_that_leaves_meanwhile_is_told_of_once() -> None:
    scene = Scene()
    scene.wire.left.reset()
    scene.timers.on_time(1.0)
    assert len(scene.lost) == 1
    assert not scene.bugs


def test_a_client_can_be_given_up() -> None:
    scene = Scene()
    scene.peek.give_up()
    scene.timers.on_time(1.0)
    assert scene.wire.right.closed
    assert not scene.lost
