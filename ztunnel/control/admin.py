"""The admin pages (15000, loopback only): what is known, log levels, the graceful end."""

import json
import logging
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Final, Protocol, TypeVar

import trio

from mesh.errors import MeshError
from mesh.model.policy import Authorization
from mesh.model.workload import Service, Workload
from mesh.runtime import logs
from mesh.runtime.control import profiles
from mesh.runtime.control.certificates import Certificates
from mesh.runtime.control.config_dump import (
    Json,
    certificate_json,
    moment,
    no_certificate_json,
    policy_json,
    service_json,
    workload_json,
)
from mesh.runtime.control.last_good import LastGood
from mesh.runtime.control.profiles import Profiles
from mesh.runtime.control.store import Store
from mesh.runtime.control.supervisor_link import SupervisorLink
from mesh.runtime.http_server import Request, Response, text
from mesh.runtime.processes.orders import Quit
from mesh.wire.feed import Configured, SetLogLevel
from mesh.wire.feed_answers import CONNECTIONS, LiveConnection, read_connections
from ztunnel.config import Config
from ztunnel.control.config_json import config_json
from ztunnel.control.pod_workers import PodWorkers
from ztunnel.control.pods import Pods

ASK_S: Final = 1.0
"""Workers that do not answer within this are left out of a page."""

SLICE: Final = 500
ORDERS: Final = frozenset({"/logging", "/quitquitquit"})
INDEX: Final = """\
<!DOCTYPE html><title>ztunnel</title><h1>ztunnel</h1><ul>
<li><a href="config_dump">config_dump</a>: all that is known, JSON
<li>logging (POST ?level=info,access=debug or ?reset): log levels
<li>quitquitquit (POST): graceful end
<li><a href="debug/pprof/profile?seconds=10">debug/pprof/profile</a>: where CPU time is spent,
collapsed stacks (?seconds=1..300, ?frequency=1..1000)
<li><a href="debug/workers">debug/workers</a>: the worker processes, JSON
</ul>
"""

ValueT = TypeVar("ValueT")

log = logging.getLogger(__name__)


class Shown(Protocol):
    """What the pages show."""

    config: Config
    store: Store
    pods: Pods
    workers: PodWorkers
    certificates: Certificates
    last_good: LastGood | None


class Admin:
    """The pages."""

    def __init__(self, shown: Shown, supervisor: SupervisorLink) -> None:
        """Show these parts, as they are when somebody asks."""
        self._shown, self._supervisor = shown, supervisor
        self._profiles = Profiles(shown.workers)

    async def page(self, request: Request) -> Response:
        """Whatever the path says.

        Cancellation: log levels may have been set in some workers only.
        """
        if not request.is_from_loopback:
            return text("for this machine only", 403)
        return await (self._order(request) if request.method == "POST" else self._show(request))

    async def _show(self, request: Request) -> Response:
        match request.path:
            case "/":
                return Response(200, INDEX.encode(), "text/html; charset=utf-8")
            case "/config_dump":
                return await _by_lines(await self._dump())
            case "/debug/workers":
                return _json(self._workers())
            case path if path in profiles.PATHS:
                return await self._profiles.page(request)
            case path:
                return text("use POST", 405) if path in ORDERS else text("not found", 404)

    async def _order(self, request: Request) -> Response:
        match request.path:
            case "/logging":
                return await self._set_levels(request)
            case "/quitquitquit":
                await self._supervisor.send(Quit())
                return text("shutdown now")
            case _:
                return text("not found", 404)

    async def _dump(self) -> dict[str, Json]:
        shown = self._shown
        state = await _state_json(shown.store)
        return {
            **state,
            "stagedServices": {},
            "staticConfig": {"workloads": [], "services": [], "policies": []},
            "version": {
                "version": version("sluice-mesh"),
                "gitRevision": "unknown",
                "rustVersion": "",
                "buildProfile": "release",
                "buildStatus": "Clean",
                "cryptoProvider": "openssl",
                "istioVersion": "unknown",
            },
            "config": config_json(shown.config, len(shown.workers.links)),
            "certificates": [
                *(certificate_json(one) for one in shown.certificates.held.values()),
                *(
                    no_certificate_json(str(identity), reason)
                    for identity, reason in shown.certificates.reasons.items()
                ),
            ],
            "workloadState": await self._pods_json(),
            "sluice": self._own_json(),
        }

    def _own_json(self) -> Json:
        """What has no counterpart in Istio's node proxy."""
        last_good = self._shown.last_good
        return {
            "stateVersion": self._shown.store.version,
            "lastGoodState": None
            if last_good is None
            else {
                "savedAt": moment(last_good.saved_at),
                "ageSeconds": round(time.time() - last_good.saved_at),
            },
        }

    async def _pods_json(self) -> Json:
        live: dict[str, list[LiveConnection]] = {}
        for body in await self._shown.workers.ask(CONNECTIONS, trio.current_time() + ASK_S):
            try:
                for one in read_connections(body):
                    live.setdefault(one.pod, []).append(one)
            except MeshError as error:
                log.warning("an answer is left out", extra={"code": error.code})
        failed = self._shown.workers.failed_pods()
        return {
            pod.info.uid: {
                "state": "Pending" if pod.info.uid in failed else "Up",
                "info": {
                    "name": pod.info.name,
                    "namespace": pod.info.namespace,
                    "serviceAccount": pod.info.service_account,
                },
                "connections": _connections_json(live.get(pod.info.uid, [])),
            }
            for pod in self._shown.pods.held
        }

    def _workers(self) -> Json:
        return [
            {
                "index": link.index,
                "pid": link.pid,
                "greeted": link.is_greeted,
                "appliedVersion": link.applied,
                "upToDate": link.is_up_to_date,
                "pods": {uid: error or "listening" for uid, error in link.listening.items()},
            }
            for link in self._shown.workers.links
        ]

    async def _set_levels(self, request: Request) -> Response:
        written = request.query.get("level", "")
        if "reset" in request.query:
            written = ",".join(filter(None, (self._shown.config.log_levels, written)))
        if not written:
            return text("write ?level=LEVEL, ?level=SCOPE=LEVEL,... or ?reset", 400)
        if wrong := logs.set_levels(written):
            return text(f"no level: {', '.join(wrong)}; one of {', '.join(logs.LEVELS)}", 400)
        await self._shown.workers.set_levels(
            [SetLogLevel(scope, level) for scope, level in logs.parts(written)]
        )
        return text(f"current log level is {written}")


def _connections_json(connections: list[LiveConnection]) -> Json:
    shown: dict[str, Json] = {}
    for direction in ("inbound", "outbound"):
        shown[direction] = [
            {
                "src": one.source,
                "originalDst": one.called,
                "actualDst": one.reached,
                "protocol": one.protocol,
            }
            for one in connections
            if one.direction == direction
        ]
    return shown


async def _state_json(store: Store) -> dict[str, Json]:
    """Workloads, services and policies, in order of their names."""
    workloads: list[Workload] = []
    services: list[Service] = []
    policies: list[Authorization] = []
    serving: dict[str, list[Workload]] = {}
    for position, resource in enumerate(store.everything().resources()):
        if position % SLICE == 0:
            await trio.lowlevel.checkpoint()
        match resource:
            case Workload():
                workloads.append(resource)
                for key in resource.services:
                    serving.setdefault(key, []).append(resource)
            case Service():
                services.append(resource)
            case Authorization():
                policies.append(resource)
            case Configured():
                pass  # a node proxy asks for none
    workloads.sort(key=lambda one: one.uid)
    services.sort(key=lambda one: one.key)
    policies.sort(key=lambda one: one.key)
    return {
        "workloads": await _shown_all(workloads, workload_json),
        "services": await _shown_all(
            services, lambda one: service_json(one, serving.get(one.key, ()))
        ),
        "policies": await _shown_all(policies, policy_json),
    }


async def _shown_all(values: list[ValueT], show: Callable[[ValueT], dict[str, Json]]) -> list[Json]:
    """Each as JSON, with a pause now and then."""
    shown: list[Json] = []
    for position, value in enumerate(values):
        if position % SLICE == 0:
            await trio.lowlevel.checkpoint()
        shown.append(show(value))
    return shown


async def _by_lines(sections: dict[str, Json]) -> Response:
    """A large object: its lists with one element in each line, and a pause now and then."""
    written = []
    for name, value in sections.items():
        if not isinstance(value, list):
            written.append(f"{json.dumps(name)}: {json.dumps(value, indent=1)}")
            continue
        lines = []
        for position, one in enumerate(value):
            if position % SLICE == 0:
                await trio.lowlevel.checkpoint()
            lines.append(json.dumps(one))
        written.append(f"{json.dumps(name)}: [\n" + ",\n".join(lines) + "\n]")
    return Response(200, ("{" + ",\n".join(written) + "}\n").encode(), "application/json")


def _json(value: Json) -> Response:
    return Response(200, json.dumps(value, indent=2).encode() + b"\n", "application/json")
