"""Policies of the services to which somebody else's route leads.

1. A route may name services that are not its author's: as backends, for copies, to ask. It leads
   there with the waypoint's identity, which those who own them may trust, and with a head that it
   has rewritten. So it is judged as if the client itself had called there, with that head.
2. A service's own namespace is not judged twice: who owns the service has written the route.
3. What counts are policies that this waypoint is told of: of services before which it stands.
"""

from dataclasses import replace

from mesh.model.address import SocketAddress
from mesh.model.routes import ExternalAuth, Mirror, Route
from mesh.policy.requests import UNENFORCEABLE, RequestVerdict
from mesh.routing.waypoint import Called
from mesh.wire.authorizer import METHOD
from mesh.wire.http.messages import RequestHead
from waypoint.worker.engine.context import Context, Peer
from waypoint.worker.engine.failures import RequestDeniedError
from waypoint.worker.engine.judging import PASSES, tell_verdict


def called_there(context: Context, route: Route, service: str, port: int) -> Called | None:
    """What a route leads to, as if it were called; None: it is the route's own, or is not known."""
    if service.partition("/")[0] == route.namespace:
        return None
    found = context.destinations.service(service)
    if found is None:
        return None
    address = next((SocketAddress(each.ip, port) for each in found.addresses), None)
    return Called(service=found, workload=None, port=port, address=address)


def judge_there(
    peer: Peer,
    route: Route,
    to: tuple[str, int],
    head: RequestHead,
    before: RequestVerdict | None,
) -> RequestVerdict:
    """Decide about a request to where a route leads; some of it may be left to ask.

    Args:
        peer: who calls what.
        route: whose rule leads there.
        to: the service, and its port.
        head: as it goes on; tokens are taken out of it as the service's policies say.
        before: what was decided about what was called.

    Raises:
        RequestDeniedError: it may not go there.
        RequestTokenError: a token is not good.
    """
    context = peer.context
    there = None if context.judge is None else called_there(context, route, *to)
    if there is None or context.judge is None:
        return PASSES
    own = peer.called.service
    is_same = own is not None and own.key == to[0]
    known = before if is_same else None
    verdict = context.judge.judge(peer.caller, there, head, known)
    if verdict is not PASSES:
        tell_verdict(context.metrics, verdict)
    if not verdict.allowed:
        raise RequestDeniedError(verdict.code, verdict.policy)
    return verdict


def judge_question(peer: Peer, route: Route, auth: ExternalAuth, head: RequestHead) -> None:
    """Decide about the question that a route has for an authoriser of somebody else's.

    Raises:
        RequestDeniedError: it may not be asked.
        RequestTokenError: a token is not good.
    """
    asked = replace(head, fields=list(head.fields))
    if auth.is_grpc:
        asked.method, asked.target = b"POST", METHOD
    else:
        asked.target = auth.path.encode().removesuffix(b"/") + head.target
    _judge_alone(peer, route, (auth.service, auth.port), asked)


def judge_copy(peer: Peer, route: Route, mirror: Mirror, head: RequestHead) -> None:
    """Decide about a copy for somebody else's service.

    Raises:
        RequestDeniedError: it may not go there.
        RequestTokenError: a token is not good.
    """
    copy = replace(head, fields=list(head.fields))
    _judge_alone(peer, route, (mirror.service, mirror.port), copy)


def _judge_alone(peer: Peer, route: Route, to: tuple[str, int], head: RequestHead) -> None:
    """Nobody is asked about what is no request of the client's: then it does not pass."""
    verdict = judge_there(peer, route, to, head, None)
    if verdict.ask:
        raise RequestDeniedError(UNENFORCEABLE, verdict.policy)
