"""Resources for tests of the control process."""

from mesh.model.address import parse_ip
from mesh.model.identity import Identity
from mesh.model.policy import Action, Authorization, PolicyScope
from mesh.model.workload import Service, TunnelProtocol, Workload


def workload(name: str, *, ip: str = "10.0.0.1", node: str = "node-a") -> Workload:
    return Workload(
        uid=f"Kubernetes//Pod/shop/{name}",
        name=name,
        namespace="shop",
        service_account=name,
        addresses=(parse_ip(ip),),
        protocol=TunnelProtocol.HBONE,
        node=node,
        services={},
    )


def service(name: str) -> Service:
    return Service(name=name, namespace="shop", hostname=f"{name}.shop.svc.cluster.local")


def policy(name: str) -> Authorization:
    return Authorization(
        name=name, namespace="shop", scope=PolicyScope.NAMESPACE, action=Action.DENY
    )


def identity(name: str) -> Identity:
    return Identity("cluster.local", "shop", name)
