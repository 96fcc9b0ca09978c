import pytest

from mesh.model.routes import Cors
from mesh.routing.http.cors import cors_response, is_allowed, preflight
from mesh.wire.http.messages import Fields, ResponseHead
from tests.mesh.routing.http.given import request

NAMED = Cors(
    origins=("https://www.foo.com", "https://*.bar.com"),
    methods=("GET", "PUT"),
    headers=("x-one", "x-two"),
    expose=("x-three", "x-four"),
    credentials=True,
    max_age_s=3600,
)
ANY = Cors(origins=("*",), methods=("*",), headers=("*",), expose=("*",))
ANY_WITH_CREDENTIALS = Cors(
    origins=("*",), methods=("*",), headers=("*",), expose=("*",), credentials=True
)
OTHER_ORIGINS = Cors(origins=("https://www.foo.com",))


def asked(
    origin: str | None = "https://www.foo.com", method: str | None = "PUT", wants: str | None = None
) -> dict[str, str]:
    pairs = {
        "origin": origin,
        "access_control_request_method": method,
        "access_control_request_headers": wants,
    }
    return {name: value for name, value in pairs.items() if value is not None}


def said(fields: Fields) -> dict[str, str]:
    """CORS's own fields, without their common beginning."""
    return {name.decode().removeprefix("access-control-"): value.decode() for name, value in fields}


def named(origin: str) -> dict[str, str]:
    """What the filter with names answers to one of its origins."""
    return {
        "allow-origin": origin,
        "allow-credentials": "true",
        "allow-methods": "GET, PUT",
        "allow-headers": "x-one, x-two",
        "max-age": "3600",
        "vary": "origin",
    }


@pytest.mark.parametrize(
    ("cors", "headers", "answer"),
    [
        (NAMED, asked(), named("https://www.foo.com")),
        (NAMED, asked("https://a.bar.com"), named("https://a.bar.com")),
        (
            NAMED,
            asked("https://a.b.bar.com"),
            named("https://a.b.bar.com"),
        ),
        (
            NAMED,
            asked(method="DELETE", wants="x-other"),
            named("https://www.foo.com"),
        ),
        (NAMED, asked("https://bar.com"), {"vary": "origin"}),
        (NAMED, asked("http://www.foo.com"), {"vary": "origin"}),
        (NAMED, asked("https://www.foo.com:8443"), {"vary": "origin"}),
        (NAMED, asked("null"), {"vary": "origin"}),
        (
            ANY,
            asked(),
            {"allow-origin": "*", "allow-methods": "*", "allow-headers": "*", "max-age": "5"},
        ),
        (
            ANY_WITH_CREDENTIALS,
            asked(wants="x-one, x-two"),
            {
                "allow-origin": "https://www.foo.com",
                "allow-credentials": "true",
                "allow-methods": "PUT",
                "allow-headers": "x-one, x-two",
                "max-age": "5",
                "vary": "origin",
            },
        ),
        (
            ANY_WITH_CREDENTIALS,
            asked(),
            {
                "allow-origin": "https://www.foo.com",
                "allow-credentials": "true",
                "allow-methods": "PUT",
                "max-age": "5",
                "vary": "origin",
            },
        ),
        (
            OTHER_ORIGINS,
            asked(),
            {"allow-origin": "https://www.foo.com", "max-age": "5", "vary": "origin"},
        ),
        (Cors(), asked(), {"vary": "origin"}),
    ],
)
def test_a_preflight_is_answered_here(
    cors: Cors, headers: dict[str, str], answer: dict[str, str]
) -> None:
    head = preflight(cors, request("/", "OPTIONS", **headers))
    assert head is not None
    assert (head.status, head.length) == (200, 0)
    assert said(head.fields) == answer


@pytest.mark.parametrize(
    ("method", "headers"),
    [("GET", asked()), ("OPTIONS", asked(origin=None)), ("OPTIONS", asked(method=None))],
)
def test_what_is_no_preflight_goes_on_to_the_backend(method: str, headers: dict[str, str]) -> None:
    assert preflight(NAMED, request("/", method, **headers)) is None


@pytest.mark.parametrize(
    ("cors", "origin", "answer"),
    [
        (
            NAMED,
            "https://www.foo.com",
            {
                "content-type": "text/plain",
                "allow-origin": "https://www.foo.com",
                "allow-credentials": "true",
                "expose-headers": "x-three, x-four",
                "vary": "origin",
            },
        ),
        (NAMED, "https://evil.com", {"content-type": "text/plain", "vary": "origin"}),
        (NAMED, None, {"content-type": "text/plain", "vary": "origin"}),
        (
            ANY,
            "https://x.com",
            {"content-type": "text/plain", "allow-origin": "*", "expose-headers": "*"},
        ),
        (ANY, None, {"content-type": "text/plain"}),
        (
            ANY_WITH_CREDENTIALS,
            "https://x.com",
            {
                "content-type": "text/plain",
                "allow-origin": "https://x.com",
                "allow-credentials": "true",
                "expose-headers": "content-type",
                "vary": "origin",
            },
        ),
        (
            OTHER_ORIGINS,
            "https://www.foo.com",
            {"content-type": "text/plain", "allow-origin": "https://www.foo.com", "vary": "origin"},
        ),
    ],
)
def test_a_response_tells_the_browser_what_a_page_may_do_with_it(
    cors: Cors, origin: str | None, answer: dict[str, str]
) -> None:
    head = ResponseHead(200, [(b"content-type", b"text/plain")])
    cors_response(cors, None if origin is None else origin.encode(), head)
    assert said(head.fields) == answer


def test_the_routes_word_replaces_the_backends() -> None:
    head = ResponseHead(
        200,
        [
            (b"access-control-allow-origin", b"*"),
            (b"access-control-allow-credentials", b"true"),
            (b"vary", b"accept, Origin"),
        ],
    )
    cors_response(OTHER_ORIGINS, b"https://www.foo.com", head)
    assert head.fields == [
        (b"vary", b"accept, Origin"),
        (b"access-control-allow-origin", b"https://www.foo.com"),
    ]


@pytest.mark.parametrize(
    ("configured", "origin", "allowed"),
    [
        ("https://a.com", "https://a.com", True),
        ("https://a.com:443", "https://a.com", True),
        ("https://a.com", "https://a.com:443", True),
        ("http://a.com", "http://a.com:80", True),
        ("http://a.com", "http://a.com:443", False),
        ("https://A.com", "https://a.COM", True),
        ("https://*.a.com:8443", "https://x.a.com:8443", True),
        ("https://*.a.com:8443", "https://x.a.com", False),
        ("https://*.a.com", "https://.a.com", False),
        ("https://*.a.com", "https://xa.com", False),
        ("https://*.a.com", "http://x.a.com", False),
        ("https://*.a.com", "null", False),
        ("https://*", "https://any.com:1", True),
        ("*", "null", True),
    ],
)
def test_origins_are_compared_by_scheme_host_and_port(
    configured: str, origin: str, allowed: bool
) -> None:
    assert is_allowed(Cors(origins=(configured,)), origin.encode()) is allowed
