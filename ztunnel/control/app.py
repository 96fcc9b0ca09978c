"""The control process's root: builds the parts, says who knows whom, obeys the supervisor."""

import logging
import os
import time
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Final

import trio

from mesh.model.identity import Identity
from mesh.model.workload import Workload
from mesh.runtime.bell import Bell
from mesh.runtime.control.certificate_sources import Authority, Files, Nowhere
from mesh.runtime.control.certificates import Certificates, Fetch
from mesh.runtime.control.control_plane import ControlPlane
from mesh.runtime.control.discovery import Discovery
from mesh.runtime.control.last_good import LastGood, Saver
from mesh.runtime.control.obeying import obey
from mesh.runtime.control.state_source import StateSource
from mesh.runtime.control.store import Store
from mesh.runtime.control.supervisor_link import SupervisorLink
from mesh.runtime.feed_channel import FeedChannel
from mesh.runtime.probe import try_sockets
from mesh.runtime.processes.orders import Serving, WorkerStarted
from mesh.runtime.processes.supervisor import cores
from mesh.runtime.tls_revocation import Revocations
from mesh.wire.feed import PodInfo, StateDelta
from ztunnel.config import Config, Mode
from ztunnel.control.identities import LocalIdentities
from ztunnel.control.local_state import LocalState
from ztunnel.control.node import node_of
from ztunnel.control.own_pod import OWN_NETNS, OwnPod
from ztunnel.control.pod_link import PodLink, PodsWanted
from ztunnel.control.pod_workers import PodWorkers
from ztunnel.control.pods import Pods
from ztunnel.control.readiness import Readiness
from ztunnel.control.zds import ZdsClient

GREETED_S: Final = 2.0
"""Workers are asked for the pods that they serve before the node agent is."""

NOT_HERE: Final = "no workload of this node has this identity"

log = logging.getLogger(__name__)


class Control:
    """One control process."""

    def __init__(self, config: Config, supervisor: SupervisorLink, local: LocalState) -> None:
        """Build the parts.

        Args:
            config: the settings.
            supervisor: whose orders to obey.
            local: the state of a proxy without control plane.

        Raises:
            ConfigError: the settings contradict each other.
        """
        chance = Random()  # noqa: S311 - for jitter
        self.config, self._supervisor, self._local = config, supervisor, local
        self.bell = Bell()
        self.store = Store(before=round(time.time() * 1000))
        self.pods = Pods(self.bell)
        self.workers = PodWorkers(self.bell)
        self._own_pod = OwnPod(config, self.pods)
        self._identities = LocalIdentities(config.node_name, config.trust_domain, self.pods)
        self.certificates = Certificates(
            _fetch_of(config), self.workers.certificate_failed, self.bell, chance, time.time
        )
        self.source = StateSource(
            self.store, _saver_of(config), self.workers.settle, self.bell, chance
        )
        self.zds = ZdsClient(config.inpod_uds, self.pods, self.workers, chance)
        self.revocations = Revocations(config.crl_path)
        self.readiness = Readiness(self)
        self._hurried, self._hurries = trio.open_memory_channel[Identity](256)

    async def run(self) -> None:
        """Serve until the supervisor goes. The pages are open before.

        Raises:
            RightMissingError: the workers could not serve any pod.

        Cancellation: the workers go on.
        """
        try_sockets(self.config.packet_mark, spoofing=self.config.enable_orig_src is True)
        await self._load()
        async with trio.open_nursery() as services:
            services.start_soon(self.certificates.run)
            services.start_soon(self._watch_identities)
            services.start_soon(self._hurry)
            services.start_soon(self.workers.retry)
            services.start_soon(self.revocations.keep, self.bell.ring)
            self._follow(services)
            services.start_soon(self._find_pods)
            await self._supervisor.send(Serving())
            await self._obey(services)
            services.cancel_scope.cancel()

    # What the state is made of.

    async def _load(self) -> None:
        if self.config.xds.address:
            await self.source.load()
        else:
            for type_url, resources in self._local.by_type().items():
                self.store.apply(type_url, resources, ())
            self.store.begin()
        known = self.store.everything().resources()
        workloads = [one for one in known if isinstance(one, Workload)]
        self._identities.look_at(workloads)
        self._own_pod.look_at(workloads)

    def _follow(self, services: trio.Nursery) -> None:
        config = self.config
        if config.xds.address:
            server = ControlPlane("XDS", config.xds, config.auth_token)
            self.source.follow(services, server, node_of(config), self._changed)

    def _changed(self, delta: StateDelta) -> None:
        self._identities.apply(delta)
        self._own_pod.apply(delta)

    @property
    def last_good(self) -> LastGood | None:
        """What was loaded at start; None as well once the state is current."""
        return self.source.last_good

    @property
    def discovery(self) -> Discovery | None:
        """The client; None without a control plane."""
        return self.source.discovery

    # Certificates.

    async def _watch_identities(self) -> None:
        while True:
            seen = self.bell.count
            self.certificates.want(self._identities.all())
            await self.bell.wait_past(seen)

    def _is_needed(self, identity: Identity) -> bool:
        """Whether to keep a certificate: also as long as we do not know better."""
        settled = self.source.is_current and self.pods.is_settled
        return not settled or identity in self._identities.all()

    def _on_certificate_wanted(self, identity: Identity) -> None:
        try:
            self._hurried.send_nowait(identity)
        except trio.WouldBlock:
            log.warning("too many certificates are awaited", extra={"code": "wishes_dropped"})

    async def _hurry(self) -> None:
        async for identity in self._hurries:
            self.certificates.want(self._identities.all())
            if self._is_needed(identity):
                await self.certificates.hurry(identity)
            else:
                await self.workers.certificate_failed(identity, NOT_HERE)

    # Pods.

    async def _find_pods(self) -> None:
        """Learn the pods as soon as connections could be decided."""
        await self.workers.wait(lambda: not self.store.is_empty or self.workers.have_state)
        if self.config.mode is Mode.DEDICATED:
            self._add_own()
            return
        expected = self.config.workers.of(cores())
        with trio.move_on_after(GREETED_S):
            await self.workers.wait(lambda: self.workers.greeted >= expected)
        await self.zds.run()

    def _add_own(self) -> None:
        about = self.config.proxy_workload
        if about is not None:
            uid = f"{about.namespace}/{about.name}"
            info = PodInfo(uid, about.name, about.namespace, about.service_account)
            self.pods.add(info, os.open(OWN_NETNS, os.O_RDONLY | os.O_CLOEXEC))
            self.pods.settle([uid])

    # Orders.

    async def _obey(self, services: trio.Nursery) -> None:
        wanted = PodsWanted(
            store=self.store,
            pods=self.pods,
            certificates=self.certificates.held,
            is_needed=self._is_needed,
            may_replace=lambda: self.source.is_current,
            on_certificate_wanted=self._on_certificate_wanted,
            on_answer=self.workers.answered,
            bell=self.bell,
        )

        def begin(order: WorkerStarted, feed: FeedChannel) -> None:
            link = PodLink(order.index, order.pid, feed, wanted)
            services.start_soon(self.workers.run_link, link)

        await obey(self._supervisor, self.workers, begin, self.zds.stop)


def _fetch_of(config: Config) -> Fetch:
    if config.certificate_files is not None:
        return Files(config.certificate_files, time.time).fetch
    if not config.ca.address:
        return Nowhere().fetch
    return Authority(
        ControlPlane("CA", config.ca, config.auth_token),
        config.cluster_id,
        config.secret_ttl_s,
        time.time,
        impersonates=config.mode is Mode.SHARED,
    ).fetch


def _saver_of(config: Config) -> Saver | None:
    if not config.state_dir:
        return None
    source = f"{config.xds.address} {config.trust_domain} {config.cluster_id}"
    return Saver(Path(config.state_dir), source, time.time)


def warn_all(warnings: Iterable[str]) -> None:
    """Say what is set and has no effect."""
    for warning in warnings:
        log.warning(warning, extra={"code": "setting_without_effect"})
