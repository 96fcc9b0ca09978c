"""Whose connections are whose."""

from cni.flows import inbound_ports, proxied, unproxied
from mesh.model.address import SocketAddress, parse_ip
from mesh.runtime.netlink_sockets import Connection

POD, CLIENT, SERVER, LOOPBACK = "10.0.0.2", "10.0.0.9", "10.0.0.7", "127.0.0.1"


def end(local: tuple[str, int], remote: tuple[str, int], mark: int = 0) -> Connection:
    here, there = (SocketAddress(parse_ip(ip), port) for ip, port in (local, remote))
    return Connection(here, there, mark, is_listening=remote[1] == 0, identity=bytes(49))


APPLICATION = end(("0.0.0.0", 80), ("0.0.0.0", 0))
PROXY = end(("0.0.0.0", 15006), ("0.0.0.0", 0), 0x539)
DIRECT_IN = end((POD, 80), (CLIENT, 4000))
DIRECT_OUT = end((POD, 5000), (SERVER, 443))
PROXIED_IN = end((POD, 80), (CLIENT, 4001))
PROXIED_OUT = end((POD, 5001), (SERVER, 443))
CARRYING = [
    end((CLIENT, 4001), (POD, 80), 0x539),
    end((POD, 15006), (CLIENT, 4100), 0x539),
    end((LOOPBACK, 15001), (POD, 5001), 0x539),
    end((POD, 5002), (SERVER, 15008), 0x539),
]
ITSELF = [end((POD, 80), (POD, 6000)), end((POD, 6000), (POD, 80))]
ALL = [APPLICATION, PROXY, DIRECT_IN, DIRECT_OUT, PROXIED_IN, PROXIED_OUT, *CARRYING, *ITSELF]


def test_a_connection_that_the_proxy_carries_is_told_from_one_that_goes_past_it() -> None:
    assert proxied(ALL) == (PROXIED_IN, PROXIED_OUT)
    assert unproxied(ALL) == (DIRECT_IN, DIRECT_OUT)


def test_the_application_s_ports_are_not_the_proxy_s() -> None:
    assert inbound_ports(ALL) == {80}
