"""A waypoint's engine between clients and endpoints in memory, with time in the test's hand."""

from collections import deque
from collections.abc import Callable
from random import Random

from mesh.errors import MeshError, UnavailableError
from mesh.model.identity import Identity
from mesh.model.routes import (
    Attachment,
    Backend,
    Route,
    RouteKind,
    RouteRule,
    ServiceTraffic,
    Waypoint,
)
from mesh.model.workload import AppProtocol, Port, Service, Workload
from mesh.observe.request_metrics import RequestMetrics
from mesh.routing.balance import Endpoint
from mesh.routing.http.routes import Routes
from mesh.routing.waypoint import Called
from mesh.runtime.http.http1_client import Http1Client
from mesh.runtime.http.http1_server import Http1Server
from mesh.runtime.http.http2_client import Http2Client
from mesh.runtime.http.http2_server import Http2Server
from mesh.runtime.http.link import Link
from mesh.runtime.http.stream import (
    ClientConnection,
    ClientConnectionUser,
    ServerConnection,
    ServerConnectionUser,
)
from mesh.state.world import World
from mesh.wire.http.messages import Fields, RequestHead
from mesh.wire.http2.flow import WindowBudget
from tests.mesh.runtime.http.memory_link import Wire
from tests.mesh.runtime.http.users import Caller as Asked
from tests.mesh.runtime.http.users import Pool as Connection
from tests.mesh.runtime.http.users import Service as Server
from tests.mesh.worlds import at, delta, pod, service, world
from waypoint.worker.engine.context import Caller, Context, Peer, Settings
from waypoint.worker.engine.destinations import Destinations
from waypoint.worker.engine.pool import Means, Opening
from waypoint.worker.engine.serving import Requests
from waypoint.worker.engine.timers import Timers

OWN = pod("waypoint", "10.0.0.9")
CLIENT = pod("client", "10.0.0.1", namespace="shop")
WEB = "shop/web"


class UnreachableError(UnavailableError):
    """The test lets nobody in."""

    code = "test_unreachable"


class Handle(Opening):
    """A link that is not open yet."""

    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Stage:
    """Everything of a worker but its process."""

    def __init__(self, *resources: Workload | Service, settings: Settings | None = None) -> None:
        self.now = 1000.0
        self.bugs: list[BaseException] = []
        self.world: World = world(*resources)
        self.version = 1
        self.wires: list[Wire] = []
        self.round_end: deque[Callable[[], None]] = deque()
        self.servers: dict[str, Server] = {}
        self.opened: list[tuple[str, int]] = []
        self.waiting: list[
            tuple[Endpoint, Callable[[Link], None], Callable[[MeshError], None]]
        ] = []
        self.handles: list[Handle] = []
        self.refuses: set[str] = set()
        self.is_slow = False
        self.versions: list[bool] = []
        self.in_http2: set[str] = set()
        """Endpoints that speak it; if none does, all speak HTTP/1.1 whatever they are asked."""
        self.windows = WindowBudget(1 << 28)
        timers = Timers(self.bugs.append, lambda: self.now)
        self.means = Means(self.open_link, self.ask, timers)
        destinations = Destinations(self.world, lambda: OWN, self.means)
        self.context = Context(
            identity=OWN.identity,
            waypoint=Waypoint(namespace="shop", name="waypoint"),
            routes=Routes(),
            destinations=destinations,
            timers=timers,
            random=Random(7),
            clock=lambda: self.now,
            epoch=lambda: 1_800_000_000 + self.now,
            metrics=RequestMetrics(),
            means=self.means,
            answer=self.answer,
            on_bug=self.bugs.append,
        )
        if settings is not None:
            self.context.settings = settings

    # What the engine uses.

    def open_link(
        self,
        endpoint: Endpoint,
        on_link: Callable[[Link], None],
        on_failure: Callable[[MeshError], None],
    ) -> Opening:
        handle = Handle()
        self.handles.append(handle)
        name = endpoint.workload.name
        self.opened.append((name, endpoint.port))
        if self.is_slow:
            self.waiting.append((endpoint, on_link, on_failure))
        elif name in self.refuses:
            on_failure(UnreachableError("nobody is let in"))
        else:
            on_link(self.link_to(name))
        return handle

    def link_to(self, name: str) -> Link:
        wire = self.wire()
        self.serving(wire.right, self.server(name), is_http2=name in self.in_http2).start()
        return wire.left

    def serving(
        self, link: Link, user: ServerConnectionUser, *, is_http2: bool
    ) -> ServerConnection:
        if is_http2:
            return Http2Server(link, user, self.round_end.append, self.windows)
        return Http1Server(link, user, self.round_end.append)

    def let_in(self) -> None:
        """Those that wait for a link get it."""
        waiting, self.waiting = self.waiting, []
        for endpoint, on_link, _ in waiting:
            on_link(self.link_to(endpoint.workload.name))

    def ask(self, link: Link, user: ClientConnectionUser, is_http2: bool) -> ClientConnection:
        self.versions.append(is_http2)
        if is_http2 and self.in_http2:
            return Http2Client(link, user, self.round_end.append, self.windows)
        return Http1Client(link, user, self.round_end.append)

    def answer(self, link: Link, user: ServerConnectionUser, is_http2: bool) -> ServerConnection:
        return self.serving(link, user, is_http2=is_http2)

    # What a test does.

    def wire(self) -> Wire:
        made = Wire()
        made.round_end = self.round_end
        self.wires.append(made)
        return made

    def server(self, name: str) -> Server:
        """What runs in a pod."""
        return self.servers.setdefault(name, Server())

    def apply(self, *resources: Workload | Service, removed: tuple[str, ...] = ()) -> None:
        self.version += 1
        changes = self.world.apply(delta(*resources, version=self.version, removed=removed))
        self.context.destinations.changed(changes)

    def route(self, *rules: RouteRule, name: str = "r", **fields: object) -> None:
        """An HTTPRoute for all ports of `shop/web`."""
        parents = (Attachment(WEB),)
        made = Route(
            kind=RouteKind.HTTP, namespace="shop", name=name, parents=parents, rules=rules, **fields
        )
        self.context.routes.put(name, made)
        self.context.routes_version += 1

    def limit(self, service: str = WEB, **fields: object) -> None:
        traffic = ServiceTraffic(namespace="shop", name="t", service=service, **fields)
        self.context.destinations.obey({(service, 0): traffic})

    def peer(self, called: str = WEB, identity: Identity | None = CLIENT.identity) -> Peer:
        found = self.world.service(called)
        return Peer(
            self.context,
            Caller(address=at("10.0.0.1:40000"), identity=identity, workload=CLIENT),
            Called(service=found, workload=None, port=80, address=at("10.9.0.1:80")),
        )

    def client(self, peer: Peer | None = None, *, is_http2: bool = False) -> ClientConnection:
        """A client's connection."""
        wire = self.wire()
        self.context.answer(wire.right, Requests(peer or self.peer()), is_http2).start()
        http: ClientConnection = Http1Client(wire.left, Connection(), self.round_end.append)
        if is_http2:
            http = Http2Client(wire.left, Connection(), self.round_end.append, self.windows)
        http.start()
        return http

    def get(
        self,
        target: str = "/",
        method: str = "GET",
        fields: Fields | None = None,
        content: bytes | None = None,
        peer: Peer | None = None,
    ) -> Asked:
        """One request on a connection of its own, as far as it gets."""
        asked = self.send(self.client(peer), target, method, fields, content)
        self.run()
        return asked

    def send(
        self,
        client: ClientConnection,
        target: str = "/",
        method: str = "GET",
        fields: Fields | None = None,
        content: bytes | None = None,
    ) -> Asked:
        length = None if content is None else len(content)
        head = RequestHead(
            method.encode(), target.encode(), b"web", list(fields or []), length=length
        )
        asked = Asked()
        asked.stream = client.open(head, asked, end=content is None)
        if content is not None:
            asked.stream.send(content)
            asked.stream.finish([])
        return asked

    def run(self) -> None:
        """Until nothing moves any more."""
        moved = True
        while moved:
            while self.round_end:
                self.round_end.popleft()()
            moved = False
            for wire in self.wires:
                moved = wire.left.deliver(wire.step) or moved
                moved = wire.right.deliver(wire.step) or moved
            moved = moved or bool(self.round_end)

    def wait(self, seconds: float) -> None:
        """Time goes by."""
        end = self.now + seconds
        timers = self.context.timers
        while (due := timers.next_deadline) <= end:
            self.now = max(self.now, due)
            timers.on_time(self.now)
            self.run()
        self.now = end
        timers.on_time(end)
        self.run()


def web(*ports: Port) -> Service:
    return service("web", "10.9.0.1", ports=ports or (Port(80, 8080, AppProtocol.HTTP11),))


def endpoint(name: str, serves: str = WEB, **fields: object) -> Workload:
    return pod(name, f"10.1.0.{ord(name[-1])}", serves=(serves,), **fields)


def to(service: str = WEB, **fields: object) -> Backend:
    return Backend(service=service, port=80, **fields)
