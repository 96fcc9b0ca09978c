"""Who uses connections in these tests: a small service, a caller, and a proxy of both."""

from dataclasses import dataclass, field

from mesh.errors import MeshError
from mesh.runtime.http.stream import (
    ClientConnection,
    ClientConnectionUser,
    ClientStream,
    Loss,
    RequestUser,
    ResponseUser,
    ServerConnectionUser,
    ServerStream,
)
from mesh.wire.http.messages import Fields, RequestHead, ResponseHead


@dataclass(eq=False)
class Served(RequestUser):
    """One request, as the service heard it."""

    stream: ServerStream
    head: RequestHead
    content: bytearray = field(default_factory=bytearray)
    trailers: Fields = field(default_factory=list)
    is_whole: bool = False
    lost_with: tuple[Loss, MeshError | None] | None = None
    credits_late: bool = False
    writables: int = 0

    def body(self, piece: memoryview) -> None:
        self.content += piece
        if not self.credits_late:
            self.stream.credit(len(piece))

    def finished(self, trailers: Fields) -> None:
        self.is_whole = True
        self.trailers = trailers

    def lost(self, loss: Loss, error: MeshError | None) -> None:
        assert self.lost_with is None, "lost twice"
        self.lost_with = (loss, error)

    def writable(self) -> None:
        self.writables += 1

    def reply(
        self, status: int = 200, content: bytes = b"ok", fields: Fields | None = None
    ) -> None:
        """A whole answer of known length."""
        self.stream.answer(ResponseHead(status, fields or [], len(content)), end=not content)
        if content:
            self.stream.send(content)
            self.stream.finish([])


class Echoing(Served):
    """Answers with what came, when all of it has come."""

    def finished(self, trailers: Fields) -> None:
        super().finished(trailers)
        path = self.head.target.partition(b"?")[0]
        if path == b"/chunked":
            self.stream.answer(ResponseHead(200))
            self.stream.send(bytes(self.content))
            self.stream.finish([(b"x-trailer", b"there"), *trailers])
        else:
            self.reply(content=bytes(self.content) or b"ok")


@dataclass(eq=False)
class Service(ServerConnectionUser):
    """Keeps what it is asked; with `echoes` it answers by itself."""

    echoes: bool = True
    credits_late: bool = False
    requests: list[Served] = field(default_factory=list)
    closings: list[MeshError | None] = field(default_factory=list)
    refusals: list[tuple[int, str]] = field(default_factory=list)

    def refused(self, status: int, error: MeshError) -> None:
        self.refusals.append((status, error.code))

    def request(self, stream: ServerStream, head: RequestHead, *, end: bool) -> RequestUser:
        made = Echoing if self.echoes else Served
        served = made(stream, head, credits_late=self.credits_late)
        self.requests.append(served)
        if end:
            served.finished([])
        return served

    def closed(self, error: MeshError | None) -> None:
        self.closings.append(error)


@dataclass(eq=False)
class Caller(ResponseUser):
    """One answer, as the caller heard it."""

    stream: ClientStream | None = None
    informed: list[int] = field(default_factory=list)
    answer: ResponseHead | None = None
    content: bytearray = field(default_factory=bytearray)
    trailers: Fields = field(default_factory=list)
    is_whole: bool = False
    lost_with: tuple[Loss, MeshError | None] | None = None
    writables: int = 0

    def informational(self, head: ResponseHead) -> None:
        self.informed.append(head.status)

    def head(self, head: ResponseHead) -> None:
        self.answer = head

    def body(self, piece: memoryview) -> None:
        self.content += piece
        assert self.stream is not None
        self.stream.credit(len(piece))

    def finished(self, trailers: Fields) -> None:
        self.is_whole = True
        self.trailers = trailers

    def lost(self, loss: Loss, error: MeshError | None) -> None:
        assert self.lost_with is None, "lost twice"
        self.lost_with = (loss, error)

    def writable(self) -> None:
        self.writables += 1

    @property
    def loss(self) -> Loss | None:
        return self.lost_with[0] if self.lost_with else None


@dataclass(eq=False)
class Pool(ClientConnectionUser):
    """Who owns a client connection."""

    changes: int = 0
    closings: list[MeshError | None] = field(default_factory=list)

    def changed(self) -> None:
        self.changes += 1

    def closed(self, error: MeshError | None) -> None:
        self.closings.append(error)


def ask(connection: ClientConnection, head: RequestHead, content: bytes | None = None) -> Caller:
    """Open a request, with all of its content."""
    caller = Caller()
    caller.stream = connection.open(head, caller, end=content is None)
    if content is not None:
        caller.stream.send(content)
        caller.stream.finish([])
    return caller
