"""A small town: captured pods on one bridge, and two workers, as on two nodes.

The pods are network namespaces with the real rules; `near` serves those of one node and `far`
those of the other. Tests say what the state is, and then behave as applications in the pods.
"""

import itertools
import json
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.sluice import Worker, worker
from mesh.model.address import parse_ip
from mesh.model.identity import Identity
from mesh.model.policy import (
    Action,
    Authorization,
    Match,
    PolicyScope,
    StringMatch,
    StringMatchKind,
)
from mesh.model.workload import NetworkAddress, Port, Service, TunnelProtocol, Workload
from mesh.redirection.rules import Capture
from mesh.runtime.capture import capture_pod, raise_loopback
from mesh.runtime.netlink_wiring import Wiring, wire
from mesh.runtime.netns import create_netns, inside, open_netns, remove_netns
from mesh.wire.feed import PodInfo, Query
from tests.pki import Authority

SECONDS: Final = 10.0
NODES: Final = {"near": ("web", "way"), "far": ("shop", "bakery", "gate")}
"""Which worker serves which pods."""
OUTSIDE: Final = "stranger"
"""A pod that is not in the mesh."""
ADDRESSES: Final = {
    name: (f"10.79.0.{number}", f"fd79::{number:x}")
    for number, name in enumerate(["web", "way", "shop", "bakery", "gate", OUTSIDE], start=2)
}
MESH: Final = Authority()

TOWNS: Final = itertools.count()
FENCES: Final = itertools.count()

Line = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class TownPod:
    """One pod; `netns` is a descriptor of its namespace."""

    name: str
    ip: str
    ip6: str
    netns: int

    @property
    def identity(self) -> Identity:
        return Identity(MESH.trust_domain, "town", self.name)

    @property
    def uid(self) -> str:
        return f"Kubernetes//Pod/town/{self.name}"

    @property
    def info(self) -> PodInfo:
        return PodInfo(self.uid, self.name, "town", self.name)

    def workload(self, **changes: object) -> Workload:
        """What the state says of it, unless the test changes something."""
        words: dict[str, object] = {
            "uid": self.uid,
            "name": self.name,
            "namespace": "town",
            "service_account": self.name,
            "workload_name": self.name,
            "canonical_name": self.name,
            "addresses": (parse_ip(self.ip), parse_ip(self.ip6)),
            "protocol": TunnelProtocol.HBONE,
            "services": {},
            **changes,
        }
        return Workload(**words)  # type: ignore[arg-type]

    def dial(self, host: str, port: int) -> socket.socket:
        """Connect as an application of this pod."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with inside(self.netns):
            made = socket.socket(family)
        made.settimeout(SECONDS)
        try:
            made.connect((host, port))
        except OSError:
            made.close()
            raise
        return made

    def is_refused(self, host: str, port: int) -> bool:
        """Whether a connection is reset, or ended without an octet (it may seem open at first)."""
        try:
            with self.dial(host, port) as client:
                return client.recv(1) == b""
        except ConnectionResetError:
            return True

    def listen(self, port: int, host: str = "::") -> socket.socket:
        """Listen as an application of this pod."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with inside(self.netns):
            made = socket.socket(family)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((host, port))
            made.listen(64)
        except OSError:
            made.close()
            raise
        made.settimeout(SECONDS)
        return made

    @contextmanager
    def serving(self, port: int, serve: Callable[[socket.socket], None]) -> Iterator[None]:
        """Serve each connection in a thread of its own until the block ends."""
        listening = self.listen(port)

        def accept() -> None:
            while True:
                try:
                    accepted, _ = listening.accept()
                except OSError:
                    return
                accepted.settimeout(SECONDS)
                threading.Thread(target=_guarded, args=(serve, accepted), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()
            thread.join(SECONDS)


def _guarded(serve: Callable[[socket.socket], None], accepted: socket.socket) -> None:
    with accepted:
        try:
            serve(accepted)
        except OSError:
            return


def named(pod: TownPod) -> Callable[[socket.socket], None]:
    """An application that says who it is and whom it sees, then echoes."""

    def serve(accepted: socket.socket) -> None:
        accepted.sendall(f"{pod.name} sees {plain(accepted.getpeername()[0])}\n".encode())
        while octets := accepted.recv(65_536):
            accepted.sendall(octets)

    return serve


def plain(host: str) -> str:
    """An address without the clothes of a v4-mapped one."""
    return host.removeprefix("::ffff:")


def line_of(connection: socket.socket) -> str:
    """What the server says up to a line's end."""
    octets = b""
    while not octets.endswith(b"\n"):
        piece = connection.recv(1)
        if not piece:
            raise EOFError(octets)
        octets += piece
    return octets.decode().rstrip("\n")


@dataclass(slots=True)
class Town:
    """Everything that a test may touch."""

    pods: dict[str, TownPod]
    workers: dict[str, Worker]
    read: dict[str, int] = field(default_factory=dict)

    def pod(self, name: str) -> TownPod:
        return self.pods[name]

    @property
    def near(self) -> Worker:
        return self.workers["near"]

    @property
    def far(self) -> Worker:
        return self.workers["far"]

    def tell(
        self,
        workloads: Iterable[Workload] = (),
        services: Iterable[Service] = (),
        policies: Iterable[Authorization] = (),
    ) -> None:
        """Make this the state everywhere; pods that are not named are as they are by default."""
        told = {workload.uid: workload for workload in workloads}
        everyone = [
            told.pop(pod.uid, None) or pod.workload()
            for pod in self.pods.values()
            if pod.name != OUTSIDE
        ]
        for each in self.workers.values():
            each.tell([*everyone, *told.values()], services, policies)

    def repair(self) -> None:
        """Let every worker serve its pods, with good certificates."""
        for node, served in NODES.items():
            for pod in map(self.pod, served):
                self.workers[node].certify(pod.identity, MESH.issue(pod.identity))
                self.workers[node].add(pod.info, pod.netns)

    def service(self, name: str, ip: str, *pods: str, port: int = 80, target: int = 8080,
                **changes: object) -> tuple[Service, list[Workload]]:  # fmt: skip
        """A service in front of pods: itself, and the pods as they become by it."""
        hostname = f"{name}.town.svc.cluster.local"
        ports = (Port(port, target),)
        words: dict[str, object] = {
            "name": name,
            "namespace": "town",
            "hostname": hostname,
            "addresses": (network_address(ip),),
            "ports": ports,
            **changes,
        }
        made = Service(**words)  # type: ignore[arg-type]
        return made, [self.pods[pod].workload(services={made.key: ports}) for pod in pods]

    def settle(self) -> None:
        """Wait until no connection is open and all that were have their lines; forget these."""
        for name, each in self.workers.items():
            while each.ask("connections"):
                pass
            fence = f"fence-{next(FENCES)}"
            each.say(Query(0, fence))
            each.process.wait_line(fence)
            self.read[name] = len(each.process.lines)

    def line(self, who: str, **wanted: object) -> Line:
        """The next line of a worker's log with these fields (dots are written as `__`)."""
        fields = {name.replace("__", "."): value for name, value in wanted.items()}

        def matches(text: str) -> bool:
            line = parsed(text)
            return line is not None and fields.items() <= line.items()

        found = self.workers[who].process.wait_for(matches, self.read.get(who, 0), SECONDS)
        line = parsed(found)
        assert line is not None
        return line


def network_address(ip: str, network: str = "") -> NetworkAddress:
    return NetworkAddress(network, parse_ip(ip))


def parsed(text: str) -> Line | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def strict(where: PolicyScope = PolicyScope.WORKLOAD_SELECTOR) -> Authorization:
    """What STRICT is to a node proxy: no connection without an identity."""
    return Authorization(
        name="strict",
        namespace="town",
        scope=where,
        action=Action.DENY,
        rules=(((Match(not_principals=(StringMatch(StringMatchKind.PRESENCE),)),),),),
    )


def deny(name: str, *callers: str, where: PolicyScope = PolicyScope.NAMESPACE) -> Authorization:
    """No connection from these accounts of the town."""
    principals = tuple(
        StringMatch(StringMatchKind.EXACT, f"cluster.local/ns/town/sa/{caller}")
        for caller in callers
    )
    return Authorization(
        name=name,
        namespace="town",
        scope=where,
        action=Action.DENY,
        rules=(((Match(principals=principals),),),),
    )


@contextmanager
def town(**environment: str) -> Iterator[Town]:
    """Build it, and take it down; the workers may be told more by their environment."""
    number = next(TOWNS)  # the kernel takes links down in its own time: never the same name
    with ExitStack() as stack:
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        stack.callback(os.close, here)
        bridge = f"town{number}"
        wire(here, lambda wiring: wiring.bridge(bridge))
        stack.callback(wire, here, lambda wiring: wiring.remove(bridge))
        pods = {name: stack.enter_context(_pod(here, bridge, name)) for name in ADDRESSES}
        starting = {
            node: worker(**{"LOG_FORMAT": "json", "RUST_LOG": "info", **environment})
            for node in NODES
        }
        with ThreadPoolExecutor() as threads:  # a process takes its time to begin
            begun = {node: threads.submit(each.__enter__) for node, each in starting.items()}
        for each in starting.values():
            stack.push(each)
        made = Town(pods, {node: each.result() for node, each in begun.items()})
        made.repair()
        yield made


@contextmanager
def _pod(here: int, bridge: str, name: str) -> Iterator[TownPod]:
    path = Path(f"/run/netns/{bridge}-{name}")
    create_netns(path)
    netns = open_netns(path)
    ip, ip6 = ADDRESSES[name]
    try:
        raise_loopback(netns)
        wire(here, lambda wiring: wiring.veth(f"{bridge}-{name}", "eth0", netns, bridge=bridge))

        def configure(wiring: Wiring) -> None:
            wiring.up("eth0")
            wiring.address("eth0", f"{ip}/24")
            wiring.address("eth0", f"{ip6}/64")
            wiring.route("10.80.0.0/16", link="eth0")  # services: captured before they are routed

        wire(netns, configure)
        if name != OUTSIDE:
            capture_pod(netns, Capture())
        yield TownPod(name, ip, ip6, netns)
    finally:
        os.close(netns)
        remove_netns(path)
