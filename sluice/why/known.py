"""What is known about a mesh, wherever it was learnt."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from controlplane.translate.built import Told
from controlplane.translate.translation import Translation
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.model.policy import Authorization
from mesh.model.request_policy import RequestPolicy, TokenPolicy
from mesh.model.routes import FilterProgram, Filters, Route, RouteRule, Waypoint
from mesh.model.workload import Service, Workload
from mesh.routing.http.patterns import PatternInvalidError
from mesh.routing.http.routes import Routes
from mesh.state.world import World
from mesh.wire.feed import StateDelta
from waypoint.worker.engine.codes import ROUTE_UNREADABLE

_POLICY_KINDS = ("AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication")


@dataclass(frozen=True, slots=True, kw_only=True)
class WaypointKnown:
    """All that one waypoint is told."""

    itself: Waypoint
    routes: Routes
    policies: tuple[RequestPolicy, ...]
    tokens: tuple[TokenPolicy, ...]
    programs: Mapping[str, FilterProgram]

    @property
    def key(self) -> str:
        """`namespace/name` of its Gateway."""
        return f"{self.itself.namespace}/{self.itself.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A mesh at one moment."""

    world: World
    waypoints: tuple[WaypointKnown, ...] = ()
    has_waypoints: bool = True
    """Whether the source tells what waypoints do."""
    objects: Mapping[ObjectKey, KubernetesObject] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def waypoint(self, workload: Workload) -> WaypointKnown | None:
        """The waypoint that a workload is a pod of."""
        served = {tuple(key.split("/", 1)) for key in workload.services}
        for each in self.waypoints:
            own = each.itself
            if any((own.namespace, hostname) in served for hostname in own.hostnames):
                return each
            if any(ip in own.addresses for ip in workload.addresses):
                return each
        return None

    def pod(self, workload: Workload) -> KubernetesObject | None:
        """The object of a workload that is a pod."""
        return self.objects.get(ObjectKey("Pod", workload.namespace, workload.name))

    def origin(self, policy: str) -> str:
        """The file that a policy is in; empty when it is not known."""
        namespace, _, name = policy.partition("/")
        name = name.removeprefix("converted_peer_authentication_")
        found = (self.objects.get(ObjectKey(kind, namespace, name)) for kind in _POLICY_KINDS)
        return next((each.origin for each in found if each is not None), "")


def world_of(
    workloads: Iterable[Workload],
    services: Iterable[Service],
    policies: Iterable[Authorization],
) -> World:
    """A proxy's state with these in it."""
    world = World()
    world.apply(
        StateDelta(
            version=1,
            reset=True,
            last=True,
            workloads=tuple(workloads),
            services=tuple(services),
            policies=tuple(policies),
        )
    )
    return world


def known_of(
    translation: Translation, objects: Mapping[ObjectKey, KubernetesObject], more: Iterable[str]
) -> Known:
    """What a translation tells the proxies.

    Args:
        translation: of all objects.
        objects: that it was made of.
        more: problems that were found before it.
    """
    told = list(translation.configuration.values())
    own = [each.value for each in told if isinstance(each.value, Waypoint)]
    return Known(
        world=world_of(
            translation.workloads.values(),
            translation.services.values(),
            translation.policies.values(),
        ),
        waypoints=tuple(_waypoint(each, told) for each in own),
        objects=objects,
        problems=(*more, *translation.sentences),
    )


def _waypoint(itself: Waypoint, told: Iterable[Told]) -> WaypointKnown:
    key = f"{itself.namespace}/{itself.name}"
    values = [(each.key, each.value) for each in told if key in each.waypoints]
    routes = Routes()
    for name, value in values:
        if isinstance(value, Route):
            _put(routes, name, value)
    return WaypointKnown(
        itself=itself,
        routes=routes,
        policies=tuple(v for _, v in values if isinstance(v, RequestPolicy)),
        tokens=tuple(v for _, v in values if isinstance(v, TokenPolicy)),
        programs={f"{v.namespace}/{v.name}": v for _, v in values if isinstance(v, FilterProgram)},
    )


def _put(routes: Routes, name: str, route: Route) -> None:
    # As the waypoint does: a route that it cannot read fails, by its own code.
    try:
        routes.put(name, route)
    except PatternInvalidError:
        broken = RouteRule(filters=Filters(problem=ROUTE_UNREADABLE))
        routes.put(name, replace(route, rules=(broken,)))
