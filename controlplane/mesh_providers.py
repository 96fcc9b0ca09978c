"""The mesh configuration's `extensionProviders`: whom CUSTOM policies can ask.

Read are `envoyExtAuthzGrpc` and `envoyExtAuthzHttp`, every field of them, and for traces (in
`mesh_tracing`) `opentelemetry`; providers of other kinds have no effect here and are named in the
log.
"""

from collections.abc import Iterator
from typing import Final

from controlplane.mesh_tracing import KIND as TRACES
from controlplane.translate.read_traffic import duration_at
from controlplane.translate.route_fields import checked_header_name, number_at, value_at
from controlplane.translate.settings import Provider
from mesh.model.fields import FieldInvalidError, Part
from mesh.model.routes import ExternalAuth

_GRPC: Final = "envoyExtAuthzGrpc"
_HTTP: Final = "envoyExtAuthzHttp"
_COMMON: Final = frozenset(
    {"service", "port", "timeout", "failOpen", "statusOnError", "includeRequestBodyInCheck"}
)
_OF_HTTP: Final = _COMMON | {
    "pathPrefix",
    "includeRequestHeadersInCheck",
    "includeHeadersInCheck",
    "includeAdditionalHeadersInCheck",
    "headersToUpstreamOnAllow",
    "headersToDownstreamOnAllow",
    "headersToDownstreamOnDeny",
}
_OF_BODY: Final = frozenset({"maxRequestBytes", "allowPartialMessage", "packAsBytes"})
DEFAULT_TIMEOUT_S: Final = 600.0
"""Istio's."""
MAX_BODY_OCTETS: Final = 1024 * 1024
"""What of a request's content is held at most while somebody else is asked."""


def read_providers(config: Part) -> tuple[tuple[Provider, ...], list[str], list[str]]:
    """The providers of a mesh configuration.

    Returns:
        Those that can be asked; the names of the others; everything that is wrong.
    """
    providers: list[Provider] = []
    others: list[str] = []
    problems: list[str] = []
    try:
        parts = config.parts("extensionProviders")
    except FieldInvalidError as error:
        return (), [], [f"{error.field}: {error.mend}"]
    for part in parts:
        try:
            found = _provider(part)
        except FieldInvalidError as error:
            problems.append(f"{error.field}: {error.mend}")
            continue
        if found is None:
            others += [] if part.has(TRACES) else [part.path]
        elif any(found.name == other.name for other in providers):
            problems.append(f"{part.field('name')}: {found.name!r:.80} is there twice")
        else:
            providers.append(found)
    return tuple(providers), others, problems


def _provider(part: Part) -> Provider | None:
    """A provider; None for one of another kind.

    Raises:
        FieldInvalidError: a field that has a value that it cannot have, or that is not known.
    """
    kind = _GRPC if part.has(_GRPC) else _HTTP if part.has(_HTTP) else ""
    if not kind:
        return None
    name, how = part.text("name"), part.at(kind)
    if not name:
        raise part.invalid("name", "is needed: policies name it")
    for unknown in sorted(how.body.keys() - (_COMMON if kind == _GRPC else _OF_HTTP)):
        raise how.invalid(unknown, "is not known here, or not supported: take it away")
    host, port = how.text("service"), number_at(how, "port", 1, 65_535)
    if not host or not port:
        raise how.invalid("service" if port else "port", "is needed")
    auth = ExternalAuth(
        is_grpc=kind == _GRPC,
        service="",
        port=port,
        path=_path(how),
        request_headers=(
            *_names(how, "includeRequestHeadersInCheck"),
            *_names(how, "includeHeadersInCheck"),
        ),
        response_headers=_names(how, "headersToUpstreamOnAllow"),
        max_body_octets=_body(how),
        timeout_s=duration_at(how, "timeout", DEFAULT_TIMEOUT_S),
        fails_open=how.flag("failOpen"),
        added_headers=tuple(_added(how)),
        denial_headers=_names(how, "headersToDownstreamOnDeny"),
        answer_headers=_names(how, "headersToDownstreamOnAllow"),
        sends_partial_body=how.at("includeRequestBodyInCheck").flag("allowPartialMessage"),
        error_status=_status(how),
    )
    return Provider(name, host, auth)


def _path(how: Part) -> str:
    path = how.text("pathPrefix")
    if path and (not path.startswith("/") or not path.isascii() or not path.isprintable()):
        raise how.invalid("pathPrefix", "must begin with /, in URL's spelling")
    return path


def _names(how: Part, name: str) -> tuple[str, ...]:
    return tuple(_name(how, f"{name}[{index}]", text) for index, text in enumerate(how.texts(name)))


def _name(how: Part, place: str, text: str) -> str:
    if "*" in text:  # a token may have one: Istio means a pattern
        raise how.invalid(place, f"{text!r:.60} is a pattern: write each name")
    return checked_header_name(how, place, text)


def _added(how: Part) -> Iterator[tuple[str, str]]:
    part = how.at("includeAdditionalHeadersInCheck")
    for name in part.body:
        yield _name(part, name, name), value_at(part, name)


def _body(how: Part) -> int:
    if not how.has("includeRequestBodyInCheck"):
        return 0
    part = how.at("includeRequestBodyInCheck")
    for unknown in sorted(part.body.keys() - _OF_BODY):
        raise part.invalid(unknown, "is not known: take it away")
    if not part.has("maxRequestBytes"):
        raise part.invalid("maxRequestBytes", "is needed")
    return number_at(part, "maxRequestBytes", 1, MAX_BODY_OCTETS)


def _status(how: Part) -> int:
    text = how.text("statusOnError", "403")
    if not (text.isascii() and text.isdecimal() and 200 <= int(text[:4]) <= 599):
        raise how.invalid(
            "statusOnError", f"{text!r:.20} is no status of HTTP: write one in quotes"
        )
    return int(text)
