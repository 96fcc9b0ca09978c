"""What the policies at a waypoint say of a request, or of a connection that is none."""

from typing import Final

from mesh.model.routes import Attachment
from mesh.policy.requests import UNENFORCEABLE, RequestFacts, RequestVerdict, judge_request
from mesh.routing.http.paths import spellings
from mesh.routing.waypoint import Destination
from mesh.wire.http.messages import RequestHead, first
from sluice.why.known import WaypointKnown
from sluice.why.steps import By, Peer, Steps

REFUSED: Final = 403


def judge_at_waypoint(
    steps: Steps, known: WaypointKnown, peer: Peer, called: Destination, head: RequestHead | None
) -> bool:
    """Whether it may pass.

    Args:
        steps: of this walk.
        known: what the waypoint is told.
        peer: who calls.
        called: what is called.
        head: the request's; None of a connection that is not HTTP.
    """
    at = f"waypoint {known.key}"
    # Of a workload that was called by its address, the service is only a guess.
    service = called.service.key if called.service and called.workload is None else ""
    for tokens in known.tokens:
        is_for = known.key in tokens.waypoints or _names(tokens.targets, service)
        if is_for and tokens.problem and head is not None:
            _refuse(steps, at, UNENFORCEABLE, tokens.key, None, is_http=True)
            return False
        if is_for and head is not None and first(head.fields, b"authorization") is not None:
            steps.unseen = "whether its token is good: it counts as absent"
    policies = [
        each
        for each in known.policies
        if known.key in each.waypoints or _names(each.targets, service)
    ]
    if not policies:
        return True
    verdict = judge_request(policies, _facts(peer, called, head))
    if head is None and verdict.allowed and verdict.ask:
        _refuse(steps, at, UNENFORCEABLE, verdict.policy, None, is_http=False)
        return False
    if not verdict.allowed:
        is_http = head is not None
        _refuse(steps, at, verdict.code, verdict.policy, verdict.rule, is_http=is_http)
        return False
    _tell(steps, at, verdict)
    return True


def _names(targets: tuple[Attachment, ...], service: str) -> bool:
    return bool(service) and any(target.service == service for target in targets)


def _facts(peer: Peer, called: Destination, head: RequestHead | None) -> RequestFacts:
    destination = called.address.ip if called.address is not None else None
    if head is None:
        return RequestFacts(
            peer=peer.identity,
            source_ip=peer.ip,
            remote_ip=peer.ip,
            destination_ip=destination,
            port=called.port,
            is_http=False,
        )
    path = head.target.partition(b"?")[0]
    return RequestFacts(
        peer=peer.identity,
        source_ip=peer.ip,
        remote_ip=peer.ip,
        destination_ip=destination,
        port=called.port,
        host=head.authority.decode("latin-1"),
        method=head.method.decode("latin-1"),
        path=path.decode("latin-1"),
        spellings=tuple(each.decode("latin-1") for each in spellings(path)),
        fields=head.fields,
    )


def _refuse(
    steps: Steps, at: str, code: str, policy: str, rule: int | None, *, is_http: bool
) -> None:
    by = f" by {policy}" if policy else ": ALLOW policies are for it, and none of them matches"
    number = "" if rule is None else f", rule {rule}"
    text = f"refused{by}{number}" + (": 403" if is_http else "")
    status = REFUSED if is_http else 0
    steps.refuse("policy", at, text, code=code, status=status, by=By(policy, rule))


def _tell(steps: Steps, at: str, verdict: RequestVerdict) -> None:
    why = (
        f"allowed by {verdict.policy}, rule {verdict.rule}"
        if verdict.policy
        else "no policy is against it"
    )
    notes = [
        *(f"audited by {name}" for name in verdict.audited),
        *(f"{name} is only tried" for name in verdict.dry_run),
        *(f"{auth.service} is asked" for auth in verdict.ask),
    ]
    steps.add("policy", at, "; ".join((why, *notes)), policy=verdict.policy)
    if verdict.ask:
        steps.unseen = f"what {verdict.ask[0].service} says of the request"
