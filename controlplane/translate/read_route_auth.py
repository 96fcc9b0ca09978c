"""The ExternalAuth filter of a route: who is asked, and what is sent along."""

from typing import Final

from controlplane.translate.read_route_targets import target_of
from controlplane.translate.route_facts import Reference
from controlplane.translate.route_fields import checked_header_name, number_at
from mesh.model.fields import Part
from mesh.model.routes import ExternalAuth

MAX_BODY_OCTETS: Final = 65_535


def external_auth_of(part: Part, namespace: str) -> tuple[Reference, ExternalAuth]:
    """Who is asked, and how; the service stays empty until it is looked up.

    Raises:
        FieldInvalidError: a protocol, path or header that is none.
    """
    protocol = part.text("protocol")
    if protocol not in ("GRPC", "HTTP"):
        raise part.invalid("protocol", f"{protocol!r:.40} is unknown here: write GRPC or HTTP")
    how = part.at("grpc" if protocol == "GRPC" else "http")
    path = how.text("path") if protocol == "HTTP" else ""
    if path and (not path.startswith("/") or not path.isascii() or not path.isprintable()):
        raise how.invalid("path", "must begin with /, in URL's spelling")
    auth = ExternalAuth(
        is_grpc=protocol == "GRPC",
        service="",
        port=0,
        path=path,
        request_headers=_names(how, "allowedHeaders"),
        response_headers=_names(how, "allowedResponseHeaders"),
        max_body_octets=number_at(part.at("forwardBody"), "maxSize", 0, MAX_BODY_OCTETS),
    )
    return target_of(part.at("backendRef"), namespace), auth


def _names(part: Part, name: str) -> tuple[str, ...]:
    return tuple(
        checked_header_name(part, f"{name}[{index}]", text)
        for index, text in enumerate(part.texts(name))
    )
