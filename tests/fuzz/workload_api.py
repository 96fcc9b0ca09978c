"""Invariant: any octets give a resource of the workload API or a MeshError, nothing else."""

from mesh.errors import MeshError
from mesh.model.address import Ip
from mesh.model.policy import (
    Action,
    Authorization,
    Cidr,
    Match,
    PolicyScope,
    StringMatch,
    StringMatchKind,
)
from mesh.model.workload import (
    GatewayAddress,
    NamespacedHostname,
    NetworkAddress,
    Port,
    Service,
    Workload,
)
from mesh.wire.workload_api import (
    address_from_bytes,
    address_resource,
    authorization_from_bytes,
    authorization_resource,
)

FOUR = Ip(bytes((10, 0, 0, 1)))
GATEWAY = GatewayAddress(NamespacedHostname("shop", "wp"), 15008)
MATCH = Match(
    principals=(StringMatch(StringMatchKind.PREFIX, "cluster.local/"),),
    source_ips=(Cidr(FOUR, 24),),
    destination_ports=(80,),
)
SEEDS = (
    address_resource(
        Workload(
            uid="Kubernetes//Pod/shop/web",
            name="web",
            namespace="shop",
            addresses=(FOUR,),
            waypoint=GATEWAY,
            services={"shop/web": (Port(80, 8080),)},
        )
    ),
    address_resource(
        Service(
            name="web",
            namespace="shop",
            hostname="web",
            addresses=(NetworkAddress("", FOUR, 24),),
            waypoint=GATEWAY,
        )
    ),
    authorization_resource(
        Authorization(
            name="p",
            namespace="shop",
            scope=PolicyScope.NAMESPACE,
            action=Action.DENY,
            rules=(((MATCH,),),),
        )
    ),
)


def one_input(octets: bytes) -> None:
    """Read as both kinds; what was read and written is read as the same."""
    try:
        address = address_from_bytes(octets)
    except MeshError:
        pass
    else:
        if address_from_bytes(address_resource(address)) != address:
            raise AssertionError(f"{address} is not what was read")
    try:
        policy = authorization_from_bytes(octets)
    except MeshError:
        return
    if authorization_from_bytes(authorization_resource(policy)) != policy:
        raise AssertionError(f"{policy} is not what was read")
