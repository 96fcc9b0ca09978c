"""What the control plane tells a waypoint, put in force."""

import logging
from dataclasses import replace
from typing import Final

from mesh.errors import ConfigError
from mesh.model.request_policy import RequestPolicy, TokenPolicy
from mesh.model.routes import FilterProgram, Filters, Route, RouteRule, ServiceTraffic
from mesh.routing.http.paths import PathNormalisation
from mesh.state.configurations import Configurations
from waypoint.worker.engine.codes import ROUTE_UNREADABLE
from waypoint.worker.engine.context import Context

PROGRAM: Final = "FilterProgram/"

log = logging.getLogger(__name__)


def configure(context: Context, configurations: Configurations, names: frozenset[str]) -> None:
    """Put in force what has come, changed or gone.

    A route that cannot be read here is not passed over: its requests fail, by its own code.
    """
    limits_changed = False
    for name in names:
        value = configurations.values.get(name)
        limits_changed = limits_changed or name.startswith("ServiceTraffic/")
        if isinstance(value, Route):
            _put(context, name, value)
        else:
            context.routes.remove(name)
        if name.startswith(PROGRAM) and context.programs is not None:
            if isinstance(value, FilterProgram):
                context.programs.put(value)
            else:
                context.programs.remove(name.removeprefix(PROGRAM))
        if context.judge is None:
            continue
        if isinstance(value, RequestPolicy | TokenPolicy):
            context.judge.put(name, value)
        else:
            context.judge.remove(name)
    context.routes_version += 1
    own = configurations.waypoint
    if own is not None:
        context.waypoint = own
        context.normalisation = PathNormalisation[own.path_normalisation]
    if limits_changed:
        found = (
            each for each in configurations.values.values() if isinstance(each, ServiceTraffic)
        )
        context.destinations.obey({(each.service, each.port): each for each in found})


def _put(context: Context, name: str, route: Route) -> None:
    try:
        context.routes.put(name, route)
    except ConfigError as error:
        log.error("route %s/%s: %s", route.namespace, route.name, error, extra={"code": error.code})  # noqa: TRY400 - it says what is wrong; no trace says more
        broken = RouteRule(filters=Filters(problem=ROUTE_UNREADABLE))
        context.routes.put(name, replace(route, rules=(broken,)))
