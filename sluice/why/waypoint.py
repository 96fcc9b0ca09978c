"""A waypoint on the way: admitted, judged, routed, and sent on to an endpoint."""

from collections.abc import Callable

from mesh.model.address import Ip, SocketAddress
from mesh.model.routes import NO_FILTERS, Backend, Filters
from mesh.model.workload import Workload
from mesh.routing.balance import Endpoint, Purpose, pick
from mesh.routing.decisions import Decision, Hbone, PlainTcp, Refused
from mesh.routing.http.choice import choose_backend
from mesh.routing.http.entries import Matched
from mesh.routing.http.filters import redirect
from mesh.routing.http.paths import PathInvalidError, PathNormalisation, normalise_path
from mesh.routing.http.routes import Chosen, ConnectionRoutes, RequestRoutes
from mesh.routing.inbound import Refusal
from mesh.routing.waypoint import Called, admit, bounded, choose, way_to
from mesh.wire.http.messages import RequestHead
from sluice.why.arrival import arrive_by_tunnel, arrive_plain
from sluice.why.known import WaypointKnown
from sluice.why.steps import Ask, By, Peer, Steps
from sluice.why.waypoint_policies import judge_at_waypoint
from waypoint.worker.engine.codes import EXTENSION_MISSING
from waypoint.worker.engine.engine import HTTP, PLAIN
from waypoint.worker.engine.failures import (
    BackendMissingError,
    EndpointMissingError,
    RouteMissingError,
)


def pass_waypoint(steps: Steps, way: Hbone, peer: Peer, authority: str, ask: Ask) -> None:
    """From the waypoint's 15008 to the application.

    Args:
        steps: of this walk.
        way: how the waypoint was reached.
        peer: who called it.
        authority: the request's host, if it is one.
        ask: the request.
    """
    known = steps.known.waypoint(way.workload)
    at = f"waypoint {way.workload.namespace}/{way.workload.name}"
    if known is None:
        steps.add("waypoint", at, f"is asked for {way.authority}")
        steps.unseen = "what the waypoint does: this source does not tell"
        return
    _Passing(steps, known, way.workload, peer, ask).go(way, authority)


class _Passing:
    def __init__(
        self, steps: Steps, known: WaypointKnown, own: Workload, peer: Peer, ask: Ask
    ) -> None:
        self._steps, self._known, self._own = steps, known, own
        self._peer, self._ask = peer, ask
        self._at = f"waypoint {known.key}"

    def go(self, way: Hbone, authority: str) -> None:
        steps, peer = self._steps, self._peer
        namespace = peer.identity.namespace if peer.identity is not None else ""
        headers = {b":method": b"CONNECT", b":authority": way.authority.encode()}
        admitted = admit(
            steps.known.world,
            self._known.itself,
            headers,
            network=self._own.network,
            namespace=namespace,
        )
        if isinstance(admitted, Refusal):
            self._refuse("waypoint", admitted.reason, admitted.code, admitted.status)
            return
        what = admitted.service.key if admitted.service and not admitted.workload else "a pod"
        steps.add("waypoint", self._at, f"stands before {what}, port {admitted.port}")
        routes = self._routes(admitted, namespace)
        if self._is_http(admitted, routes):
            self._request(admitted, routes, authority)
        elif judge_at_waypoint(steps, self._known, peer, admitted, None):
            self._connection(admitted, routes)

    def _routes(self, called: Called, namespace: str) -> Chosen | None:
        if called.service is None or called.workload is not None:
            return None
        return self._known.routes.choose(called.service.key, called.port, namespace)

    def _is_http(self, called: Called, routes: Chosen | None) -> bool:
        if routes is not None:
            return isinstance(routes, RequestRoutes)
        if called.app_protocol in PLAIN:
            return False
        # A port of unknown protocol speaks what its client does.
        return called.app_protocol in HTTP or self._ask.is_given

    # Requests.

    def _request(self, called: Called, routes: Chosen | None, authority: str) -> None:
        head = self._head(authority)
        if head is None:
            return
        if not judge_at_waypoint(self._steps, self._known, self._peer, called, head):
            return
        if not isinstance(routes, RequestRoutes):
            self._steps.add("route", self._at, "no route is for this port: forwarded as it is")
            self._forward(called)
            return
        matched = routes.match(head)
        if matched is None:
            text = f"no rule matches {self._ask.method} {self._ask.target}: 404"
            self._refuse("route", text, RouteMissingError.code, 404)
            return
        self._matched(matched, head, called)

    def _head(self, authority: str) -> RequestHead | None:
        ask = self._ask
        how = PathNormalisation[self._known.itself.path_normalisation]
        try:
            target = normalise_path(ask.target.encode(), how)
        except PathInvalidError as error:
            self._refuse("request", str(error), error.code, 400)
            return None
        if not ask.is_given:
            self._steps.add("request", self._at, "speaks HTTP: GET / is assumed (see --http)")
        fields = [(name.lower().encode(), value.encode()) for name, value in ask.fields]
        host = next((value for name, value in fields if name == b"host"), authority.encode())
        return RequestHead(
            ask.method.encode(), target, host, [each for each in fields if each[0] != b"host"]
        )

    def _matched(self, matched: Matched, head: RequestHead, called: Called) -> None:
        rule, route = matched.rule, _route(matched)
        number = f"rule {matched.rule_index}" + (f" ({rule.name})" if rule.name else "")
        shares = ", ".join(_share(backend) for backend in rule.backends) or "no backend"
        self._steps.add("route", self._at, f"{route}, {number}: {shares}", route=route)
        if not self._filters(rule.filters, matched, head, called):
            return
        backend = choose_backend(rule.backends, self._steps.chance)
        self._backend(backend, route, lambda b: self._filters(b.filters, matched, head, called))

    def _filters(
        self, filters: Filters, matched: Matched, head: RequestHead, called: Called
    ) -> bool:
        """Whether it goes on: not when the waypoint answers itself."""
        route = _route(matched)
        if filters is NO_FILTERS or filters == NO_FILTERS:
            return True
        if filters.problem:
            text = "the filters cannot be obeyed: 500"
            self._refuse("filters", text, filters.problem, 500, route)
            return False
        for name in filters.extensions:
            program = self._known.programs.get(name)
            if program is None or program.problem:
                code = EXTENSION_MISSING if program is None else program.problem
                self._refuse("filters", f"{name} cannot run: 500", code, 500, route)
                return False
        if filters.redirect is not None:
            answer = redirect(filters.redirect, head, matched, called.port)
            text = f"answers with {answer.status} itself"
            self._steps.add("filters", self._at, text, route=route)
            return False
        self._steps.add("filters", self._at, ", ".join(_filter_words(filters)), route=route)
        if filters.external_auth is not None:
            self._steps.unseen = f"what {filters.external_auth.service} says of the request"
        return True

    # Connections.

    def _connection(self, called: Called, routes: Chosen | None) -> None:
        if not isinstance(routes, ConnectionRoutes):
            self._forward(called)
            return
        # TLS without a server name is what can be said of a connection that nobody has opened.
        matched = routes.match("")
        if matched is None:
            if routes.is_tls:
                self._steps.unseen = "which server name the client asks for in TLS"
                return
            self._refuse("route", "no route takes this connection", RouteMissingError.code)
            return
        route = f"{matched.route.kind.name} route {matched.route.namespace}/{matched.route.name}"
        shares = ", ".join(_share(backend) for backend in matched.rule.backends) or "no backend"
        self._steps.add("route", self._at, f"{route}: {shares}", route=route)
        backend = choose_backend(matched.rule.backends, self._steps.chance)
        self._backend(backend, route, None)

    # On.

    def _backend(
        self, backend: Backend | None, route: str, filters: Callable[[Backend], bool] | None
    ) -> None:
        if backend is None:
            text = "the rule has no backend with a weight: 500"
            self._refuse("backend", text, BackendMissingError.code, 500, route)
            return
        if backend.problem:
            text = f"the backend {backend.service or '(none)'} cannot be used: 500"
            self._refuse("backend", text, backend.problem, 500, route)
            return
        if filters is not None and not filters(backend):
            return
        steps = self._steps
        service = steps.known.world.service(backend.service)
        endpoint = None
        if service is not None:
            endpoint = pick(
                steps.known.world,
                service,
                self._own,
                backend.port,
                Purpose.FORWARD,
                steps.chance,
            )
        if endpoint is None:
            text = f"no endpoint of {backend.service} is ready for port {backend.port}: 503"
            self._refuse("backend", text, EndpointMissingError.code, 503, route)
            return
        steps.add("backend", self._at, f"{backend.service}, port {backend.port}", route=route)
        self._send(way_to(endpoint, self._own))

    def _forward(self, called: Called) -> None:
        """Without a route."""
        if called.workload is not None:
            endpoint = Endpoint(called.workload, called.port)
            self._send(way_to(endpoint, self._own, called.address))
        else:
            self._send(choose(self._steps.known.world, called, self._own, self._steps.chance))

    def _send(self, way: Decision) -> None:
        steps, own = self._steps, self._own
        way = bounded(way, own)
        match way:
            case Hbone(workload=workload):
                text = f"tunnel to {workload.namespace}/{workload.name} for {way.authority}"
                steps.add("tunnel", self._at, f"{text}, as {own.identity}")
                arrive_by_tunnel(steps, way, Peer(_own_ip(own, way.connect_to), own.identity))
            case PlainTcp(destination=to, workload=Workload() as workload):
                name = f"{workload.namespace}/{workload.name}"
                steps.add("plain", self._at, f"to {name} at {to}, no tunnel")
                arrive_plain(steps, workload, to, Peer(_own_ip(own, to)))
            case Refused(code=code, reason=reason):
                self._refuse("backend", f"{reason}: 503", code, 503)
            case _:
                steps.add("outside", self._at, "in plain text, to an address that DNS tells")
                steps.unseen = "what is outside of the mesh"

    def _refuse(self, kind: str, text: str, code: str, status: int = 0, route: str = "") -> None:
        by = By(route=route)
        self._steps.refuse(kind, self._at, text, code=code, status=status, by=by)


def _own_ip(own: Workload, to: SocketAddress) -> Ip:
    alike = (ip for ip in own.addresses if len(ip) == len(to.ip))
    return next(alike, next(iter(own.addresses), to.ip))


def _route(matched: Matched) -> str:
    route = matched.route
    return f"{route.kind.name} route {route.namespace}/{route.name}"


def _share(backend: Backend) -> str:
    return f"{backend.service or '(none)'}:{backend.port} weight {backend.weight}"


def _filter_words(filters: Filters) -> list[str]:
    """What the filters are; never empty for filters that do something."""
    words = []
    if filters.cors is not None:
        words.append("cross-origin rules")
    if filters.request_headers is not None:
        words.append("changes request fields")
    if filters.response_headers is not None:
        words.append("changes fields of the answer")
    if filters.rewrite is not None:
        words.append("rewrites the target")
    words += [f"mirrors to {mirror.service}" for mirror in filters.mirrors]
    words += [f"filter {name}" for name in filters.extensions]
    if filters.external_auth is not None:
        words.append(f"asks {filters.external_auth.service}")
    return words
