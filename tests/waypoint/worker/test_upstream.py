"""Links to endpoints: who asks is called back once, later, and with what went wrong if need be."""

import socket
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from mesh.errors import MeshError
from mesh.model.workload import TunnelProtocol, Workload
from mesh.routing.balance import Endpoint
from mesh.runtime.http.link import Link, LinkUser
from mesh.runtime.worker.credentials import CertificateMissingError
from mesh.runtime.worker.dial import ConnectFailedError
from mesh.runtime.worker.failures import RouteRefusedError
from mesh.runtime.worker.resolve import NameUnknownError
from tests.mesh.worlds import pod
from tests.waypoint.worker.parts import context, upstreams

SECONDS = 5.0


class Asked:
    """Who asks for a link, and what is said to it."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.errors: list[MeshError] = []
        self._told = trio.Event()

    def on_link(self, link: Link) -> None:
        self.links.append(link)
        self._told.set()

    def on_failure(self, error: MeshError) -> None:
        self.errors.append(error)
        self._told.set()

    async def wait(self) -> "Asked":
        with trio.fail_after(SECONDS):
            await self._told.wait()
        return self


class Ears(LinkUser):
    """Keeps what comes."""

    def __init__(self) -> None:
        self.octets = b""
        self.some = trio.Event()
        self.done = trio.Event()

    def received(self, octets: memoryview) -> None:
        self.octets += octets
        self.some.set()

    def ended(self) -> None:
        self.done.set()

    def lost(self, _error: MeshError | None) -> None:
        self.done.set()

    def writable(self) -> None:
        pass


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(SECONDS)
        yield made


def plain(*ips: str, hostname: str = "") -> Workload:
    return pod("db", *ips, hostname=hostname, protocol=TunnelProtocol.NONE)


@pytest.mark.parametrize("where", [plain("127.0.0.1"), plain(hostname="localhost")], ids=str)
async def test_an_endpoint_outside_the_mesh_gets_a_plain_link(
    listening: socket.socket, where: Workload
) -> None:
    asked, ears = Asked(), Ears()
    async with upstreams(context(IPV6_ENABLED="false")) as made:
        made.open_link(Endpoint(where, listening.getsockname()[1]), asked.on_link, asked.on_failure)
        assert not asked.links, "never before the call has returned"
        (await asked.wait()).links[0].use(ears)
        asked.links[0].write(b"hello")
        with (await trio.to_thread.run_sync(listening.accept))[0] as accepted:
            assert accepted.recv(5) == b"hello"
            accepted.sendall(b"and you")
        with trio.fail_after(SECONDS):
            await ears.done.wait()
        asked.links[0].reset()
    assert (ears.octets, asked.errors) == (b"and you", [])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as made:
        return int(made.getsockname()[1])


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        (plain("127.0.0.1"), ConnectFailedError),
        (plain(hostname="nobody.invalid"), NameUnknownError),
        (plain(), RouteRefusedError),
        (pod("far", "127.0.0.1", network="north"), RouteRefusedError),
    ],
    ids=["refused", "no name", "no address", "another network"],
)
async def test_what_goes_wrong_is_told_once(where: Workload, kind: type[MeshError]) -> None:
    asked = Asked()
    async with upstreams(context()) as made:
        made.open_link(Endpoint(where, free_port()), asked.on_link, asked.on_failure)
        assert not asked.errors
        await asked.wait()
    assert [type(error) for error in asked.errors] == [kind]


async def test_without_a_certificate_there_is_no_tunnel() -> None:
    parts, asked = context(), Asked()
    async with upstreams(parts) as made:
        made.open_link(Endpoint(pod("web", "127.0.0.1"), 80), asked.on_link, asked.on_failure)
        await trio.testing.wait_all_tasks_blocked()
        parts.credentials.fail(parts.config.identity, "the authority is away")
        await asked.wait()
    assert isinstance(asked.errors[0], CertificateMissingError)


@pytest.mark.parametrize("port_is_open", [True, False])
async def test_who_has_cancelled_hears_nothing(
    listening: socket.socket, *, port_is_open: bool
) -> None:
    asked = Asked()
    port = listening.getsockname()[1] if port_is_open else free_port()
    async with upstreams(context()) as made:
        opening = made.open_link(
            Endpoint(plain("127.0.0.1"), port), asked.on_link, asked.on_failure
        )
        opening.cancel()
        opening.cancel()
        await trio.testing.wait_all_tasks_blocked(0.01)
        if port_is_open:
            with listening.accept()[0] as accepted, pytest.raises(ConnectionResetError):
                accepted.recv(1)
    assert (asked.links, asked.errors) == ([], [])
