"""What a waypoint does with a port that speaks no HTTP: it picks an endpoint, and joins the two.

The endpoint has accepted before the client is answered: a 200 says so.
"""

import random
from functools import partial

from mesh.errors import MeshError
from mesh.observe.access_log import ConnectionSecurity
from mesh.routing.decisions import Decision, Hbone, PlainTcp, Refused
from mesh.routing.waypoint import Called, choose
from mesh.runtime.http.joined import Joined
from mesh.runtime.http.link import Link
from mesh.runtime.http.stream_link import StreamLink
from mesh.runtime.worker.failures import RouteRefusedError
from mesh.wire import hbone
from waypoint.worker.context import Context
from waypoint.worker.flow import Flow
from waypoint.worker.request import Request
from waypoint.worker.upstream import Told, Upstreams


class Tcp:
    """Serves such connections."""

    def __init__(self, context: Context, upstreams: Upstreams) -> None:
        """Serve by these links."""
        self._context = context
        self._upstreams = upstreams

    def serve(self, flow: Flow, request: Request, destination: Called) -> None:
        """Serve an admitted connection; for use inside the flow.

        Raises:
            RouteRefusedError: there is no way on.
        """
        context = self._context
        way = choose(context.world, destination, context.own.now(), random.randrange)
        self._know(flow, way)
        self._upstreams.open_way(
            way,
            partial(self._join, flow, request),
            partial(self._fail, flow),
            _told(request, destination),
        )

    def _know(self, flow: Flow, way: Decision) -> None:
        record = flow.record
        match way:
            case Hbone(connect_to=address, workload=workload):
                record.destination_address = address
                record.hbone_address = way.authority
                record.destination = workload
                record.destination_identity = workload.identity
                record.security = ConnectionSecurity.MUTUAL_TLS
            case PlainTcp(destination=address, workload=found):
                record.destination_address = address
                record.destination = found
            case Refused():
                raise RouteRefusedError(way)
            case _:
                pass  # by name only: what it resolves to is not known yet
        flow.is_known = True

    def _join(self, flow: Flow, request: Request, link: Link) -> None:
        with flow:
            try:
                flow.check()
            except BaseException:
                link.reset()
                raise
            request.accept()
            near = StreamLink(request.tunnel, request.stream, request.waiting)
            flow.carry(Joined(near, link, flow.ended))

    def _fail(self, flow: Flow, error: MeshError) -> None:
        flow.fail(error)


def _told(request: Request, destination: Called) -> Told:
    hostname = destination.service.hostname if destination.service else ""
    told = hbone.forwarded(request.far, by=request.near, identity=request.peer, service=hostname)
    return Told(told, request.text(b"traceparent"))
