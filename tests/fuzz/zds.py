"""Invariant: any octets give a message of ZDS or a MeshError, never anything else."""

from mesh.errors import MeshError
from mesh.wire import zds
from mesh.wire.feed import PodInfo

SEEDS = (
    zds.encode_request(zds.AddPod(PodInfo("uid", "web-1", "shop", "web"))),
    zds.encode_request(zds.KeepPod("uid")),
    zds.encode_request(zds.DelPod("uid")),
    zds.encode_request(zds.SnapshotSent()),
    zds.encode_response("port 15001 is taken"),
    zds.encode_hello(),
)


def one_input(octets: bytes) -> None:
    """Decode as each kind; a request that was read and encoded again is read as the same."""
    for decode in (zds.decode_hello, zds.decode_response):
        try:
            decode(octets)
        except MeshError:
            continue
    for descriptors in (0, 1):
        try:
            request = zds.decode_request(octets, descriptors)
        except MeshError:
            continue
        if zds.decode_request(zds.encode_request(request), descriptors) != request:
            raise AssertionError(f"{request} is not what was read")
