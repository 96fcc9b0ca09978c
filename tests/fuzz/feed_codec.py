"""Invariant: any octets give a message of the feed or a MeshError, never anything else."""

from mesh.errors import MeshError
from mesh.model.identity import Identity
from mesh.wire.feed import AddPod, Certificate, Hello, PodInfo, StateDelta
from mesh.wire.feed_codec import decode, encode

WEB = Identity("cluster.local", "shop", "web")
SEEDS = (
    encode(AddPod(PodInfo("uid", "web-1", "shop", "web"))),
    encode(Certificate(WEB, b"key", b"chain", b"roots", 1.5)),
    encode(Hello(7, 3, (WEB,))),
    encode(StateDelta(9, last=True, removed_addresses=("a", "b"))),
)


def one_input(octets: bytes) -> None:
    """Decode; what was decoded and encoded again is read as the same."""
    try:
        message = decode(octets)
    except MeshError:
        return
    again = encode(message)
    if encode(decode(again)) != again:  # octets, since NaN is not equal to itself
        raise AssertionError(f"{message} is not what was read")
