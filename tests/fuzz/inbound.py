"""Invariant: any authority and `forwarded` give a Dial or a Refusal, never an exception."""

from mesh.model.address import Ip, SocketAddress
from mesh.model.workload import NetworkAddress, Port, Service, Workload
from mesh.routing.inbound import Dial, admit
from mesh.state.world import World
from mesh.wire.feed import StateDelta

NEAR = SocketAddress(Ip(bytes((10, 0, 0, 2))), 15008)
POD = Workload(
    uid="c//Pod/shop/web", name="web", namespace="shop", addresses=(NEAR.ip,), services={}
)
WEB = Service(
    name="web",
    namespace="shop",
    hostname="web",
    addresses=(NetworkAddress("", Ip(bytes((10, 96, 0, 1)))),),
    ports=(Port(80, 8080),),
)
SEEDS = (b"10.0.0.2:8080", b"[::1]:80", b"web:80", b'for="10.0.0.1:1";host=web')


def one_input(octets: bytes) -> None:
    """Admit it; what is dialled is the pod itself, and never a port of the proxy."""
    world = World()
    world.apply(StateDelta(1, last=True, workloads=(POD,), services=(WEB,)))
    headers = {b":method": b"CONNECT", b":authority": octets, b"forwarded": octets}
    decision = admit(world, POD, headers, NEAR)
    if isinstance(decision, Dial):
        own_port = decision.connect_to.port in (0, 15001, 15006, 15008)
        if own_port or decision.connect_to.ip != NEAR.ip:
            raise AssertionError(f"{octets!r} is let to {decision}")
