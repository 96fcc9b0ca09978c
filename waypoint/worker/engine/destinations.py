"""Every destination that this worker has sent something to, kept up with the state."""

from collections.abc import Callable
from functools import partial
from typing import Final

from mesh.model.address import SocketAddress, format_ip
from mesh.model.routes import ServiceTraffic
from mesh.model.workload import AppProtocol, Service, Workload
from mesh.routing.balance import Endpoint, Purpose, shortlist
from mesh.routing.waypoint import spoken_by
from mesh.state.changes import Changes
from mesh.state.world import World
from waypoint.worker.engine.destination import Destination, Found
from waypoint.worker.engine.pool import Means

NO_LIMITS: Final = ServiceTraffic(namespace="", name="", service="")


class Destinations:
    """By service (or a workload's uid) and port."""

    def __init__(self, world: World, own: Callable[[], Workload], means: Means) -> None:
        """None yet.

        Args:
            world: the worker's state; tell `changed` what becomes of it.
            own: our own workload: from where nearness is measured.
            means: how connections are made.
        """
        self._world = world
        self._own = own
        self._means = means
        self._held: dict[tuple[str, int], Destination] = {}
        self._by_service: dict[str, dict[int, Destination]] = {}
        self._traffic: dict[tuple[str, int], ServiceTraffic] = {}

    def __len__(self) -> int:
        return len(self._held)

    def of_service(self, service: str, port: int) -> Destination:
        """A service's port; there may be no endpoints, and no such service."""
        found = self._held.get((service, port))
        return self._make(service, port, self._find_service) if found is None else found

    def service(self, key: str) -> Service | None:
        """What the state says of a service at this moment."""
        return self._world.service(key)

    def of_workload(self, uid: str, port: int) -> Destination:
        """A workload's own port."""
        found = self._held.get((uid, port))
        return self._make(uid, port, self._find_workload) if found is None else found

    def of_address(self, service: str, address: SocketAddress) -> Destination:
        """The address that was called, of a service that leaves it to its callers (PASSTHROUGH)."""
        name = f"{service}@{format_ip(address.ip)}"
        found = self._held.get((name, address.port))
        if found is not None:
            return found
        return self._make(name, address.port, partial(self._find_address, service, address))

    def _find_address(self, service: str, address: SocketAddress, name: str, port: int) -> Found:
        found = self._find_service(service, port)
        target = Workload(
            uid=name,
            name=format_ip(address.ip),
            namespace="",
            addresses=(address.ip,),
            network=self._own().network,
            services={},
        )
        return Found(found.service, found.speaks, [Endpoint(target, port)])

    def _make(self, name: str, port: int, find: Callable[[str, int], Found]) -> Destination:
        destination = Destination(
            (name, port), partial(find, name, port), self._means, self._limits(name, port)
        )
        self._held[name, port] = destination
        self._by_service.setdefault(name, {})[port] = destination
        return destination

    def _limits(self, service: str, port: int) -> ServiceTraffic:
        traffic = self._traffic
        return traffic.get((service, port)) or traffic.get((service, 0)) or NO_LIMITS

    def _find_service(self, key: str, port: int) -> Found:
        service = self._world.service(key)
        if service is None:
            return Found(None, AppProtocol.UNKNOWN, [])
        speaks = (each.app_protocol for each in service.ports if each.service_port == port)
        near = shortlist(self._world, service, self._own(), port, Purpose.FORWARD)
        endpoints = [Endpoint(*each, service) for each in near.endpoints]
        return Found(service, next(speaks, AppProtocol.UNKNOWN), endpoints)

    def _find_workload(self, uid: str, port: int) -> Found:
        workload = self._world.workload(uid)
        if workload is None:
            return Found(None, AppProtocol.UNKNOWN, [])
        speaks = spoken_by(self._world, workload, port)
        return Found(None, speaks, [Endpoint(workload, port)])

    # Keeping up.

    def changed(self, changes: Changes) -> None:
        """A part of a state version is in force."""
        names = set(changes.services) | changes.workloads
        for uid in changes.workloads:
            workload = self._world.workload(uid)
            if workload is not None:
                names.update(workload.services)
        for name in names:
            for destination in self._by_service.get(name, {}).values():
                destination.mark_stale()
        if changes.moved or changes.workloads:
            for destination in self._held.values():
                destination.noticed(changes.workloads, changes.moved)

    def obey(self, traffic: dict[tuple[str, int], ServiceTraffic]) -> None:
        """The limits of all services, by service and port (0: every other port)."""
        self._traffic = traffic
        for (name, port), destination in self._held.items():
            destination.obey(self._limits(name, port))

    def sweep(self, elapsed_s: float, now: float) -> None:
        """Close what nobody has used for long; call it every so many seconds."""
        for key, destination in list(self._held.items()):
            destination.sweep(elapsed_s, now)
            # Of a workload any port may be called: what was tried once is not kept.
            is_past = destination.service is None and destination.is_idle
            if is_past or destination.is_deserted:
                destination.close()
                del self._held[key]
                del self._by_service[key[0]][key[1]]
                if not self._by_service[key[0]]:
                    del self._by_service[key[0]]

    def close(self) -> None:
        """Give up every connection."""
        for destination in self._held.values():
            destination.close()
        self._held.clear()
        self._by_service.clear()
