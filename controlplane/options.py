"""The command line of `sluice-control`, read into one value."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controlplane.mesh_config import MeshConfig, read_mesh_config
from controlplane.tokens import LIFETIME_S
from controlplane.translate.settings import Provider, Traces
from mesh.errors import ConfigError
from mesh.model.names import DISCOVERY_PORT

MONITORING_PORT: Final = 15014
DAY_HOURS: Final = 24
MAX_STREAMS: Final = 4096
LEVELS: Final = ("debug", "info", "warning", "error")


class UsageError(ConfigError):
    """A flag of the command line is missing, or has a value that it cannot have."""

    code = "usage"


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen; an empty host is every address."""

    host: str
    port: int

    @classmethod
    def parse(cls, flag: str, written: str) -> "Listen":
        """Read `HOST:PORT`, `[V6]:PORT` or `:PORT`.

        Raises:
            UsageError: anything else.
        """
        host, colon, port = written.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        good_port = port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= 65535
        if not colon or not good_port or bracketed != (":" in host):
            raise UsageError((f"{flag}: {written!r} is not HOST:PORT, such as 127.0.0.1:15012",))
        return cls(host.strip("[]"), int(port))

    @property
    def address(self) -> str:
        """As gRPC wants it."""
        host = self.host or "::"
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What the control plane is to do."""

    manifests: Path
    listen: Listen
    monitoring: Listen
    state: Path
    cluster_id: str
    trust_domain: str
    root_namespace: str
    trusted: frozenset[str]
    certificate_hours: float
    max_streams: int
    log_level: str
    goes_direct: bool = False
    """Whether connections go direct while a waypoint is not ready, rather than being refused."""
    auto_waypoint: bool = False
    """Whether services with routes get a waypoint without asking for one."""
    discovery_url: str = ""
    """Where pods find this control plane; empty: at its service."""
    providers: tuple[Provider, ...] = ()
    traces: Traces | None = None
    """Whom CUSTOM policies can ask."""
    path_normalisation: str = "BASE"
    """Of requests at waypoints."""
    ignored_config: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOptions:
    """Which token is wanted."""

    state: Path
    namespace: str
    service_account: str
    pod: str
    manifests: Path | None
    lifetime_s: int


def parse(words: Sequence[str]) -> ServeOptions | TokenOptions:
    """Read a command line. Help and unknown flags end the process, as argparse does.

    Raises:
        UsageError: every problem at once.
        MeshConfigInvalidError: the file cannot be used.
    """
    if words[:1] == ["token"]:
        return _token_options(_token_parser().parse_args(words[1:], _TokenWords()))
    return _serve_options(_serve_parser().parse_args(words, _ServeWords()))


class _ServeWords(argparse.Namespace):
    source: str
    manifests: str
    listen: str
    monitoring_listen: str
    state: str
    mesh_config: str
    cluster_id: str
    trust_domain: str
    root_namespace: str
    trusted_account: list[str]
    discovery_url: str
    certificate_hours: float
    max_streams: int
    log_level: str


class _TokenWords(argparse.Namespace):
    namespace: str
    account: str
    pod: str
    state: str
    manifests: str
    lifetime: int


def _serve_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sluice-control",
        description="The control plane: manifests in; workload API, policies, certificates out.",
        epilog="`sluice-control token --help`: a service-account token. Exit codes: 0 stopped when "
        "told to, 1 cannot run, 2 wrong use.",
    )
    add = parser.add_argument
    add("--source", default="directory", help="where the objects are: directory")
    add("--manifests", default="", metavar="DIR", help="the folder of manifests; it is watched")
    add("--listen", default=f":{DISCOVERY_PORT}", metavar="HOST:PORT", help="discovery and CA")
    add(
        "--monitoring-listen",
        default=f":{MONITORING_PORT}",
        metavar="HOST:PORT",
        help="/metrics, and for loopback /debug",
    )
    add("--state", default="", metavar="DIR", help="keys and root-cert.pem; made when not there")
    add("--mesh-config", default="", metavar="FILE", help="Istio's MeshConfig; flags come first")
    add("--cluster-id", default="Kubernetes")
    add("--trust-domain", default="", help="default: cluster.local")
    add("--root-namespace", default="", help="default: istio-system")
    add(
        "--trusted-account",
        action="append",
        default=[],
        metavar="NAMESPACE/ACCOUNT",
        help="a node proxy's account; default: ROOT_NAMESPACE/ztunnel; may be repeated",
    )
    add(
        "--discovery-url",
        default="",
        metavar="URL",
        help="where waypoints find this; default: https://istiod.ROOT_NAMESPACE.svc:15012",
    )
    add("--certificate-hours", type=float, default=DAY_HOURS, help="of workloads; default: 24")
    add("--max-streams", type=int, default=256, help="discovery streams above it are refused")
    add("--log-level", default="info", choices=LEVELS)
    return parser


def _token_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sluice-control token",
        description="Print a signed service-account token for the audience istio-ca.",
    )
    add = parser.add_argument
    add("namespace")
    add("account")
    add("pod", nargs="?", default="", help="bind the token to this pod of the account")
    add("--state", default="", metavar="DIR", help="of the control plane that is to believe it")
    add(
        "--manifests",
        default="",
        metavar="DIR",
        help="where the pod is; default: the folder of that control plane",
    )
    add("--lifetime", type=int, default=LIFETIME_S, metavar="SECONDS")
    return parser


def _serve_options(words: _ServeWords) -> ServeOptions:
    problems = [*_source_problems(words), *_number_problems(words)]
    listens = []
    for flag, written in (
        ("--listen", words.listen),
        ("--monitoring-listen", words.monitoring_listen),
    ):
        try:
            listens.append(Listen.parse(flag, written))
        except UsageError as error:
            problems += error.problems
    problems += [
        f"--trusted-account: {account!r} is not NAMESPACE/ACCOUNT"
        for account in words.trusted_account
        if not all(account.partition("/")) or account.count("/") != 1
    ]
    if problems:
        raise UsageError(tuple(problems))
    config = read_mesh_config(Path(words.mesh_config)) if words.mesh_config else MeshConfig()
    root_namespace = words.root_namespace or config.root_namespace or "istio-system"
    return ServeOptions(
        manifests=Path(words.manifests),
        listen=listens[0],
        monitoring=listens[1],
        state=Path(words.state),
        cluster_id=words.cluster_id,
        trust_domain=words.trust_domain or config.trust_domain or "cluster.local",
        root_namespace=root_namespace,
        trusted=frozenset(words.trusted_account or [f"{root_namespace}/ztunnel"]),
        certificate_hours=words.certificate_hours,
        max_streams=words.max_streams,
        log_level=words.log_level,
        goes_direct=config.goes_direct,
        auto_waypoint=config.auto_waypoint,
        discovery_url=words.discovery_url,
        providers=config.providers,
        traces=config.traces,
        path_normalisation=config.path_normalisation,
        ignored_config=config.ignored,
    )


def _source_problems(words: _ServeWords) -> list[str]:
    problems = []
    match words.source:
        case "directory":
            if not words.manifests:
                problems.append("--manifests: is missing: give the folder of manifests")
            elif not Path(words.manifests).is_dir():
                problems.append(f"--manifests: {words.manifests} is not a folder: make it first")
        case "kubernetes":
            problems.append("--source: kubernetes is not there yet: use --source directory")
        case other:
            problems.append(f"--source: {other!r} is no source: use --source directory")
    if not words.state:
        problems.append("--state: is missing: give a folder for keys and certificates")
    return problems


def _number_problems(words: _ServeWords) -> list[str]:
    problems = []
    if not 0 < words.certificate_hours <= 24 * 90:
        problems.append("--certificate-hours: must be more than 0, and 2160 (90 days) at most")
    if not 1 <= words.max_streams <= MAX_STREAMS:
        problems.append(f"--max-streams: must be from 1 to {MAX_STREAMS}")
    return problems


def _token_options(words: _TokenWords) -> TokenOptions:
    problems = []
    if not words.state:
        problems.append("--state: is missing: give the control plane's folder")
    if words.lifetime < 1:
        problems.append("--lifetime: must be 1 second at least")
    for name, value in (("NAMESPACE", words.namespace), ("ACCOUNT", words.account)):
        if not value or ":" in value or "/" in value:
            problems.append(f"{name}: {value!r} is no name of Kubernetes")
    if problems:
        raise UsageError(tuple(problems))
    return TokenOptions(
        state=Path(words.state),
        namespace=words.namespace,
        service_account=words.account,
        pod=words.pod,
        manifests=Path(words.manifests) if words.manifests else None,
        lifetime_s=words.lifetime,
    )
