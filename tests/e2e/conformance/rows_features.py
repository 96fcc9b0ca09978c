"""Rows of what the suite tests at a Gateway only, and what a Service's routes can do as well."""

import json

from tests.e2e.conformance.row import (
    V1,
    V2,
    Case,
    Json,
    Mirrored,
    Row,
    exact,
    header,
    prefix,
    redirect,
    route,
    rule,
    service,
    to,
)
from tests.e2e.conformance.rows_headers import rewrite
from tests.e2e.conformance.rows_matching import case
from tests.e2e.conformance.world import MESH


def method(name: str) -> dict[str, Json]:
    """A match of a method."""
    return {"method": name}


def asks(verb: str, target: str, backend: str, **headers: str) -> Case:
    """A request with a method; without a backend nobody answers."""
    return Case(
        url=f"http://echo{target}",
        method=verb,
        headers=headers,
        status=200 if backend else 404,
        backend=backend,
    )


EXACT = Row(
    name="HTTPRouteExactPathMatching",
    routes=(
        route(
            "exact",
            rule(to(V1), matches=[exact("/one")]),
            rule(to(V2), matches=[exact("/two")]),
        ),
    ),
    cases=(
        case("/one", V1),
        case("/two", V2),
        case("/", ""),
        case("/one/more", ""),
        case("/two/", ""),
        case("/Two", ""),
    ),
)

ORDER = Row(
    name="HTTPRoutePathMatchOrder",
    routes=(
        route(
            "order",
            rule(to(V2), matches=[prefix("/order")]),
            rule(to(V1), matches=[prefix("/order/one/two")]),
            rule(to(V2), matches=[prefix("/order/one/")]),
            rule(to(V1), matches=[exact("/order")]),
            rule(to(V2), matches=[exact("/order/one/two")]),
        ),
    ),
    cases=(
        case("/order", V1),
        case("/order/", V2),
        case("/order/one/two", V2),
        case("/order/one/two/", V1),
        case("/order/one/twofold", V2),
        case("/ordered", ""),
    ),
)

METHODS = Row(
    name="HTTPRouteMethodMatching",
    routes=(
        route(
            "methods",
            rule(to(V1), matches=[method("POST")]),
            rule(to(V2), matches=[method("GET")]),
            rule(to(V1), matches=[prefix("/path") | method("GET")]),
            rule(to(V2), matches=[method("PUT") | header("edition", "first")]),
            rule(to(V1), matches=[method("PUT") | prefix("/path2") | header("edition", "first")]),
        ),
    ),
    cases=(
        asks("POST", "/", V1),
        asks("GET", "/", V2),
        asks("HEAD", "/", ""),
        asks("GET", "/path", V1),
        asks("PUT", "/", V2, edition="first"),
        asks("PUT", "/", ""),
        asks("PUT", "/path2", V1, edition="first"),
    ),
)

HEADERS = Row(
    name="HTTPRouteHeaderMatching",
    routes=(
        route(
            "headers",
            rule(to(V1), matches=[header("edition", "first")]),
            rule(to(V2), matches=[header("edition", "second")]),
            rule(
                to(V1),
                matches=[
                    {
                        "headers": [
                            {"name": "edition", "value": "second"},
                            {"name": "colour", "value": "red"},
                        ]
                    }
                ],
            ),
            rule(to(V2), matches=[header("colour", "blue"), header("colour", "green")]),
        ),
    ),
    cases=(
        case("/", V1, Edition="first"),
        case("/", V2, eDITION="second"),
        case("/", V1, edition="second", colour="red"),
        case("/", V2, colour="blue"),
        case("/", V2, colour="green"),
        case("/", ""),
        case("/", "", colour="red"),
        case("/", "", edition="First"),
    ),
)


def answers(**parts: Json) -> dict[str, Json]:
    """A filter of answers' headers."""
    return {"type": "ResponseHeaderModifier", "responseHeaderModifier": dict(parts)}


def pair(name: str, value: str) -> Json:
    return {"name": name, "value": value}


def answered(target: str, asked: str, expected: dict[str, str], *gone: str) -> Case:
    return Case(
        url=f"http://echo{target}",
        headers={"X-Echo-Set-Header": asked},
        backend=V1,
        answered=expected,
        not_answered=gone,
    )


RESPONSES = Row(
    name="HTTPRouteResponseHeaderModifier",
    routes=(
        route(
            "responses",
            rule(to(V1), matches=[prefix("/set")], filters=[answers(set=[pair("X-Set", "new")])]),
            rule(to(V1), matches=[prefix("/add")], filters=[answers(add=[pair("X-Add", "more")])]),
            rule(
                to(V1, filters=[answers(remove=["X-Remove"], set=[pair("x-set", "new")])]),
                matches=[prefix("/backend")],
            ),
        ),
    ),
    cases=(
        answered("/set", "X-Set:old,Other:stays", {"x-set": "new", "other": "stays"}),
        answered("/set", "", {"x-set": "new"}),
        answered("/add", "x-add:old", {"x-add": "old,more"}),
        answered("/add", "", {"x-add": "more"}),
        answered("/backend", "X-Remove:old,X-SET:old", {"x-set": "new"}, "x-remove"),
    ),
)

HOST = Row(
    name="HTTPRouteRewriteHost",
    routes=(
        route(
            "host",
            rule(
                to(V1),
                filters=[{"type": "URLRewrite", "urlRewrite": {"hostname": "other.example"}}],
            ),
        ),
    ),
    cases=(Case(backend=V1, host="other.example"),),
)

NOBODY = Row(
    name="HTTPRouteNoBackendRefs",
    routes=(
        route(
            "nobody",
            rule(matches=[prefix("/none")]),
            rule(to(V1, weight=0), matches=[prefix("/weightless")]),
            rule(to("is-not-there"), matches=[prefix("/missing")]),
            rule(to("secret", kind="Secret"), matches=[prefix("/kind")]),
            rule(to(V1, 1234), matches=[prefix("/port")]),
            rule(to(V1), matches=[prefix("/good")]),
        ),
    ),
    cases=(
        *(
            Case(url=f"http://echo{path}", status=500)
            for path in ("/none", "/weightless", "/missing", "/kind", "/port")
        ),
        case("/good", V1),
    ),
)

BACKEND_FILTERS = Row(
    name="HTTPRouteBackendRequestRedirect and -URLRewrite",
    routes=(
        route(
            "backend-filters",
            rule(
                to(
                    V1,
                    filters=[
                        redirect(
                            hostname="other.example",
                            path={"type": "ReplaceFullPath", "replaceFullPath": "/there"},
                        )
                    ],
                ),
                matches=[prefix("/away")],
            ),
            rule(
                to(V1, filters=[rewrite(type="ReplacePrefixMatch", replacePrefixMatch="/new")]),
                matches=[prefix("/old")],
            ),
        ),
    ),
    cases=(
        Case(url="http://echo/away", status=302, location="http://other.example/there"),
        Case(url="http://echo/old/a", backend=V1, path="/new/a"),
    ),
)


def mirror(name: str, **more: Json) -> dict[str, Json]:
    """A filter that mirrors."""
    return {"type": "RequestMirror", "requestMirror": {"backendRef": to(name), **more}}


MIRRORS = Row(
    name="HTTPRouteRequestMirror",
    routes=(
        route(
            "mirrors",
            rule(to(V1), matches=[prefix("/mirror-all")], filters=[mirror(V2)]),
            rule(to(V1), matches=[prefix("/mirror-both")], filters=[mirror(V2), mirror("echo")]),
            rule(to(V1), matches=[prefix("/mirror-20")], filters=[mirror(V2, percent=20)]),
            rule(
                to(V1),
                matches=[prefix("/mirror-half")],
                filters=[mirror(V2, fraction={"numerator": 1, "denominator": 2})],
            ),
        ),
    ),
    cases=(case("/mirror-all-answer", ""), case("/mirror-all/answer", V1)),
    mirrored=(
        Mirrored(path="/mirror-all", backends=(V2,)),
        Mirrored(path="/mirror-20", backends=(V2,), count=500, share=0.2),
        Mirrored(path="/mirror-half", backends=(V2,), count=500, share=0.5),
    ),
)

TIMEOUTS = Row(
    name="HTTPRouteTimeoutRequest and -BackendRequest",
    routes=(
        route(
            "timeouts",
            rule(to(V1), matches=[prefix("/whole")], timeouts={"request": "200ms"}),
            rule(to(V1), matches=[prefix("/try")], timeouts={"backendRequest": "200ms"}),
            rule(to(V1), matches=[prefix("/never")], timeouts={"request": "0s"}),
        ),
    ),
    cases=(
        Case(url="http://echo/whole", backend=V1),
        Case(url="http://echo/whole?delay=1s", status=504),
        Case(url="http://echo/try", backend=V1),
        Case(url="http://echo/try?delay=1s", status=504),
        Case(url="http://echo/never?delay=400ms", backend=V1),
    ),
)

_RETRY: dict[str, Json] = {"codes": [500, 503], "attempts": 2, "backoff": "10ms"}


def retried(query: str, status: int, or_status: int = 0) -> Case:
    return Case(
        url=f"http://echo/retry/codes?{query}",
        status=status,
        or_status=or_status,
        backend=V1,
    )


RETRIES = Row(
    name="HTTPRouteRetry",
    routes=(
        route(
            "retries",
            rule(to(V1), matches=[prefix("/retry/codes")], retry=_RETRY),
            rule(
                to(V1),
                matches=[prefix("/retry/slow")],
                retry=_RETRY,
                timeouts={"request": "2s", "backendRequest": "300ms"},
            ),
        ),
    ),
    cases=(
        retried("uuid=a&succeedAfter=2&responseCode=503", 200),
        retried("uuid=b&succeedAfter=3&responseCode=503", 503),
        retried("uuid=c&succeedAfter=1&responseCode=502", 502),
        retried("uuid=d&succeedAfter=2", 200),
        Case(
            url="http://echo/retry/codes?uuid=e&succeedAfter=9",
            status=503,
            or_status=500,
        ),
        Case(
            url="http://echo/retry/slow?uuid=f&succeedAfter=1&responseCode=418&delayRetry=600ms",
            backend=V1,
        ),
    ),
)

_CORS: dict[str, Json] = {
    "type": "CORS",
    "cors": {
        "allowOrigins": ["https://app.example", "https://*.wide.example"],
        "allowMethods": ["GET", "PUT"],
        "allowHeaders": ["x-one"],
        "exposeHeaders": ["x-two"],
        "allowCredentials": True,
        "maxAge": 60,
    },
}


def preflight(origin: str) -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "x-one",
    }


CORS = Row(
    name="HTTPRouteCORS",
    routes=(route("cors", rule(to(V1), filters=[_CORS])),),
    cases=(
        *(
            Case(
                method="OPTIONS",
                headers=preflight(origin),
                status=200,
                or_status=204,
                answered={
                    "access-control-allow-origin": origin,
                    "access-control-allow-credentials": "true",
                    "access-control-max-age": "60",
                },
            )
            for origin in ("https://app.example", "https://a.b.wide.example")
        ),
        Case(
            headers={"Origin": "https://app.example"},
            backend=V1,
            answered={
                "access-control-allow-origin": "https://app.example",
                "access-control-expose-headers": "x-two",
            },
        ),
        Case(
            headers={"Origin": "https://evil.example"},
            backend=V1,
            not_answered=("access-control-allow-origin",),
        ),
    ),
)


def other_service(name: str, **port: Json) -> str:
    """A Service of the first echo whose only port says something else."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": MESH},
            "spec": {
                "selector": {"app": "echo", "version": "v1"},
                "ports": [{"name": "http", "port": 8080, **port}],
            },
        }
    )


PROTOCOLS = Row(
    name="HTTPRouteBackendProtocolH2C and -WebSocket",
    routes=(
        other_service("echo-h2c", appProtocol="kubernetes.io/h2c"),
        other_service("echo-ws", appProtocol="kubernetes.io/ws"),
        route(
            "protocols",
            rule(to("echo-h2c", 8080), matches=[prefix("/h2c")]),
            rule(to("echo-ws", 8080), matches=[prefix("/ws")]),
            rule(to(V1), matches=[prefix("/")]),
        ),
    ),
    cases=(
        Case(url="http://echo/h2c", backend=V1, proto="HTTP/2.0"),
        Case(url="http://echo/h1", backend=V1, proto="HTTP/1.1"),
        Case(url="ws://echo/ws", status=101),
    ),
)

_ECHO = "gateway_api_conformance.echo_basic.grpcecho.GrpcEcho"


def called(name: str, status: int, backend: str = "", **headers: str) -> Case:
    path = f"/{_ECHO}/{name}"
    return Case(
        url=f"grpc://echo:7070{path}",
        status=status,
        backend=backend,
        headers=headers,
        path=path if backend else "",
    )


def grpc_method(name: str) -> dict[str, Json]:
    return {"method": {"service": _ECHO, "method": name}}


GRPC = Row(
    name="GRPCExactMethodMatching and GRPCRouteHeaderMatching",
    routes=(
        route(
            "grpc-matching",
            rule(to(V1, 7070), matches=[grpc_method("Echo")]),
            rule(to(V2, 7070), matches=[grpc_method("EchoTwo")]),
            rule(to(V2, 7070), matches=[grpc_method("Echo") | header("edition", "second")]),
            parents=[service("echo", port=7070)],
            kind="GRPCRoute",
        ),
    ),
    cases=(
        called("Echo", 0, V1),
        called("EchoTwo", 0, V2),
        called("Echo", 0, V2, edition="second"),
        called("EchoThree", 12),
    ),
)

ROWS = (
    EXACT,
    ORDER,
    METHODS,
    HEADERS,
    RESPONSES,
    HOST,
    NOBODY,
    BACKEND_FILTERS,
    MIRRORS,
    TIMEOUTS,
    RETRIES,
    CORS,
    PROTOCOLS,
    GRPC,
)
