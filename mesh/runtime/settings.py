"""Settings that several programs share: values, and the readers that make them of variables.

No trio, no OpenSSL, no gRPC below this module: supervisors import it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Final

from mesh.model.names import ADMIN_PORT, METRICS_PORT, READINESS_PORT
from mesh.runtime.variables import Variables

ROOT_CERTIFICATE: Final = "./var/run/secrets/istio/root-cert.pem"
TOKEN_FILE: Final = "./var/run/secrets/tokens/istio-token"  # noqa: S105 - a path
IN_KUBERNETES: Final = "https://istiod.istio-system.svc:15012"
ELSEWHERE: Final = "https://localhost:15012"
MAX_PORT: Final = 65_535
MAX_OWN_THREADS: Final = 4
MAX_THREADS: Final = 256
MAX_WINDOW_OCTETS: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Workers:
    """How many workers to start: a number, a part of the cores, or our default."""

    number: int | None = None
    percent: int | None = None
    limit: int | None = None
    """Cores that the orchestrator grants: bounds our default."""

    def of(self, cores: int) -> int:
        """How many that is on a machine with so many cores; at least 1."""
        if self.percent is not None:
            return max(1, ceil(cores * self.percent / 100))
        if self.number is None:
            return max(1, min(cores, self.limit or cores, MAX_OWN_THREADS))
        return self.number or max(1, cores)


@dataclass(frozen=True, slots=True)
class Api:
    """A server of the control plane."""

    address: str
    """`https://HOST:PORT`; empty means not to be asked."""
    root_ca: str
    """Path, `SYSTEM`, or PEM."""
    alt_hostname: str
    """Another name that its certificate may have."""
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Keepalive:
    """TCP keep-alive of application connections."""

    enabled: bool
    time_s: float
    interval_s: float
    retries: int
    user_timeout: bool
    """Whether to set TCP_USER_TIMEOUT to what the probes take together."""


@dataclass(frozen=True, slots=True)
class Http2:
    """Sizes of the tunnel's flow control."""

    stream_window_octets: int
    connection_window_octets: int
    frame_octets: int


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """PEM files of a dedicated proxy that has no certificate authority."""

    chain: str
    key: str
    roots: str


@dataclass(frozen=True, slots=True)
class Ports:
    """Of the pages; 0 takes a free one and logs it."""

    admin: int
    stats: int
    readiness: int


def keepalive(read: Variables) -> Keepalive:
    """KEEPALIVE_... and USER_TIMEOUT_ENABLED."""
    return Keepalive(
        enabled=read.flag("KEEPALIVE_ENABLED", default=True),
        time_s=read.seconds("KEEPALIVE_TIME", 180.0),
        interval_s=read.seconds("KEEPALIVE_INTERVAL", 180.0),
        retries=read.whole("KEEPALIVE_RETRIES", 9, 1, 127),
        user_timeout=read.flag("USER_TIMEOUT_ENABLED", default=False),
    )


def api(read: Variables, kind: str, *, with_default: bool) -> Api:
    """A server of the control plane.

    Args:
        read: the variables.
        kind: `XDS` or `CA`: the prefix of their names.
        with_default: whether it is asked when no address is given.
    """
    default = ""
    if with_default:
        default = IN_KUBERNETES if read.text("KUBERNETES_SERVICE_HOST") else ELSEWHERE
    name = f"{kind}_ADDRESS"
    address = read.raw(name, default)
    if address and "://" not in address:
        address = f"https://{address}"
    host, _, port = address.removeprefix("https://").rstrip("/").rpartition(":")
    if address and not (
        address.startswith("https://") and host and port.isdecimal() and int(port) <= MAX_PORT
    ):
        read.problem(name, "write https://HOST:PORT (a token never travels in plain text)")
    return Api(
        address=address.rstrip("/"),
        root_ca=read.text(f"{kind}_ROOT_CA", ROOT_CERTIFICATE),
        alt_hostname=read.text(f"ALT_{kind}_HOSTNAME"),
        headers=tuple(
            (header.lower(), value) for header, value in read.beginning_with(f"{kind}_HEADER_")
        ),
    )


def workers(read: Variables, name: str, limit_names: Iterable[str] = ()) -> Workers:
    """How many workers a variable asks for.

    Args:
        read: the variables.
        name: of the variable.
        limit_names: of variables with the cores that the orchestrator grants; the first counts.
    """
    text = read.text(name)
    limits = [read.whole(limit, 0, 0, MAX_THREADS) for limit in limit_names]
    if not text:
        return Workers(limit=next(filter(None, limits), None))
    number = text.removesuffix("%")
    if not (number.isascii() and number.isdecimal() and int(number) <= MAX_THREADS):
        read.problem(name, "write a number (0 for one per core) or a part such as 50%")
        return Workers()
    return Workers(percent=int(number)) if text.endswith("%") else Workers(number=int(number))


def drain_s(read: Variables) -> float:
    """How long open connections may take: somewhat less than until the orchestrator kills."""
    grace_s = read.whole("TERMINATION_GRACE_PERIOD_SECONDS", 0, 0, 86_400)
    default = 5.0
    if grace_s:
        default = float(max(1, grace_s - 5 if grace_s > 10 else grace_s - 1))
    return read.seconds("CONNECTION_TERMINATION_DEADLINE", default)


def http2(read: Variables) -> Http2:
    """HTTP2_..."""
    mebi = 1024 * 1024
    return Http2(
        read.whole("HTTP2_STREAM_WINDOW_SIZE", 4 * mebi, 1, MAX_WINDOW_OCTETS),
        read.whole("HTTP2_CONNECTION_WINDOW_SIZE", 16 * mebi, 1, MAX_WINDOW_OCTETS),
        read.whole("HTTP2_FRAME_SIZE", mebi, 2**14, 2**24 - 1),
    )


def ports(read: Variables) -> Ports:
    """SLUICE_ADMIN_PORT, SLUICE_STATS_PORT, SLUICE_READINESS_PORT."""
    return Ports(
        admin=read.whole("SLUICE_ADMIN_PORT", ADMIN_PORT, 0, MAX_PORT),
        stats=read.whole("SLUICE_STATS_PORT", METRICS_PORT, 0, MAX_PORT),
        readiness=read.whole("SLUICE_READINESS_PORT", READINESS_PORT, 0, MAX_PORT),
    )
