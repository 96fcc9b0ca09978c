"""The admin pages (15000, loopback only): what is known, log levels, the graceful end."""

import json
import logging
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Final, Generic, Protocol, TypeVar

import trio

from mesh.model.fields import Json
from mesh.model.policy import Authorization
from mesh.model.workload import Service, Workload
from mesh.runtime import logs
from mesh.runtime.control import profiles
from mesh.runtime.control.certificates import Certificates
from mesh.runtime.control.config_dump import (
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
from mesh.runtime.control.workers import LinkT, Workers
from mesh.runtime.http_server import Request, Response, text
from mesh.runtime.processes.orders import Quit
from mesh.wire.configuration_values import (
    Configuration,
    configuration_json,
    configuration_name,
    configuration_of,
)
from mesh.wire.feed import Configured, SetLogLevel

SLICE: Final = 500
ORDERS: Final = frozenset({"/logging", "/quitquitquit"})
INDEX: Final = """\
<!DOCTYPE html><title>{name}</title><h1>{name}</h1><ul>
<li><a href="config_dump">config_dump</a>: all that is known, JSON
<li>logging (POST ?level=info,access=debug or ?reset): log levels
<li>quitquitquit (POST): graceful end
<li><a href="debug/pprof/profile?seconds=10">debug/pprof/profile</a>: where CPU time is spent,
collapsed stacks (?seconds=1..300, ?frequency=1..1000)
<li><a href="debug/workers">debug/workers</a>: the worker processes, JSON
</ul>
"""

ValueT = TypeVar("ValueT")
Sections = dict[str, Json]

log = logging.getLogger(__name__)


class Shown(Protocol):
    """What the pages show of every proxy."""

    store: Store
    certificates: Certificates

    @property
    def last_good(self) -> LastGood | None:
        """The state that was loaded, as long as it is what is served from."""


class Admin(Generic[LinkT]):
    """The pages."""

    def __init__(
        self,
        name: str,
        shown: Shown,
        workers: Workers[LinkT],
        supervisor: SupervisorLink,
        levels: str,
    ) -> None:
        """Show these parts, as they are when somebody asks.

        Args:
            name: of the program.
            shown: what every control process has.
            workers: who is there.
            supervisor: who ends everything.
            levels: of the log at the start: what `reset` goes back to.
        """
        self._name, self._shown, self._levels = name, shown, levels
        self._workers, self._supervisor = workers, supervisor
        self._profiles = Profiles(workers)

    # A program's own.

    async def _own_sections(self) -> Sections:
        """What `config_dump` shows beside the state, the version and the certificates."""
        await trio.lowlevel.checkpoint()
        return {}

    def _worker_json(self, link: LinkT) -> dict[str, Json]:
        """What is told of a worker."""
        return {
            "index": link.index,
            "pid": link.pid,
            "greeted": link.is_greeted,
            "appliedVersion": link.applied,
            "upToDate": link.is_up_to_date,
        }

    # The pages.

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
                index = INDEX.format(name=self._name)
                return Response(200, index.encode(), "text/html; charset=utf-8")
            case "/config_dump":
                return await by_lines(await self._dump())
            case "/debug/workers":
                return as_json([self._worker_json(link) for link in self._workers.links])
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

    async def _dump(self) -> Sections:
        state = await state_json(self._shown.store)
        certificates = self._shown.certificates
        return {
            **state,
            "version": {
                "version": version("sluice-mesh"),
                "gitRevision": "unknown",
                "rustVersion": "",
                "buildProfile": "release",
                "buildStatus": "Clean",
                "cryptoProvider": "openssl",
                "istioVersion": "unknown",
            },
            "certificates": [
                *(certificate_json(one) for one in certificates.held.values()),
                *(
                    no_certificate_json(str(identity), reason)
                    for identity, reason in certificates.reasons.items()
                ),
            ],
            **await self._own_sections(),
            "sluice": self._own_json(),
        }

    def _own_json(self) -> Json:
        """What has no counterpart in Istio."""
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

    async def _set_levels(self, request: Request) -> Response:
        written = request.query.get("level", "")
        if "reset" in request.query:
            written = ",".join(filter(None, (self._levels, written)))
        if not written:
            return text("write ?level=LEVEL, ?level=SCOPE=LEVEL,... or ?reset", 400)
        if wrong := logs.set_levels(written):
            return text(f"no level: {', '.join(wrong)}; one of {', '.join(logs.LEVELS)}", 400)
        await self._workers.set_levels(
            [SetLogLevel(scope, level) for scope, level in logs.parts(written)]
        )
        return text(f"current log level is {written}")


async def state_json(store: Store) -> dict[str, Json]:
    """Workloads, services, policies and a waypoint's configuration, in order of their names.

    Cancellation: nothing changes.
    """
    workloads: list[Workload] = []
    services: list[Service] = []
    policies: list[Authorization] = []
    configuration: list[Configuration] = []
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
                configuration.append(configuration_of(resource.kind, resource.octets))
    workloads.sort(key=lambda one: one.uid)
    services.sort(key=lambda one: one.key)
    policies.sort(key=lambda one: one.key)
    configuration.sort(key=configuration_name)
    shown: Sections = {
        "workloads": await _shown_all(workloads, workload_json),
        "services": await _shown_all(
            services, lambda one: service_json(one, serving.get(one.key, ()))
        ),
        "policies": await _shown_all(policies, policy_json),
    }
    if configuration:
        shown["configuration"] = await _shown_all(configuration, configuration_json)
    return shown


async def _shown_all(values: list[ValueT], show: Callable[[ValueT], Json]) -> list[Json]:
    """Each as JSON, with a pause now and then."""
    shown: list[Json] = []
    for position, value in enumerate(values):
        if position % SLICE == 0:
            await trio.lowlevel.checkpoint()
        shown.append(show(value))
    return shown


async def by_lines(sections: dict[str, Json]) -> Response:
    """A large object: its lists with one element in each line, and a pause now and then.

    Cancellation: nothing changes.
    """
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


def as_json(value: Json) -> Response:
    """A small value."""
    return Response(200, json.dumps(value, indent=2).encode() + b"\n", "application/json")
