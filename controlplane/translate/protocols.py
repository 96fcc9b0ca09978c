"""What a service port speaks, by its name, its `appProtocol` and its number."""

from typing import Final

from mesh.model.workload import AppProtocol

_NAMES: Final = {
    "http": AppProtocol.HTTP11,
    "http2": AppProtocol.HTTP2,
    "grpc": AppProtocol.GRPC,
    "https": AppProtocol.TLS,
    "tls": AppProtocol.TLS,
    "tcp": AppProtocol.TCP,
    "kubernetes.io/h2c": AppProtocol.HTTP2,
    "kubernetes.io/ws": AppProtocol.HTTP11,
    "kubernetes.io/wss": AppProtocol.TLS,
    # Known, and none of the workload API's: whoever needs to know looks at the bytes.
    "mongo": AppProtocol.UNKNOWN,
    "mysql": AppProtocol.UNKNOWN,
    "redis": AppProtocol.UNKNOWN,
    "udp": AppProtocol.UNKNOWN,
    "hbone": AppProtocol.UNKNOWN,
    "grpc-web": AppProtocol.UNKNOWN,
}

_TCP_PORTS: Final = frozenset({25, 53, 3306, 27017})
"""Where the server speaks first: a look at the bytes would wait in vain."""


def app_protocol(protocol: str, name: str, said: str, number: int) -> AppProtocol:
    """What a port speaks.

    Args:
        protocol: `TCP`, `UDP` or `SCTP`.
        name: the port's name, of which what stands before the first `-` counts.
        said: its `appProtocol`, which counts instead of the name.
        number: the service port.
    """
    if protocol != "TCP":
        return AppProtocol.UNKNOWN
    word = (said or name).lower()
    if word.startswith("grpc-web"):
        return AppProtocol.UNKNOWN
    known = _NAMES.get(word, _NAMES.get(word.partition("-")[0]))
    if known is not None:
        return known
    return AppProtocol.TCP if number in _TCP_PORTS else AppProtocol.UNKNOWN
