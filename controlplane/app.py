"""The control plane put together: who owns what, and what is ready when."""

import datetime as dt
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import trio

from controlplane.admission import Admission
from controlplane.authority import Authority, load_authority
from controlplane.certificates import CertificateService
from controlplane.discovery import Discovery
from controlplane.metrics import Metrics
from controlplane.options import ServeOptions
from controlplane.pages import Pages
from controlplane.pods import Pods
from controlplane.publish import Publication, Publisher
from controlplane.serving import ServingCertificate, server_names
from controlplane.statuses import status_of
from controlplane.token_command import remember_manifests
from controlplane.tokens import load_token_key
from controlplane.translate.settings import Settings
from controlplane.writes import Writes
from mesh.errors import MeshError
from mesh.model.kubernetes import KubernetesObject, ObjectKey
from mesh.runtime.bell import Bell
from mesh.runtime.grpc_bridge.server import GrpcServer, Limits
from mesh.runtime.http_server import listen_http, serve_http
from mesh.runtime.manifests import ManifestFolder, Snapshot

MAX_PROBLEM_LINES: Final = 50
WRITE_AGAIN_S: Final = 1.0
"""Between two tries to write a status to a disk that was full."""

log = logging.getLogger("control")


@dataclass(frozen=True, slots=True)
class Ports:
    """Where it listens: what was asked for, or what the kernel chose for port 0."""

    grpc: int
    http: int


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _timestamp() -> str:
    return _now().strftime("%Y-%m-%dT%H:%M:%SZ")


class Source:
    """The folder of manifests, and what it means now. Frozen values: any thread may ask."""

    def __init__(self, options: ServeOptions, metrics: Metrics, root_certificate: str = "") -> None:
        """Read nothing yet; `root_certificate` is what pods that are made are to believe (PEM)."""
        self._folder = ManifestFolder(options.manifests)
        self._publisher = Publisher(
            Settings(
                cluster_id=options.cluster_id,
                trust_domain=options.trust_domain,
                root_namespace=options.root_namespace,
                goes_direct=options.goes_direct,
                auto_waypoint=options.auto_waypoint,
                discovery_url=options.discovery_url,
                root_certificate=root_certificate,
                providers=options.providers,
                traces=options.traces,
                path_normalisation=options.path_normalisation,
            )
        )
        self._writes = Writes(options.manifests, _timestamp, metrics)
        self._metrics = metrics
        self._publication = Publication()
        self._settled = self._publication
        self._objects: Mapping[ObjectKey, KubernetesObject] = {}
        self._writing = trio.Lock()
        self._unwritten = Bell()

    def publication(self) -> Publication:
        """What is in force."""
        return self._publication

    def settled(self) -> Publication:
        """The newest whose statuses have been written, too, or could not be."""
        return self._settled

    def pods(self) -> Pods:
        """The pods that live by what is in force."""
        return self._publication.pods

    async def watch(
        self, discovery: Discovery, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Follow the folder for ever. Started: what is there has been taken in.

        Cancellation: what is in force stays.
        """
        is_first = True

        async def deliver(snapshot: Snapshot) -> None:
            nonlocal is_first
            with self._metrics.translation.time():
                # A large change takes seconds of pure Python: streams and pages go on meanwhile.
                fresh = await trio.to_thread.run_sync(self._translated, snapshot)
            self._take(fresh)
            self._objects = snapshot.objects
            discovery.publish(fresh.published)
            await self._write()
            self._settled = fresh
            if is_first:
                is_first = False
                task_status.started()

        async with trio.open_nursery() as watching:
            watching.start_soon(self._write_again)
            await self._folder.watch(deliver)

    async def _write(self) -> None:
        async with self._writing:
            is_written = await trio.to_thread.run_sync(self._written)
        if not is_written:
            self._unwritten.ring()

    async def _write_again(self) -> None:
        """Try once more, and again, what could not be written: nothing else may change."""
        seen = 0
        while True:
            await self._unwritten.wait_past(seen)
            await trio.sleep(WRITE_AGAIN_S)
            seen = self._unwritten.count
            await self._write()

    def _written(self) -> bool:
        """Write what is in force; whether that went well."""
        try:
            self._writes.update(self._publication, self._objects)
        except MeshError as error:
            log.warning("not written", extra={"code": error.code, "reason": str(error)})
            return False
        except Exception:  # the firewall of statuses: what is told to proxies goes on
            log.exception("writing failed", extra={"code": "writing_failed"})
        return True

    def _translated(self, snapshot: Snapshot) -> Publication:
        try:
            return self._publisher.update(snapshot)
        except Exception:  # the firewall of the manifests: what is in force stays
            log.exception("translation failed", extra={"code": "translation_failed"})
            problem = "the manifests cannot be translated: a bug; the log has it"
            return replace(self._publication, problems=(*snapshot.problems, problem))

    def _take(self, fresh: Publication) -> None:
        before, self._publication = self._publication, fresh
        counts = {
            type_url.rpartition(".")[2]: len(catalogue.resources)
            for type_url, catalogue in fresh.published.catalogues.items()
        }
        for name, count in counts.items():
            self._metrics.resources.labels(name).set(count)
        self._metrics.generation.set(fresh.published.generation)
        self._metrics.problems.set(len(fresh.problems))
        log.info(
            "manifests taken in",
            extra={
                "code": "manifests_taken",
                "generation": fresh.published.generation,
                "addresses": counts["Address"],
                "policies": counts["Authorization"],
                "problems": len(fresh.problems),
            },
        )
        _log_new(before.problems, fresh.problems)


def _log_new(before: tuple[str, ...], now: tuple[str, ...]) -> None:
    """Each problem once, when it comes; the debug page has them all."""
    known = set(before)
    new = [problem for problem in now if problem not in known]
    for problem in new[:MAX_PROBLEM_LINES]:
        log.warning("bad manifest", extra={"code": "manifest_invalid", "reason": problem})
    if len(new) > MAX_PROBLEM_LINES:
        more = len(new) - MAX_PROBLEM_LINES
        log.warning("more bad manifests", extra={"code": "manifest_invalid", "count": more})


async def run(
    options: ServeOptions, *, task_status: trio.TaskStatus[Ports] = trio.TASK_STATUS_IGNORED
) -> None:
    """Be the control plane until cancelled. Started: manifests are in force, ports are open.

    Raises:
        ConfigError: state, ports or files that the operator must mend.

    Cancellation: no new calls, streams end as UNAVAILABLE, certificates in work are signed.
    """
    authority = load_authority(options.state, options.trust_domain, _now())
    token_key = load_token_key(options.state)
    remember_manifests(options.state, options.manifests)
    metrics = Metrics()
    source = Source(options, metrics, authority.roots.decode())
    admission = Admission(
        token_key=token_key.public_key(),
        trust_domain=options.trust_domain,
        cluster_id=options.cluster_id,
        trusted=options.trusted,
    )
    discovery = Discovery(admission, source.pods, source.publication().published, metrics)
    server = _server(options, authority, admission, source, discovery, metrics)
    pages = Pages(discovery, source.settled, metrics)
    if options.ignored_config:
        ignored = ", ".join(options.ignored_config)
        extra = {"code": "mesh_config_ignored", "fields": ignored}
        log.warning("fields of the mesh configuration that have no effect", extra=extra)
    async with trio.open_nursery() as services:
        await services.start(source.watch, discovery)
        grpc_port = await services.start(server.serve)
        listeners = await listen_http(options.monitoring.host, options.monitoring.port)
        http_port: int = listeners[0].socket.getsockname()[1]
        await services.start(serve_http, listeners, pages.answer)
        ports = Ports(grpc_port, http_port)
        extra_ports = {"code": "serving", "grpc": ports.grpc, "http": ports.http}
        log.info("serving", extra={**extra_ports, "trust_domain": options.trust_domain})
        task_status.started(ports)


def _server(
    options: ServeOptions,
    authority: Authority,
    admission: Admission,
    source: Source,
    discovery: Discovery,
    metrics: Metrics,
) -> GrpcServer:
    names = server_names(options.root_namespace, options.listen.host)
    certificates = CertificateService(
        authority=authority,
        admission=admission,
        pods=source.pods,
        lasts=dt.timedelta(hours=options.certificate_hours),
        now=_now,
        metrics=metrics,
    )
    return GrpcServer(
        address=options.listen.address,
        key_pair=ServingCertificate(authority, names, _now).key_pair,
        unary=[certificates.method],
        streams=[discovery.method],
        status_of=status_of,
        limits=Limits(streams=options.max_streams),
    )
