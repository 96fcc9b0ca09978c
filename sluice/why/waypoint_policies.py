"""What the policies at a waypoint say of a request, or of a connection that is none."""

from typing import Final

from mesh.policy.at_waypoint import facts_of_request, is_for, judge_plain, policed_service
from mesh.policy.requests import UNENFORCEABLE, RequestVerdict, judge_request
from mesh.routing.waypoint import Called
from mesh.wire.http.messages import RequestHead, first
from sluice.why.known import WaypointKnown
from sluice.why.steps import By, Peer, Steps

REFUSED: Final = 403


def judge_at_waypoint(
    steps: Steps, known: WaypointKnown, peer: Peer, called: Called, head: RequestHead | None
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
    service = policed_service(called)
    for tokens in known.tokens:
        if head is None or not is_for(tokens, known.key, service):
            continue
        if tokens.problem:
            _refuse(steps, at, UNENFORCEABLE, tokens.key, None, is_http=True)
            return False
        if first(head.fields, b"authorization") is not None:
            steps.unseen = "whether its token is good: it counts as absent"
    policies = [each for each in known.policies if is_for(each, known.key, service)]
    if not policies:
        return True
    if head is None:
        verdict = judge_plain(policies, peer.identity, peer.ip, called)
    else:
        verdict = judge_request(policies, facts_of_request(peer.identity, peer.ip, called, head))
    if not verdict.allowed:
        is_http = head is not None
        _refuse(steps, at, verdict.code, verdict.policy, verdict.rule, is_http=is_http)
        return False
    _tell(steps, at, verdict)
    return True


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
