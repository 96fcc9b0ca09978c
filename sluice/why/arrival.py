"""The last proxy: whether a pod's own node proxy lets a connection in."""

from typing import Final

from cni.eligibility import capture_of
from mesh.model.address import SocketAddress
from mesh.model.fields import FieldInvalidError
from mesh.model.names import OWN_PORTS
from mesh.model.workload import TunnelProtocol, Workload
from mesh.policy.authorize import ConnectionFacts, authorize
from mesh.routing.decisions import Hbone
from mesh.routing.inbound import Refusal, admit
from mesh.runtime.worker.failures import SelfCallError
from sluice.why.mends import PLAIN_TEXT
from sluice.why.steps import By, Peer, Steps

UNAUTHORISED: Final = 401
_STRICT: Final = ("istio_converted_static_strict", "converted_peer_authentication_")
"""How the names of policies begin that PeerAuthentications become."""


def arrive_by_tunnel(steps: Steps, way: Hbone, peer: Peer) -> None:
    """At 15008 of the pod."""
    workload = way.workload
    at = _proxy(workload)
    headers = {b":method": b"CONNECT", b":authority": way.authority.encode()}
    admitted = admit(steps.known.world, workload, headers, way.connect_to)
    if isinstance(admitted, Refusal):
        steps.refuse("inbound", at, admitted.reason, code=admitted.code, status=admitted.status)
        return
    steps.add("inbound", at, f"takes the tunnel as {workload.identity}")
    if _judge(steps, workload, peer, admitted.destination):
        _arrived(steps, workload, admitted.connect_to)


def arrive_plain(steps: Steps, workload: Workload, to: SocketAddress, peer: Peer) -> None:
    """In plain text, at the pod's own port; at 15006 where its proxy stands before it."""
    at = _proxy(workload)
    if workload.protocol is not TunnelProtocol.HBONE or workload.native_tunnel:
        steps.add("inbound", _name(workload), "is not in the mesh: nobody judges what comes")
        _arrived(steps, workload, to)
    elif not _is_captured(steps, workload):
        steps.add("inbound", _name(workload), "its annotation lets plain text past its proxy")
        _arrived(steps, workload, to)
    elif to.port in OWN_PORTS:
        steps.refuse("inbound", at, "this port is the proxy's own", code=SelfCallError.code)
    else:
        steps.add("inbound", at, "takes plain text: nobody says who calls")
        if _judge(steps, workload, peer, to):
            _arrived(steps, workload, to)


def _judge(steps: Steps, workload: Workload, peer: Peer, to: SocketAddress) -> bool:
    verdict = authorize(steps.known.world, workload, ConnectionFacts(peer.identity, peer.ip, to))
    at = _proxy(workload)
    caller = "a caller without an identity" if peer.identity is None else str(peer.identity)
    if not verdict.allowed:
        is_strict = peer.identity is None and verdict.policy.partition("/")[2].startswith(_STRICT)
        rule = "" if verdict.rule is None else f", rule {verdict.rule}"
        words = f"{verdict.reason}{rule} ({caller})"
        if is_strict:
            words = f"mutual TLS is demanded (PeerAuthentication STRICT): {words}"
        by = By(verdict.policy, verdict.rule, mend=PLAIN_TEXT if is_strict else "")
        status = 0 if peer.identity is None else UNAUTHORISED
        steps.refuse("policy", at, words, code=verdict.code, status=status, by=by)
        return False
    why = f"allowed by {verdict.policy}, rule {verdict.rule}" if verdict.policy else "no policy"
    tried = f"; only tried: {', '.join(verdict.dry_run)}" if verdict.dry_run else ""
    steps.add("policy", at, f"{caller} passes: {why}{tried}", policy=verdict.policy)
    return True


def _is_captured(steps: Steps, workload: Workload) -> bool:
    pod = steps.known.pod(workload)
    try:
        return pod is None or capture_of(pod).inbound
    except FieldInvalidError:
        return True


def _arrived(steps: Steps, workload: Workload, to: SocketAddress) -> None:
    steps.add("arrival", _name(workload), f"the application at {to} gets it, if it listens there")


def _name(workload: Workload) -> str:
    return f"{workload.namespace}/{workload.name}"


def _proxy(workload: Workload) -> str:
    return f"proxy of {_name(workload)}"
