"""Who a proxy says that it is."""

import pytest

from mesh.errors import ConfigError
from ztunnel.config import Config
from ztunnel.control.node import node_of


def test_a_node_is_named_by_address_pod_and_namespace() -> None:
    node = node_of(
        Config.from_env(
            {
                "POD_NAME": "ztunnel-a",
                "POD_NAMESPACE": "istio-system",
                "INSTANCE_IP": "10.0.0.9",
                "NODE_NAME": "node-a",
                "CLUSTER_ID": "east",
                "ISTIO_META_COLOUR": "red",
                "ISTIO_METAJSON_LABELS": '{"app": "ztunnel"}',
            }
        )
    )
    assert node.id == "ztunnel~10.0.0.9~ztunnel-a.istio-system~istio-system.svc.cluster.local"
    assert node.metadata["NODE_NAME"] == "node-a"
    assert node.metadata["NAMESPACE"] == "istio-system"
    assert node.metadata["CLUSTER_ID"] == "east"
    assert node.metadata["COLOUR"] == "red"
    assert node.metadata["LABELS"]["app"] == "ztunnel"


def test_without_an_address_there_is_a_placeholder() -> None:
    assert node_of(Config.from_env({})).id.startswith("ztunnel~1.1.1.1~")


def test_metadata_that_is_no_json_is_an_error() -> None:
    with pytest.raises(ConfigError, match="ISTIO_METAJSON_X"):
        node_of(Config.from_env({"ISTIO_METAJSON_X": "{"}))
