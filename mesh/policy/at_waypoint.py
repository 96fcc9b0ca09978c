"""What a waypoint's policies are asked, and which of them: for waypoints and `sluice why` alike."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from mesh.model.address import Ip
from mesh.model.identity import Identity
from mesh.model.request_policy import RequestPolicy, TokenPolicy
from mesh.policy.requests import (
    UNENFORCEABLE,
    Claim,
    RequestFacts,
    RequestVerdict,
    judge_request,
)
from mesh.routing.http.paths import spellings
from mesh.routing.waypoint import Called
from mesh.wire.http.messages import RequestHead


def policed_service(called: Called) -> str:
    """The service whose policies concern what was called; empty when it is no service."""
    # Of a workload that was called by its address, the service is only a guess.
    return called.service.key if called.service and called.workload is None else ""


def is_for(policy: RequestPolicy | TokenPolicy, gateway: str, service: str) -> bool:
    """Whether a policy is for a service (empty: for none) at a Gateway, `namespace/name`."""
    return gateway in policy.waypoints or any(
        target.service == service for target in policy.targets if service
    )


def facts_of_request(
    peer: Identity | None,
    source_ip: Ip,
    called: Called,
    head: RequestHead,
    claims: Mapping[str, Claim] | None = None,
) -> RequestFacts:
    """What policies may ask about a request; nobody before us is trusted to say another address."""
    path = head.target.partition(b"?")[0]
    return RequestFacts(
        peer=peer,
        source_ip=source_ip,
        remote_ip=source_ip,
        destination_ip=called.address.ip if called.address else None,
        port=called.port,
        host=head.authority.decode("latin-1"),
        method=head.method.decode("latin-1"),
        path=path.decode("latin-1"),
        spellings=tuple(each.decode("latin-1") for each in spellings(path)),
        fields=head.fields,
        claims=claims,
    )


def judge_plain(
    policies: Iterable[RequestPolicy],
    peer: Identity | None,
    source_ip: Ip,
    called: Called,
    server_name: str = "",
) -> RequestVerdict:
    """The verdict on a connection that is not HTTP: where somebody has to be asked, it is no."""
    facts = RequestFacts(
        peer=peer,
        source_ip=source_ip,
        remote_ip=source_ip,
        destination_ip=called.address.ip if called.address else None,
        port=called.port,
        server_name=server_name,
        is_http=False,
    )
    verdict = judge_request(policies, facts)
    if verdict.allowed and verdict.ask:
        return replace(verdict, allowed=False, code=UNENFORCEABLE, ask=())
    return verdict
