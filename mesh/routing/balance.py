"""Which endpoint of a service gets a connection.

First who may be chosen (health, port, a way to reach it), then who is near enough (the service's
scopes, compared with the caller), then a draw weighted by capacity.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from mesh.model.workload import (
    BalanceMode,
    HealthPolicy,
    Port,
    Scope,
    Service,
    Workload,
    WorkloadStatus,
)
from mesh.state.shortlists import Shortlist
from mesh.state.world import World

Chance = Callable[[int], int]
"""A random number from 0 to n - 1."""


class Purpose(Enum):
    """What an endpoint is wanted for."""

    DESTINATION = "destination"
    WAYPOINT = "waypoint"
    """Its port need not be listed: an application tunnel listens for all ports."""
    FORWARD = "forward"
    """A waypoint forwards to it: not to one before which its account's own waypoint stands."""


Candidate = tuple[Workload, int]
"""An endpoint and its port."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A workload and the port it was asked for there; the service when it came through one."""

    workload: Workload
    port: int
    service: Service | None = None


def pick(
    world: World,
    service: Service,
    source: Workload,
    port: int,
    purpose: Purpose,
    chance: Chance,
) -> Endpoint | None:
    """Draw an endpoint of a service for a caller; None when there is no candidate."""
    drawn = shortlist(world, service, source, port, purpose).draw(chance)
    return None if drawn is None else Endpoint(*drawn, service)


def shortlist(
    world: World, service: Service, source: Workload, port: int, purpose: Purpose
) -> Shortlist:
    """Who may be drawn for a caller, the near ones only where the service wants it so."""
    scopes = service.load_balancing.routing_preference
    question = (port, purpose, source.network, *(_place(scope, source) for scope in scopes))
    found = world.shortlists.get(service.key, question)
    if found is None:
        candidates = list(_candidates(world, service, source, port, purpose))
        if purpose is Purpose.FORWARD and service.chooses_by_account:
            # Callers' proxies send the others' share to those waypoints. When there is nobody
            # else, a route has led here, and a backend's own waypoint is not traversed.
            free = [each for each in candidates if each[0].account_waypoint is None]
            candidates = free or candidates
        found = Shortlist.of(_nearest(service, source, candidates))
        world.shortlists.put(service.key, question, found)
    return found


def weighted(weights: Sequence[int], chance: Chance) -> int | None:
    """Draw an index in proportion to the weights; None when they sum to nothing."""
    if len(weights) == 1 and weights[0]:
        return 0
    total = sum(weights)
    if not total:
        return None
    left = chance(total)
    for index, weight in enumerate(weights[:-1]):
        left -= weight
        if left < 0:
            return index
    return len(weights) - 1


def _candidates(
    world: World, service: Service, source: Workload, port: int, purpose: Purpose
) -> Iterator[Candidate]:
    every = service.load_balancing.health_policy is HealthPolicy.ALLOW_ALL
    for workload in world.endpoints(service.key):
        if not every and workload.status is not WorkloadStatus.HEALTHY:
            continue
        if not _is_reachable(workload, source):
            continue
        target = target_port(service, workload, port, purpose)
        if target is not None:
            yield workload, target


def _is_reachable(workload: Workload, source: Workload) -> bool:
    if workload.addresses or workload.hostname:
        return True
    return workload.network != source.network and workload.network_gateway is not None


def target_port(service: Service, workload: Workload, port: int, purpose: Purpose) -> int | None:
    """Where an endpoint listens for a port of its service.

    Its own word comes first, then the service's; behind an application tunnel a waypoint keeps
    the port that was asked for.
    """
    tunnelled = purpose is Purpose.WAYPOINT and workload.application_tunnel is not None
    listed = _target_of(service.ports, port)
    if listed is None and not tunnelled:
        return None
    own = _target_of(workload.services.get(service.key, ()), port)
    return own or listed or (port if tunnelled else None)


def _target_of(ports: Iterable[Port], port: int) -> int | None:
    return next((each.target_port for each in ports if each.service_port == port), None)


def _nearest(service: Service, source: Workload, candidates: list[Candidate]) -> list[Candidate]:
    scopes = service.load_balancing.routing_preference
    match service.load_balancing.mode:
        case BalanceMode.UNSPECIFIED | BalanceMode.PASSTHROUGH:
            return candidates
        case BalanceMode.STRICT:
            return [
                candidate
                for candidate in candidates
                if all(_shares(scope, source, candidate[0]) for scope in scopes)
            ]
        case BalanceMode.FAILOVER:
            ranks = [_rank(scopes, source, workload) for workload, _ in candidates]
            best = max(ranks, default=0)
            return [each for each, rank in zip(candidates, ranks, strict=True) if rank == best]


def _rank(scopes: tuple[Scope, ...], source: Workload, workload: Workload) -> int:
    """How many scopes in a row are shared, from the first.

    A network that stands first outweighs all the others together, and one that is not shared
    does not end the count: endpoints of other networks are still told near from far.
    """
    rank = 0
    if scopes and scopes[0] is Scope.NETWORK:
        rank = len(scopes) if _shares(Scope.NETWORK, source, workload) else 0
        scopes = scopes[1:]
    for scope in scopes:
        if not _shares(scope, source, workload):
            break
        rank += 1
    return rank


def _shares(scope: Scope, source: Workload, workload: Workload) -> bool:
    return _place(scope, source) == _place(scope, workload)


def _place(scope: Scope, workload: Workload) -> str:  # noqa: PLR0911 - a table
    match scope:
        case Scope.REGION:
            return workload.locality.region
        case Scope.ZONE:
            return workload.locality.zone
        case Scope.SUBZONE:
            return workload.locality.subzone
        case Scope.NODE:
            return workload.node
        case Scope.CLUSTER:
            return workload.cluster_id
        case Scope.NETWORK:
            return workload.network
        case Scope.UNSPECIFIED:
            return ""
