"""The first proxy: where a connection goes that leaves a pod, decided as its node proxy does."""

from cni.eligibility import judge as judge_eligibility
from mesh.model.address import Ip, SocketAddress
from mesh.model.kubernetes import ObjectKey
from mesh.model.names import OWN_PORTS
from mesh.model.workload import Workload
from mesh.routing.balance import Purpose, pick
from mesh.routing.codes import NO_ENDPOINT
from mesh.routing.decisions import (
    Decision,
    DoubleHbone,
    Hbone,
    NeedsResolution,
    Passthrough,
    PlainTcp,
    Refused,
)
from mesh.routing.inbound import authority_of
from mesh.routing.outbound import choose
from mesh.runtime.worker.failures import SelfCallError
from sluice.why.arrival import arrive_by_tunnel, arrive_plain
from sluice.why.errors import NAME_UNKNOWN
from sluice.why.parties import Callee, Caller, called, cluster_service, name_is_ours
from sluice.why.steps import Ask, Peer, Steps
from sluice.why.waypoint import pass_waypoint

_SYSTEM = "istio-system"


def walk(steps: Steps, caller: Caller, callee: Callee, ask: Ask) -> None:
    """From the caller's application to where it ends."""
    _capture(steps, caller)
    ip = _resolve(steps, caller, callee)
    if ip is None:
        return
    to = called(callee, ip)
    if not caller.is_captured:
        _directly(steps, caller, to)
        return
    source = caller.workload
    at = f"proxy of {source.namespace}/{source.name}"
    if to.port in OWN_PORTS and to.ip in source.addresses:
        steps.refuse("tunnel", at, "this port is the proxy's own", code=SelfCallError.code)
        return
    decision = choose(steps.known.world, source, to, network=source.network, chance=steps.chance)
    _obey(steps, caller, callee, ask, decision)


def _capture(steps: Steps, caller: Caller) -> None:
    workload = caller.workload
    if caller.is_captured:
        steps.add("capture", caller.word, f"is in the mesh as {workload.identity}")
    elif not caller.is_known:
        steps.add("capture", caller.word, "is no workload: what it sends is plain text")
    elif workload.native_tunnel:
        steps.add("capture", caller.word, "is a proxy itself: nobody captures what it sends")
    else:
        steps.add("capture", caller.word, f"is not in the mesh: {_because(steps, workload)}")


def _because(steps: Steps, workload: Workload) -> str:
    pod = steps.known.pod(workload)
    if pod is None:
        return "it has no tunnel"
    namespace = steps.known.objects.get(ObjectKey("Namespace", "", workload.namespace))
    labels = {} if namespace is None else namespace.labels
    found = judge_eligibility(pod, labels, excluded=(), proxy_namespace=_SYSTEM)
    return "it is to be, and is not captured yet" if found.enrol else found.because


def _resolve(steps: Steps, caller: Caller, callee: Callee) -> Ip | None:
    """The address that is called; None when the walk is over."""
    if callee.addresses:
        found = callee.addresses[steps.chance(len(callee.addresses))]
        if callee.name:
            steps.add("name", "DNS", f"{callee.name} is {SocketAddress(found, callee.port)}")
        return found
    if name_is_ours(steps.known.world, callee.name):
        text = f"{callee.name} is no name that {caller.word} can see, or it has no address"
        steps.refuse("name", "DNS", text, code=NAME_UNKNOWN)
        return None
    steps.add("name", "DNS", f"{callee.name} is not known in the mesh: the DNS outside is asked")
    _outside(steps, f"{callee.name}:{callee.port}, if it has an address")
    return None


def _outside(steps: Steps, what: str) -> None:
    steps.add("outside", "the way out", f"as it is, in plain text, to {what}")
    steps.unseen = "what is outside of the mesh"


def _directly(steps: Steps, caller: Caller, to: SocketAddress) -> None:
    """Not captured: kube-proxy chooses an endpoint, and nobody asks a waypoint."""
    world, source = steps.known.world, caller.workload
    peer = Peer(_address_of(source, to.ip))
    workload = world.workload_at(source.network, to.ip)
    service = cluster_service(world, source, to.ip)
    if workload is None and service is not None:
        endpoint = pick(world, service, source, to.port, Purpose.DESTINATION, steps.chance)
        if endpoint is None:
            text = f"no endpoint of {service.key} is ready for port {to.port}"
            steps.refuse("service", "kube-proxy", text, code=NO_ENDPOINT)
            return
        past = " past its waypoint" if service.waypoint is not None else ""
        workload = endpoint.workload
        ip = _address_of(workload, to.ip)
        to = SocketAddress(ip, endpoint.port)
        text = f"{service.key} goes{past} to {workload.namespace}/{workload.name} at {to}"
        steps.add("service", "kube-proxy", text)
    if workload is None:
        _outside(steps, str(to))
    else:
        arrive_plain(steps, workload, to, peer)


def _obey(steps: Steps, caller: Caller, callee: Callee, ask: Ask, decision: Decision) -> None:
    source = caller.workload
    at = f"proxy of {source.namespace}/{source.name}"
    match decision:
        case Refused():
            steps.refuse("service", at, decision.reason, code=decision.code)
        case Passthrough():
            steps.add("service", at, f"knows nobody at {decision.destination}")
            _outside(steps, str(decision.destination))
        case PlainTcp(workload=Workload() as workload):
            steps.add("plain", at, f"to {_named(workload)} at {decision.destination}, no tunnel")
            peer = Peer(_address_of(source, decision.destination.ip))
            arrive_plain(steps, workload, decision.destination, peer)
        case PlainTcp():
            _outside(steps, str(decision.destination))
        case Hbone():
            _tunnel(steps, at, source, callee, ask, decision)
        case DoubleHbone():
            text = f"by {decision.gateway} of another network, for {decision.authority}"
            steps.add("tunnel", at, text)
            steps.unseen = "the other network"
        case NeedsResolution():
            text = f"asks DNS for {decision.hostname}, whose address nobody has told"
            steps.add("name", at, text)
            # Any address will do: how it is reached is the same for each.
            known = decision.fitting([decision.wanted], steps.chance)
            _unresolved(steps, at, decision.hostname, known)


def _unresolved(steps: Steps, at: str, hostname: str, decision: Decision) -> None:
    match decision:
        case PlainTcp(destination=to):
            _outside(steps, f"{hostname}:{to.port}")
        case Refused():
            steps.refuse("service", at, decision.reason, code=decision.code)
        case _:
            steps.add("tunnel", at, f"to {hostname} by the tunnel")
            steps.unseen = "who answers at that name"


def _tunnel(steps: Steps, at: str, source: Workload, callee: Callee, ask: Ask, way: Hbone) -> None:
    peer = Peer(_address_of(source, way.connect_to.ip), source.identity)
    authority = authority_of(way.authority.encode())
    is_direct = isinstance(authority, SocketAddress) and authority.ip in way.workload.addresses
    if is_direct:
        text = f"tunnel to {_named(way.workload)} for {way.authority}, as {source.identity}"
        steps.add("tunnel", at, text)
        arrive_by_tunnel(steps, way, peer)
    else:
        text = f"tunnel to the waypoint {_named(way.workload)} for {way.authority}"
        steps.add("tunnel", at, text)
        pass_waypoint(steps, way, peer, callee.authority, ask)


def _named(workload: Workload) -> str:
    return f"{workload.namespace}/{workload.name}"


def _address_of(workload: Workload, like: Ip) -> Ip:
    alike = (ip for ip in workload.addresses if len(ip) == len(like))
    return next(alike, next(iter(workload.addresses), like))
