"""Invariant: any octets on the plugin's socket give a call or a MeshError, never anything else."""

from cni.plugin_call import TRY_AGAIN, decode, failure, success
from mesh.errors import MeshError

VARIABLES = b"CNI_COMMAND=ADD\0CNI_NETNS=/run/netns/x\0CNI_ARGS=K8S_POD_NAME=a;K8S_POD_UID=b"
CONFIG = b'{"cniVersion": "1.0.0", "prevResult": {"ips": [{"address": "10.0.0.1/24"}]}}'
SEEDS = (VARIABLES + b"\0\0" + CONFIG, b"CNI_COMMAND=DEL\0\0{}")


def one_input(octets: bytes) -> None:
    """Decode; what was read can be answered."""
    try:
        call = decode(octets)
    except MeshError as error:
        failure("", TRY_AGAIN, error)
        return
    success(call)
