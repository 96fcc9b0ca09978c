"""The control process's root: builds the parts, says who knows whom, obeys the supervisor."""

import logging
import time
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import trio

from mesh.errors import PeerError
from mesh.model.identity import Identity
from mesh.runtime.bell import Bell
from mesh.runtime.control.certificate_sources import Authority, Nowhere
from mesh.runtime.control.certificates import Certificates, Fetch
from mesh.runtime.control.control_plane import ControlPlane
from mesh.runtime.control.discovery import Discovery
from mesh.runtime.control.last_good import LastGood, Saver
from mesh.runtime.control.link import Link, Wanted
from mesh.runtime.control.store import WAYPOINT_TYPES, Store
from mesh.runtime.control.supervisor_link import SupervisorLink
from mesh.runtime.control.workers import Workers
from mesh.runtime.feed_channel import FeedChannel
from mesh.runtime.processes.orders import DrainAll, Order, Serving, WorkerGone, WorkerStarted
from mesh.wire.discovery_client import DiscoveryClient
from mesh.wire.feed import StateDelta
from waypoint.config import Config
from waypoint.control.closing import closed
from waypoint.control.link import WaypointLink
from waypoint.control.node import node_of
from waypoint.control.readiness import Readiness
from waypoint.control.tracing import exporter_of

APPLIED_S: Final = 10.0
"""Longer no worker is waited for before a response is acknowledged."""

NOT_OURS: Final = "not the identity of this waypoint"

log = logging.getLogger(__name__)


class Control:
    """One control process."""

    def __init__(self, config: Config, supervisor: SupervisorLink) -> None:
        """Build the parts.

        Args:
            config: the settings.
            supervisor: whose orders to obey.
        """
        chance = Random()  # noqa: S311 - for jitter
        self.config, self._supervisor = config, supervisor
        self.bell = Bell()
        self.store = Store(before=round(time.time() * 1000), types=WAYPOINT_TYPES)
        self.workers: Workers[Link] = Workers(self.bell)
        self.certificates = Certificates(
            _fetch_of(config), self.workers.certificate_failed, self.bell, chance, time.time
        )
        self.last_good: LastGood | None = None
        """What was loaded at start; None as well once the state is current."""
        self._saver = _saver_of(config)
        self.discovery: Discovery | None = None
        self.readiness = Readiness(self)
        self.spans = exporter_of(config, chance)
        """None: nothing is traced."""
        self._chance = chance
        self._hurried, self._hurries = trio.open_memory_channel[Identity](16)

    async def run(self) -> None:
        """Serve until the supervisor goes. The pages are open before.

        Cancellation: the workers go on.
        """
        await self._load()
        self.certificates.want(frozenset({self.config.identity}))
        async with trio.open_nursery() as services:
            services.start_soon(self.certificates.run)
            services.start_soon(self._hurry)
            if self.spans is not None:
                services.start_soon(self.spans.run)
            self._start_discovery(services)
            await self._supervisor.send(Serving())
            await self._obey_all(services)
            services.cancel_scope.cancel()

    # What the state is made of.

    async def _load(self) -> None:
        if self._saver is None:
            return
        self.last_good = await self._saver.load()
        if self.last_good is not None:
            self.store.load(self.last_good.version, self.last_good.octets)
            age_s = max(0, round(time.time() - self.last_good.saved_at))
            log.warning("serves from the last good state", extra={"age": f"{age_s}s"})

    def _start_discovery(self, services: trio.Nursery) -> None:
        if not self.config.xds.address:
            return
        versions = self.last_good.versions if self.last_good is not None else {}
        client = DiscoveryClient(node_of(self.config), WAYPOINT_TYPES, versions)
        server = ControlPlane("XDS", self.config.xds, self.config.auth_token)
        gateway = f"{self.config.pod_namespace}/{self.config.gateway}"
        self.discovery = Discovery(
            server,
            client,
            self.store,
            self._changed,
            self._applied,
            self._chance,
            partial(closed, gateway),
        )
        services.start_soon(self.discovery.run)
        services.start_soon(self.discovery.accept_silence)
        if self._saver is not None:
            services.start_soon(
                self._saver.keep,
                self.store,
                lambda: {type_url: client.retained(type_url) for type_url in WAYPOINT_TYPES},
                self.bell,
            )

    def _changed(self, _delta: StateDelta) -> None:
        if self.is_current:
            self.last_good = None
        self.bell.ring()

    async def _applied(self, version: int) -> None:
        with trio.move_on_after(APPLIED_S) as patience:
            await self.workers.wait_applied(version)
        if patience.cancelled_caught:
            log.error(
                "workers do not apply the state",
                extra={"code": "apply_late", "workers": str(self.workers.behind(version))},
            )

    @property
    def is_current(self) -> bool:
        """Whether the state is as new as that of its source."""
        return self.discovery.is_current if self.discovery is not None else True

    # The certificate.

    def _is_needed(self, identity: Identity) -> bool:
        return identity == self.config.identity

    def _on_certificate_wanted(self, identity: Identity) -> None:
        try:
            self._hurried.send_nowait(identity)
        except trio.WouldBlock:
            log.warning("too many certificates are awaited", extra={"code": "wishes_dropped"})

    async def _hurry(self) -> None:
        async for identity in self._hurries:
            if self._is_needed(identity):
                await self.certificates.hurry(identity)
            else:
                await self.workers.certificate_failed(identity, NOT_OURS)

    # Orders.

    async def _obey_all(self, services: trio.Nursery) -> None:
        wanted = Wanted(
            store=self.store,
            certificates=self.certificates.held,
            is_needed=self._is_needed,
            may_replace=lambda: self.is_current,
            on_certificate_wanted=self._on_certificate_wanted,
            on_answer=self.workers.answered,
            bell=self.bell,
        )
        while True:
            try:
                packet = await self._supervisor.receive()
            except PeerError as error:
                log.error("not an order", extra={"code": error.code, "error": str(error)})  # noqa: TRY400 - the words say it
                continue
            if packet is None:
                return
            order, feed = packet
            if isinstance(order, WorkerStarted) and feed is not None:
                on_spans = None if self.spans is None else self.spans.take
                channel = FeedChannel(feed)
                link = WaypointLink(order.index, order.pid, channel, wanted, on_spans)
                services.start_soon(self.workers.run_link, link)
            else:
                await self._obey(order)

    async def _obey(self, order: Order) -> None:
        match order:
            case WorkerGone(index, pid):
                self.workers.gone(index, pid)
            case DrainAll(milliseconds):
                log.info("drains", extra={"deadline": f"{milliseconds}ms"})
                await self.workers.drain(milliseconds / 1000)
            case _:
                log.error("not an order for control", extra={"code": "order_invalid"})


def _fetch_of(config: Config) -> Fetch:
    if not config.ca.address:
        return Nowhere().fetch
    return Authority(
        ControlPlane("CA", config.ca, config.auth_token),
        config.cluster_id,
        config.secret_ttl_s,
        time.time,
        impersonates=False,
    ).fetch


def _saver_of(config: Config) -> Saver | None:
    if not config.state_dir:
        return None
    source = f"{config.xds.address} {config.identity} {config.gateway} {config.cluster_id}"
    return Saver(Path(config.state_dir), source, time.time)
