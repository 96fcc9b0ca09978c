"""ZDS: what a node agent and a node proxy say to each other (reference: Istio's `zds.proto`).

1. The agent listens on a SOCK_SEQPACKET socket; the proxy connects and says hello.
2. Then the agent asks, one request at a time, and the proxy answers each, in order. The proxy never
   sends anything else: its peer takes it for an error.
3. One message is one packet of at most MAX_PACKET_OCTETS. Exactly one descriptor (the pod's network
   namespace) comes with AddPod, none with anything else.
4. Any octets give a message or a PeerError.
"""

from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError, Message

from mesh.errors import PeerError, UnavailableError
from mesh.proto import zds_pb2
from mesh.wire.feed import PodInfo

MAX_PACKET_OCTETS: Final = 1024
"""Both sides read into a buffer of this size: what is longer arrives cut."""

MAX_ERROR_OCTETS: Final = 960
"""The text of a refusal; the rest of the packet is the message around it."""


@dataclass(frozen=True, slots=True)
class AddPod:
    """Serve this pod. The packet carries its netns descriptor."""

    pod: PodInfo


@dataclass(frozen=True, slots=True)
class KeepPod:
    """Before the snapshot's end: this pod, which the proxy already has, is still to be served."""

    uid: str


@dataclass(frozen=True, slots=True)
class DelPod:
    """Stop serving this pod. One that is not known is fine."""

    uid: str


@dataclass(frozen=True, slots=True)
class SnapshotSent:
    """All pods have been told: what was neither added nor kept is to go."""


Request = AddPod | KeepPod | DelPod | SnapshotSent


class ZdsInvalidError(PeerError):
    """A packet of the node agent (or the node proxy) that the protocol does not allow."""

    code = "zds_invalid"

    def __init__(self, reason: str) -> None:
        """Keep what was wrong."""
        super().__init__(f"not a message of ZDS: {reason}")
        self.reason = reason


class ZdsTooLargeError(UnavailableError):
    """A pod whose names do not fit into a ZDS packet."""

    code = "zds_too_large"

    def __init__(self, uid: str, size: int) -> None:
        """Keep the pod's uid and the size in octets."""
        super().__init__(f"pod {uid[:64]!r}: {size} octets, more than {MAX_PACKET_OCTETS}")
        self.uid, self.size = uid, size


# The agent's side.


def encode_request(request: Request) -> bytes:
    """The packet of a request; the descriptor of an AddPod goes beside it.

    Raises:
        ZdsTooLargeError: the names do not fit.
    """
    packet = _request(request).SerializeToString()
    if len(packet) > MAX_PACKET_OCTETS:
        raise ZdsTooLargeError(_uid(request), len(packet))
    return packet


def decode_response(packet: bytes) -> str:
    """The proxy's answer: an empty text is success, anything else why not.

    Raises:
        ZdsInvalidError: the octets are no answer.
    """
    message = zds_pb2.WorkloadResponse()
    _parse(message, packet)
    if message.WhichOneof("payload") != "ack":
        raise ZdsInvalidError("an answer that is no ack")
    return message.ack.error


def decode_hello(packet: bytes) -> None:
    """Check a proxy's first packet.

    Raises:
        ZdsInvalidError: no hello, or of a version that we do not speak.
    """
    message = zds_pb2.ZdsHello()
    _parse(message, packet)
    if message.version != zds_pb2.V1:
        raise ZdsInvalidError(f"hello of version {message.version}, not {zds_pb2.V1}")


# The proxy's side.


def encode_hello() -> bytes:
    """The proxy's first packet."""
    return zds_pb2.ZdsHello(version=zds_pb2.V1).SerializeToString()


def encode_response(error: str = "") -> bytes:
    """The answer to one request: success, or why not (cut to what fits)."""
    text = error.encode()[:MAX_ERROR_OCTETS].decode(errors="ignore")
    return zds_pb2.WorkloadResponse(ack=zds_pb2.Ack(error=text)).SerializeToString()


def decode_request(packet: bytes, descriptors: int) -> Request:
    """The request in a packet.

    Args:
        packet: what was received; of a cut packet (MSG_TRUNC) there is nothing to decode.
        descriptors: how many came along; the caller keeps them, and closes them when this raises.

    Raises:
        ZdsInvalidError: no request, or a descriptor too many or too few.
    """
    message = zds_pb2.WorkloadRequest()
    _parse(message, packet)
    request = _meant(message)
    expected = 1 if isinstance(request, AddPod) else 0
    if descriptors != expected:
        raise ZdsInvalidError(f"{type(request).__name__} with {descriptors} descriptors")
    return request


def _meant(message: zds_pb2.WorkloadRequest) -> Request:
    match message.WhichOneof("payload"):
        case "add":
            return AddPod(_pod(message.add))
        case "keep":
            return KeepPod(_named(message.keep.uid))
        case "del":
            return DelPod(_named(_del(message).uid))
        case "snapshot_sent":
            return SnapshotSent()
        case _:
            raise ZdsInvalidError("a request that asks nothing")


def _pod(added: zds_pb2.AddWorkload) -> PodInfo:
    if not added.HasField("workload_info"):
        raise ZdsInvalidError("AddPod without workload_info")
    about = added.workload_info
    return PodInfo(_named(added.uid), about.name, about.namespace, about.service_account)


def _named(uid: str) -> str:
    if not uid:
        raise ZdsInvalidError("a pod without uid")
    return uid


def _request(request: Request) -> zds_pb2.WorkloadRequest:
    match request:
        case AddPod(PodInfo(uid, name, namespace, account)):
            about = zds_pb2.WorkloadInfo(name=name, namespace=namespace, service_account=account)
            return zds_pb2.WorkloadRequest(add=zds_pb2.AddWorkload(uid=uid, workload_info=about))
        case KeepPod(uid):
            return zds_pb2.WorkloadRequest(keep=zds_pb2.KeepWorkload(uid=uid))
        case DelPod(uid):
            return _deletion(uid)
        case SnapshotSent():
            return zds_pb2.WorkloadRequest(snapshot_sent=zds_pb2.SnapshotSent())


def _deletion(uid: str) -> zds_pb2.WorkloadRequest:
    message = zds_pb2.WorkloadRequest()
    _del(message).uid = uid
    return message


def _del(message: zds_pb2.WorkloadRequest) -> zds_pb2.DelWorkload:
    # `del` is a word of Python's: the field can be named in a text only.
    deletion: zds_pb2.DelWorkload = getattr(message, "del")
    return deletion


def _uid(request: Request) -> str:
    match request:
        case AddPod(pod):
            return pod.uid
        case KeepPod(uid) | DelPod(uid):
            return uid
        case SnapshotSent():
            return ""


def _parse(message: Message, packet: bytes) -> None:
    if len(packet) > MAX_PACKET_OCTETS:
        raise ZdsInvalidError(f"{len(packet)} octets, more than {MAX_PACKET_OCTETS}")
    try:
        message.ParseFromString(packet)
    except DecodeError as error:
        raise ZdsInvalidError(str(error)) from None
