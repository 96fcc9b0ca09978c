"""What the status of a Gateway says (Gateway API, and Istio where that says more).

1. An address is there only once a pod of the waypoint was ready, and is not taken away later.
2. Whatever is not served says so: Accepted is False, with what comes instead.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from controlplane.translate.conditions import condition
from controlplane.translate.facts import GatewayFacts, ListenerFacts
from controlplane.translate.store import Store
from controlplane.translate.waypoint_names import host_of, is_addressed, is_manual, service_at
from mesh.model.address import format_ip
from mesh.model.fields import Json
from mesh.model.names import GATEWAY_GROUP
from mesh.model.workload import WorkloadStatus

ROUTE_KINDS = ("HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute")
"""That a waypoint's listener can have."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether something is so, and why."""

    is_met: bool
    reason: str
    message: str

    def condition(self, kind: str) -> dict[str, Json]:
        """As a condition of a status."""
        return condition(kind, "True" if self.is_met else "False", self.reason, self.message)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said about a Gateway."""

    accepted: Outcome
    programmed: Outcome
    addresses: tuple[tuple[str, str], ...] = ()
    """Type and value."""
    problems: tuple[str, ...] = ()


_ACCEPTED = Outcome(is_met=True, reason="Accepted", message="it is served by this control plane")
_PROGRAMMED = Outcome(is_met=True, reason="Programmed", message="it has an address, and is ready")


def not_served(why: str) -> Verdict:
    """A Gateway of a class that is ours, and whose Gateways nobody serves yet."""
    return _refused("Invalid", f"spec.gatewayClassName: is not served yet: {why}")


def _refused(reason: str, message: str) -> Verdict:
    accepted = Outcome(is_met=False, reason=reason, message=message)
    programmed = Outcome(is_met=False, reason="Invalid", message="it is not accepted")
    return Verdict(accepted, programmed, (), (message,))


def judge_remote(gateway: GatewayFacts) -> Verdict:
    """The gateway of another network: nothing is made, and its addresses are those it asks for."""
    if gateway.asked:
        return Verdict(_ACCEPTED, _PROGRAMMED, gateway.asked)
    if gateway.ips or gateway.hostname:  # somebody has written them into its status
        return Verdict(_ACCEPTED, _PROGRAMMED, _known(gateway))
    mend = "spec.addresses: is empty: say where the other network's gateway is"
    return Verdict(_ACCEPTED, Outcome(is_met=False, reason="AddressNotAssigned", message=mend))


def judge_waypoint(store: Store, gateway: GatewayFacts, taken: Sequence[str]) -> Verdict:
    """A waypoint; `taken` are objects in its way that are somebody else's."""
    if gateway.has_parameters:
        mend = "spec.infrastructure.parametersRef: is not read yet: remove it"
        return _refused("InvalidParameters", mend)
    problem = next(_misuse(gateway), "")
    if problem:
        return _refused("ListenersNotValid", problem)
    unknown = [kind for kind, _ in gateway.asked if kind not in ("IPAddress", "Hostname")]
    if unknown:
        mend = f"spec.addresses: type {unknown[0]!r} is not one of IPAddress and Hostname"
        return _refused("UnsupportedAddress", mend)
    programmed = _programmed(store, gateway, taken)
    addresses = _addresses(store, gateway, programmed)
    problems = (programmed.message,) if taken else ()
    return Verdict(_ACCEPTED, programmed, addresses, problems)


def _misuse(gateway: GatewayFacts) -> Iterator[str]:
    mend = "a waypoint has one listener, of protocol HBONE and port 15008"
    if len(gateway.listeners) != 1:
        yield f"spec.listeners: {mend}; there are {len(gateway.listeners)}"
    elif gateway.hbone is None:
        only = gateway.listeners[0]
        yield f"spec.listeners[0]: {mend}; this one has {only.protocol} and {only.port}"


def _programmed(store: Store, gateway: GatewayFacts, taken: Sequence[str]) -> Outcome:
    if taken:
        mend = f"{' and '.join(taken)} is there already, and not made by this control plane"
        message = f"{mend}: remove it, or give the Gateway the annotation of another name"
        return Outcome(is_met=False, reason="Invalid", message=message)
    service = service_at(store, host_of(store, gateway))
    facts = store.services.get(*service) if service else None
    if is_manual(gateway):
        if facts is not None or service is None:
            return _PROGRAMMED
        message = f"spec.addresses: there is no Service {'/'.join(service)}: make it"
        return Outcome(is_met=False, reason="AddressNotUsable", message=message)
    where = f"Deployment {gateway.key.namespace}/{gateway.service_name}"
    if facts is not None and has_ready_pod(store, gateway):
        return _PROGRAMMED
    if is_addressed(gateway):
        return Outcome(is_met=False, reason="Pending", message=f"no pod of {where} is ready now")
    message = f"waits for a pod of {where} to be ready"
    return Outcome(is_met=False, reason="AddressNotAssigned", message=message)


def has_ready_pod(store: Store, gateway: GatewayFacts) -> bool:
    """Whether any pod of a Gateway is ready."""
    return any(
        pod.workload is not None and pod.workload.status is WorkloadStatus.HEALTHY
        for pod in store.pods_of_gateway(gateway.key)
    )


def _addresses(
    store: Store, gateway: GatewayFacts, programmed: Outcome
) -> tuple[tuple[str, str], ...]:
    if is_manual(gateway):
        hosts = ("Hostname", host_of(store, gateway))
        return (*(each for each in gateway.asked if each[0] == "IPAddress"), hosts)
    if not (programmed.is_met or is_addressed(gateway)):
        return ()
    service = store.services.get(gateway.key.namespace, gateway.service_name)
    if service is None:
        return _known(gateway)
    ips = (("IPAddress", format_ip(ip)) for ip in service.addresses)
    return (*ips, ("Hostname", host_of(store, gateway)))


def _known(gateway: GatewayFacts) -> tuple[tuple[str, str], ...]:
    """What its status says already."""
    host = (("Hostname", gateway.hostname),) if gateway.hostname else ()
    return (*(("IPAddress", text) for _, text in gateway.ips), *host)


def status_of(gateway: GatewayFacts, verdict: Verdict) -> dict[str, Json]:
    """A Gateway's whole status."""
    return {
        "addresses": [{"type": kind, "value": value} for kind, value in verdict.addresses],
        "conditions": [
            verdict.accepted.condition("Accepted"),
            verdict.programmed.condition("Programmed"),
        ],
        "listeners": [_listener(each, verdict) for each in gateway.listeners],
        "attachedListenerSets": 0,
    }


def _listener(listener: ListenerFacts, verdict: Verdict) -> Json:
    good = verdict.accepted.is_met and listener.is_hbone
    bad = "UnsupportedProtocol" if not listener.is_hbone else "UnsupportedValue"
    accepted = _ACCEPTED
    if not good:
        accepted = Outcome(is_met=False, reason=bad, message=verdict.accepted.message)
    programmed = Outcome(is_met=good, reason="Programmed", message="")
    if not good:
        programmed = Outcome(is_met=False, reason="Invalid", message="it is not accepted")
    elif not verdict.programmed.is_met:
        programmed = Outcome(is_met=False, reason="Pending", message=verdict.programmed.message)
    kinds, unknown = _kinds(listener)
    resolved = Outcome(is_met=True, reason="ResolvedRefs", message="")
    if unknown:
        mend = f"allowedRoutes.kinds: {', '.join(unknown)}: not among {', '.join(ROUTE_KINDS)}"
        resolved = Outcome(is_met=False, reason="InvalidRouteKinds", message=mend)
    return {
        "name": listener.name,
        "supportedKinds": [{"group": GATEWAY_GROUP, "kind": kind} for kind in kinds],
        "attachedRoutes": 0,
        "conditions": [
            accepted.condition("Accepted"),
            programmed.condition("Programmed"),
            condition("Conflicted", "False", "NoConflicts", ""),
            resolved.condition("ResolvedRefs"),
        ],
    }


def _kinds(listener: ListenerFacts) -> tuple[list[str], list[str]]:
    """The kinds of routes that a listener takes, and those it allows that nobody knows."""
    if not listener.is_hbone:
        return [], []
    if listener.kinds is None:
        return [*ROUTE_KINDS], []
    known = [kind for group, kind in listener.kinds if group == GATEWAY_GROUP]
    unknown = [
        kind
        for each in listener.kinds
        if (kind := each[1]) not in ROUTE_KINDS or each[0] != GATEWAY_GROUP
    ]
    return [kind for kind in known if kind in ROUTE_KINDS], unknown
