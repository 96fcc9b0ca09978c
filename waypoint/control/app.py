"""The control process's root: builds the parts, says who knows whom, obeys the supervisor."""

import logging
import time
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import trio

from mesh.model.identity import Identity
from mesh.runtime.bell import Bell
from mesh.runtime.control.certificate_sources import Authority, Nowhere
from mesh.runtime.control.certificates import Certificates, Fetch
from mesh.runtime.control.control_plane import ControlPlane
from mesh.runtime.control.discovery import Discovery
from mesh.runtime.control.last_good import LastGood, Saver
from mesh.runtime.control.link import Link, Wanted
from mesh.runtime.control.obeying import obey
from mesh.runtime.control.state_source import StateSource
from mesh.runtime.control.store import WAYPOINT_TYPES, Store
from mesh.runtime.control.supervisor_link import SupervisorLink
from mesh.runtime.control.workers import Workers
from mesh.runtime.feed_channel import FeedChannel
from mesh.runtime.processes.orders import Serving, WorkerStarted
from waypoint.config import Config
from waypoint.control.closing import closed
from waypoint.control.link import WaypointLink
from waypoint.control.node import node_of
from waypoint.control.readiness import Readiness
from waypoint.control.tracing import exporter_of

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
        self.source = StateSource(
            self.store, _saver_of(config), self.workers.settle, self.bell, chance
        )
        self.readiness = Readiness(self)
        self.spans = exporter_of(config, chance)
        """None: nothing is traced."""
        self._hurried, self._hurries = trio.open_memory_channel[Identity](16)

    async def run(self) -> None:
        """Serve until the supervisor goes. The pages are open before.

        Cancellation: the workers go on.
        """
        await self.source.load()
        self.certificates.want(frozenset({self.config.identity}))
        async with trio.open_nursery() as services:
            services.start_soon(self.certificates.run)
            services.start_soon(self._hurry)
            if self.spans is not None:
                services.start_soon(self.spans.run)
            self._follow(services)
            await self._supervisor.send(Serving())
            await self._obey(services)
            services.cancel_scope.cancel()

    # What the state is made of.

    def _follow(self, services: trio.Nursery) -> None:
        config = self.config
        if config.xds.address:
            server = ControlPlane("XDS", config.xds, config.auth_token)
            gateway = f"{config.pod_namespace}/{config.gateway}"
            self.source.follow(
                services, server, node_of(config), lambda _delta: None, partial(closed, gateway)
            )

    @property
    def last_good(self) -> LastGood | None:
        """What was loaded at start; None as well once the state is current."""
        return self.source.last_good

    @property
    def discovery(self) -> Discovery | None:
        """The client; None without a control plane."""
        return self.source.discovery

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

    async def _obey(self, services: trio.Nursery) -> None:
        wanted = Wanted(
            store=self.store,
            certificates=self.certificates.held,
            is_needed=self._is_needed,
            may_replace=lambda: self.source.is_current,
            on_certificate_wanted=self._on_certificate_wanted,
            on_answer=self.workers.answered,
            bell=self.bell,
        )
        on_spans = None if self.spans is None else self.spans.take

        def begin(order: WorkerStarted, feed: FeedChannel) -> None:
            link = WaypointLink(order.index, order.pid, feed, wanted, on_spans)
            services.start_soon(self.workers.run_link, link)

        await obey(self._supervisor, self.workers, begin)


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
