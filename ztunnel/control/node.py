"""Who this proxy says that it is when it asks for discovery."""

import json
from importlib.metadata import version

from mesh.errors import ConfigError
from mesh.proto.node_pb2 import Node
from mesh.wire.discovery_client import Metadata, make_node
from ztunnel.config import Config

NO_ADDRESS = "1.1.1.1"


def node_of(config: Config) -> Node:
    """The node of the first request on a stream.

    Raises:
        ConfigError: an ISTIO_METAJSON_ variable that is no JSON.
    """
    namespace = config.pod_namespace
    identifier = "~".join(
        (
            "ztunnel",
            config.instance_ip or NO_ADDRESS,
            f"{config.pod_name}.{namespace}",
            f"{namespace}.svc.{config.cluster_domain}",
        )
    )
    metadata: dict[str, Metadata] = {
        "NAME": config.pod_name,
        "NAMESPACE": namespace,
        "INSTANCE_IPS": config.instance_ip or NO_ADDRESS,
        "NODE_NAME": config.node_name,
        "CLUSTER_ID": config.cluster_id,
        "ISTIO_VERSION": version("sluice-mesh"),
        **dict(config.node_metadata),
        **_parsed(config.node_json_metadata),
    }
    return make_node(identifier, metadata)


def _parsed(written: tuple[tuple[str, str], ...]) -> dict[str, Metadata]:
    parsed: dict[str, Metadata] = {}
    problems = []
    for name, text in written:
        try:
            parsed[name] = json.loads(text)
        except ValueError as error:
            problems.append(f"ISTIO_METAJSON_{name}: write JSON ({error})")
    if problems:
        raise ConfigError(tuple(problems))
    return parsed
