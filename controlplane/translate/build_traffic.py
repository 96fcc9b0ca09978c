"""Traffic rules and filters among the others: which count, and which waypoints are told."""

from dataclasses import replace
from typing import Final

from controlplane.translate.built import Built, Told
from controlplane.translate.conditions import condition
from controlplane.translate.route_facts import HOSTNAME, ProgramFacts, TrafficFacts
from controlplane.translate.service_waypoints import all_waypoints, at_home, waypoints_of_route
from controlplane.translate.store import Store
from mesh.model.fields import Json
from mesh.model.problems import FILTER_SOURCE
from mesh.model.routes import FilterProgram

MAX_SOURCE_OCTETS: Final = 128 * 1024


def build_traffic(store: Store, facts: TrafficFacts, built: Built) -> None:
    """How requests reach a service: told to every waypoint, since any may have it as a backend."""
    if facts.service is None:
        return
    name, namespace = _service(store, facts)
    if not name:
        built.problems.append(f"spec.host: there is no {facts.service}: make it; no effect")
        return
    several = store.routing.traffic_of(facts.service)
    first = min(
        (each for each in several if _service(store, each)[0] == name),
        key=lambda each: (each.key.namespace != namespace, each.created, each.key),
    )
    if first is not facts:
        mend = f"{first.key} counts for the same Service: put both into one; no effect"
        built.problems.append(f"spec.host: {mend}")
        return
    waypoints = all_waypoints(store)
    for value in facts.values:
        built.values.append(Told(replace(value, service=name), waypoints))


def _service(store: Store, facts: TrafficFacts) -> tuple[str, str]:
    """The service that a rule is about, and its namespace; empty: there is none.

    Of a host that is no Service's: that of its own namespace; for a rule of the root namespace,
    that of whoever has it for all.
    """
    key = facts.service
    if key is None:
        return "", ""
    if key.kind == HOSTNAME:
        own = facts.key.namespace
        owner = store.owner(key.name, own)
        if owner is None and own == store.settings.root_namespace:
            owner = store.owner(key.name)
        return (f"{owner.namespace}/{key.name}", owner.namespace) if owner else ("", "")
    service = store.services.get(key.namespace, key.name)
    if service is None or service.service is None:
        return "", ""
    return service.service.key, key.namespace


def build_program(store: Store, facts: ProgramFacts, built: Built) -> None:
    """A filter for the waypoints of its own namespace whose routes name it.

    It is code, which runs there with the waypoint's identity at hand: a route for another
    namespace's service, or its waypoint, must not bring code along.
    """
    waypoints: set[str] = set()
    for route in store.routing.routes_naming(facts.key):
        waypoints |= at_home(waypoints_of_route(store, route), facts.key.namespace)
    program, problem = _with_source(store, facts)
    if problem:
        built.problems.append(problem)
    built.status = {"conditions": [_accepted(problem)]}
    built.values.append(Told(program, frozenset(waypoints)))


def _with_source(store: Store, facts: ProgramFacts) -> tuple[FilterProgram, str]:
    program = facts.program
    if facts.config_map is not None:
        config_map = store.things.get(facts.config_map)
        source = None if config_map is None else config_map.texts.get(facts.config_map_key)
        if source is None:
            name = facts.config_map_key
            problem = f"spec.python.configMapRef: {facts.config_map} has no {name!r}: put it there"
            return replace(program, problem=FILTER_SOURCE), problem
        program = replace(program, source=source)
    if not program.source.strip() or len(program.source.encode()) > MAX_SOURCE_OCTETS:
        mend = f"1 to {MAX_SOURCE_OCTETS} octets of Python, or a configMapRef with a name"
        problem = f"spec.python: must be {mend}"
        return replace(program, source="", problem=FILTER_SOURCE), problem
    return program, ""


def _accepted(problem: str) -> Json:
    if problem:
        return condition("Accepted", "False", "SourceMissing", problem)
    return condition("Accepted", "True", "Accepted", "Waypoints whose routes name it have it")
