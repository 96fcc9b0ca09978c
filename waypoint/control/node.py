"""Who this waypoint says that it is when it asks for discovery."""

from importlib.metadata import version
from typing import Final

from mesh.proto.node_pb2 import Node
from mesh.wire.discovery_client import Metadata, make_node
from waypoint.config import Config

NO_ADDRESS: Final = "1.1.1.1"


def node_of(config: Config) -> Node:
    """The node of the first request on a stream; its metadata names the Gateway."""
    namespace = config.pod_namespace
    identifier = "~".join(
        (
            "waypoint",
            config.instance_ip or NO_ADDRESS,
            f"{config.pod_name}.{namespace}",
            f"{namespace}.svc.{config.cluster_domain}",
        )
    )
    metadata: dict[str, Metadata] = {
        "NAME": config.pod_name,
        "NAMESPACE": namespace,
        "GATEWAY_NAME": config.gateway,
        "SERVICE_ACCOUNT": config.service_account,
        "INSTANCE_IPS": config.instance_ip or NO_ADDRESS,
        "NODE_NAME": config.node_name,
        "CLUSTER_ID": config.cluster_id,
        "ISTIO_VERSION": version("sluice-mesh"),
        **dict(config.node_metadata),
    }
    return make_node(identifier, metadata)
