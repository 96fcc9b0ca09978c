"""Cross-origin requests (the Fetch standard), as Gateway API's CORS filter has them.

1. A preflight is `OPTIONS` with `origin` and `access-control-request-method`. It is answered here,
   and goes no further. From an origin that is not allowed it gets an answer that allows nothing.
2. Any other request is forwarded, and its answer tells the browser whether the page may read it. An
   origin that is not allowed gets nothing from us, and keeps what the backend itself may say.
3. With credentials a browser takes no `*`: then the origin, method and headers that were asked for
   are echoed, and what was not asked for is not said. No credentials, no word of them.
4. Answers that depend on the origin say so (`vary`), to whichever origin.
5. An origin is scheme, host and port; a port that goes without saying is the same said or not. `*.`
   before a host stands for one label or more.
"""

from collections.abc import Iterable
from typing import Final

from mesh.model.routes import Cors
from mesh.wire.http.messages import Fields, RequestHead, ResponseHead, first, joined

ORIGIN: Final = b"origin"
ALLOW_ORIGIN: Final = b"access-control-allow-origin"
ALLOW_CREDENTIALS: Final = b"access-control-allow-credentials"
ALLOW_METHODS: Final = b"access-control-allow-methods"
ALLOW_HEADERS: Final = b"access-control-allow-headers"
EXPOSE_HEADERS: Final = b"access-control-expose-headers"
MAX_AGE: Final = b"access-control-max-age"
REQUEST_METHOD: Final = b"access-control-request-method"
REQUEST_HEADERS: Final = b"access-control-request-headers"
ANY: Final = "*"

_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


def preflight(cors: Cors, head: RequestHead) -> ResponseHead | None:
    """The answer to a preflight, without content; None when the request is none: forward it."""
    origin = first(head.fields, ORIGIN)
    method = first(head.fields, REQUEST_METHOD)
    if head.method != b"OPTIONS" or origin is None or method is None:
        return None
    fields: Fields = []
    if is_allowed(cors, origin):
        fields += _for_origin(cors, origin)
        allowed = _listed(cors, cors.methods, method)
        if allowed:
            fields.append((ALLOW_METHODS, allowed))
        allowed = _listed(cors, cors.headers, first(head.fields, REQUEST_HEADERS))
        if allowed:
            fields.append((ALLOW_HEADERS, allowed))
        fields.append((MAX_AGE, b"%d" % cors.max_age_s))
    _vary(cors, fields)
    return ResponseHead(200, fields, length=0)


def cors_response(cors: Cors, origin: bytes | None, head: ResponseHead) -> None:
    """Tell the browser what a page of the request's origin may do with a response.

    Args:
        cors: the filter.
        origin: the request's `origin` field; None when it had none.
        head: of the response; changed in place.
    """
    if origin is not None and is_allowed(cors, origin):
        named = [name.decode("latin-1") for name, _ in head.fields]
        fields = _for_origin(cors, origin)
        exposed = _exposed(cors, named)
        if exposed:
            fields.append((EXPOSE_HEADERS, exposed))
        ours = {ALLOW_ORIGIN, ALLOW_CREDENTIALS, EXPOSE_HEADERS}
        head.fields[:] = [field for field in head.fields if field[0] not in ours]
        head.fields += fields
    _vary(cors, head.fields)


def is_allowed(cors: Cors, origin: bytes) -> bool:
    """Whether an origin is one of the filter's."""
    asked = _spelled(origin.decode("latin-1"))
    return any(_covers(allowed, asked) for allowed in cors.origins)


def _covers(allowed: str, asked: str) -> bool:
    if allowed == ANY:
        return True
    allowed = _spelled(allowed)
    scheme, slashes, host = allowed.partition("://")
    if not slashes or not host.startswith(ANY):
        return allowed == asked
    asked_scheme, slashes, asked_host = asked.partition("://")
    rest = host[1:]
    return (
        bool(slashes)
        and asked_scheme == scheme
        and asked_host.endswith(rest)
        and len(asked_host) > len(rest)
    )


def _spelled(origin: str) -> str:
    """In lower case, without the port that its scheme implies."""
    origin = origin.lower()
    return origin.removesuffix(_DEFAULT_PORTS.get(origin.partition("://")[0], " "))


def _for_origin(cors: Cors, origin: bytes) -> Fields:
    if cors.credentials:
        return [(ALLOW_ORIGIN, origin), (ALLOW_CREDENTIALS, b"true")]
    return [(ALLOW_ORIGIN, b"*" if ANY in cors.origins else origin)]


def _listed(cors: Cors, allowed: tuple[str, ...], asked: bytes | None) -> bytes:
    """What is allowed; of everything, with credentials, what was asked for."""
    if ANY not in allowed:
        return _joined(allowed)
    return (asked or b"") if cors.credentials else b"*"


def _exposed(cors: Cors, named: Iterable[str]) -> bytes:
    if ANY not in cors.expose:
        return _joined(cors.expose)
    # With credentials `*` would be a header of that name: say which there are.
    return _joined(dict.fromkeys(named)) if cors.credentials else b"*"


def _joined(names: Iterable[str]) -> bytes:
    return ", ".join(names).encode()


def _vary(cors: Cors, fields: Fields) -> None:
    if ANY in cors.origins and not cors.credentials:
        return
    told = joined(fields, b"vary") or b""
    if {b"*", ORIGIN}.isdisjoint(each.strip().lower() for each in told.split(b",")):
        fields.append((b"vary", ORIGIN))
