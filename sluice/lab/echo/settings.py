"""What an echo is told: by variables (echo-basic), or by arguments (echo-advanced)."""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import Final, NamedTuple

MODULES: Final = "SLUICE_ECHO_MODULES"
"""The variable with the folders in which modules are found: it runs without site packages."""

READY: Final = "SLUICE_ECHO_READY"
"""The variable with the number of a descriptor to write to once it listens."""

ADVANCED: Final = "echo-advanced"
BASIC: Final = "echo-basic"


class Speech(Enum):
    """What is spoken on a port."""

    HTTP1 = auto()
    """HTTP/1.1; over TLS also HTTP/2, by ALPN."""
    H2C = auto()
    """HTTP/2 without TLS only."""
    HTTP = auto()
    """HTTP of any version."""
    GRPC = auto()
    TCP = auto()
    UDP = auto()


class Port(NamedTuple):
    """A port to listen on."""

    number: int
    speech: Speech
    is_secure: bool = False


class Who(NamedTuple):
    """Where an echo runs, as its answers say it."""

    namespace: str = ""
    ingress: str = ""
    service: str = ""
    pod: str = ""


class Settings(NamedTuple):
    """Everything that an echo is told."""

    who: Who
    ports: tuple[Port, ...]
    http_port: str = ""
    """What its answers call `httpPort`; empty: the port of the request."""
    certificate: str = ""
    """The files of its certificate and key; empty: it makes its own."""
    key: str = ""
    client_authorities: str = ""
    """The file of the authorities of clients' certificates; empty: clients are not asked."""
    greeting: str = ""
    """What it says first over TCP; a newline ends it."""
    is_advanced: bool = False
    ignored: tuple[str, ...] = ()
    """Arguments that it does not know."""


def settings_of(words: Sequence[str], variables: Mapping[str, str]) -> Settings:
    """The settings of a process.

    Args:
        words: BASIC or ADVANCED, then arguments.
        variables: its environment.

    Raises:
        ValueError: a port that is no number.
    """
    who = Who(
        variables.get("NAMESPACE", ""),
        variables.get("INGRESS_NAME", ""),
        variables.get("SERVICE_NAME", ""),
        variables.get("POD_NAME") or variables.get("HOSTNAME", ""),
    )
    if words and words[0] == ADVANCED:
        return _advanced(words[1:], who)
    return _basic(variables, who)


def _basic(variables: Mapping[str, str], who: Who) -> Settings:
    certificate, key = variables.get("TLS_SERVER_CERT", ""), _key(variables)
    return Settings(
        who=who,
        ports=tuple(_basic_ports(variables, is_secure=bool(certificate and key))),
        http_port=variables.get("HTTP_PORT") or "3000",
        certificate=certificate,
        key=key,
        client_authorities=variables.get("TLS_CLIENT_CACERTS", ""),
        greeting="Gateway API Test TCP Server\n",
    )


def _key(variables: Mapping[str, str]) -> str:
    # The public server spells it in two ways, one for HTTP and one for the rest.
    return variables.get("TLS_SERVER_PRIVKEY") or variables.get("TLS_SERVER_PRIV_KEY", "")


def _basic_ports(variables: Mapping[str, str], *, is_secure: bool) -> Iterator[Port]:
    def port(variable: str, default: int) -> int:
        return int(variables.get(variable) or default)

    if variables.get("GRPC_ECHO_SERVER"):
        yield Port(port("HTTP_PORT", 3000), Speech.GRPC)
        if is_secure:
            yield Port(port("HTTPS_PORT", 8443), Speech.GRPC, is_secure=True)
        return
    has_tcp, has_udp = variables.get("TCP_ECHO_SERVER"), variables.get("UDP_ECHO_SERVER")
    if has_tcp:
        yield Port(port("TCP_PORT", 3000), Speech.TCP)
        if is_secure:
            yield Port(port("TLS_PORT", 8443), Speech.TCP, is_secure=True)
    if has_udp or not has_tcp:
        yield Port(port("UDP_PORT", 8080), Speech.UDP)
    if not has_tcp and not has_udp:
        yield Port(port("HTTP_PORT", 3000), Speech.HTTP1)
        yield Port(port("H2C_PORT", 3001), Speech.H2C)
        if is_secure:
            yield Port(port("HTTPS_PORT", 8443), Speech.HTTP1, is_secure=True)


_PORT_ARGUMENTS: Final = {
    "port": (Speech.HTTP, (8080,)),
    "grpc": (Speech.GRPC, (7070,)),
    "tcp": (Speech.TCP, (9090,)),
    "udp": (Speech.UDP, ()),
}
_OTHER_ARGUMENTS: Final = ("tls", "crt", "key", "version", "cluster", "istio-version")
_DEFAULT_SECURE: Final = 8443


def _advanced(words: Sequence[str], who: Who) -> Settings:
    told: dict[str, list[str]] = {}
    for name, value in _arguments(words):
        told.setdefault(name, []).extend(value.split(","))
    return Settings(
        who=who,
        ports=tuple(_advanced_ports(told)),
        certificate=told.get("crt", [""])[-1],
        key=told.get("key", [""])[-1],
        is_advanced=True,
        ignored=tuple(told.keys() - {*_PORT_ARGUMENTS, *_OTHER_ARGUMENTS}),
    )


def _advanced_ports(told: Mapping[str, list[str]]) -> Iterator[Port]:
    # A port of --tls is one of the others, made secure. Without --tls there is one more.
    secure = {int(text) for text in told.get("tls", ())}
    if "tls" not in told:
        yield Port(_DEFAULT_SECURE, Speech.HTTP, is_secure=True)
    for name, (speech, defaults) in _PORT_ARGUMENTS.items():
        for number in map(int, told.get(name, defaults)):
            yield Port(number, speech, is_secure=number in secure)


def _arguments(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    rest = list(words)
    while rest:
        name, found, value = rest.pop(0).lstrip("-").partition("=")
        if not found and rest and not rest[0].startswith("-"):
            value = rest.pop(0)
        yield name, value
